"""An external meter's CSV against energies that can be worked out by hand."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import meter_csv, meters
from tasks.bench.answers import Window
from tasks.bench.meters import Metered
from tasks.errors import DataError
from tasks.records import Energy
from tests.phases import window_of

BEGUN_S = 1_700_000_000.0
NS = 10**9


def write(path: Path, hz: float = 200.0, *, skip: tuple[float, float] = (0, 0), seconds: float = 14.0) -> None:
    """A meter that saw 2 W, and 2 W more for each second of the window from 2 to 12 s."""
    times = np.arange(0, seconds, 1 / hz)
    watts = np.where((times >= 2) & (times <= 12), 2 + 2 * (times - 2), 2.0)
    kept = [(t, w) for t, w in zip(times, watts, strict=True) if not skip[0] < t < skip[1]]
    rows = "".join(f"{w},{BEGUN_S + t:.6f},x\n" for t, w in kept)
    path.write_text("Power_W, time_s ,note\n" + rows)


def readings(low_s: float, high_s: float) -> list[dict[str, Any]]:
    """The clock of the epoch, and another that started at some other time."""
    return [{"uj": [0], "ns": int((5 + s) * NS), "epoch_ns": int((BEGUN_S + s) * NS)} for s in (low_s, high_s)]


@pytest.fixture
def response() -> Window:
    zone = {"zone": "meter", "name": "external meter", "range_uj": None}
    energy = {"source": "external", "zones": [zone], "reason": None, "update_s": None}
    spans = {"idle": [readings(0.5, 1.5), readings(12.5, 13.5)], "window": readings(2.0, 12.0)}
    return window_of(runs=1000, seconds=10.0, busy_s=10.0, energy={**energy, **spans})


def counted(window: Window) -> Energy:
    """The energy of a window that the meter has filled in."""
    return meters.counted([Metered(filled) for filled in meter_csv.filled([window])])


@pytest.fixture
def meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(meter_csv, "FLUSH_S", 0.0)
    path = tmp_path / "meter.csv"
    monkeypatch.setenv(meter_csv.VARIABLE, str(path))
    return path


def test_the_area_under_the_meters_power_is_the_windows_energy(meter: Path, response: Window) -> None:
    write(meter)
    (found,) = meter_csv.filled([response])
    energy = meters.counted([Metered(found)])
    assert energy.kind == "meter_external"
    assert energy.mj == pytest.approx((2 * 10 + 10**2) * 1e3 / 1000, rel=1e-3)  # 2 W for 10 s, and a triangle
    assert energy.net_mj == pytest.approx(10**2 * 1e3 / 1000, rel=2e-3)
    assert found.energy.update_s == pytest.approx(1 / 200)
    figures = meters.window_energy(found)
    assert figures.idle_each_w == pytest.approx((2, 2))


def test_the_energy_between_two_samples_follows_the_line_between_them() -> None:
    trace = meter_csv.Trace(np.array([0.0, 2.0, 3.0]), np.array([0.0, 4.0, 4.0]))
    assert [trace.joules(s) for s in (0, 1, 2, 2.5, 3, 4)] == pytest.approx([0, 1, 4, 6, 8, 12])


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"hz": 9.0}, "90 counter updates in a window of 10 s; at least 11"),
        ({"skip": (5, 7.0)}, "the meter has no sample from 3.00 to 5.00 s of a window of 10.00 s"),
        ({"seconds": 11.0}, "the meter has no sample from 8.99 to 10.00 s of a window of 10.00 s"),
        ({"skip": (-1, 1.0)}, "the meter has no sample from 0.00 to 0.50 s of the idle window of 1.00 s"),
        ({"seconds": 12.4}, "the meter has no sample from 0.00 to 1.00 s of the last idle window of 1.00 s"),
    ],
)
def test_a_meter_that_saw_too_little_gives_a_reason(
    meter: Path, response: Window, written: dict[str, Any], reason: str
) -> None:
    write(meter, **written)
    energy = counted(response)
    assert energy.mj is None
    assert energy.reason is not None
    assert energy.reason.startswith(f"invalid: {reason}")
    assert energy.passing == ("hz" not in written), "a sample that was missed may be there next time"


@pytest.mark.parametrize("late", [0.3, 0.8])
def test_a_meter_that_looks_once_a_second_tells_no_idle_power(meter: Path, response: Window, late: float) -> None:
    """5 W idle, 9 W at work: half of what it saw of a second without work is from before and after."""
    idle = [readings(10.0, 11.0), readings(132.6, 133.6)]
    about = {"source": "external", "zones": [{"zone": "m", "name": "m", "range_uj": None}], "reason": None}
    energy = {**about, "update_s": None, "idle": idle, "window": readings(12.5, 132.5)}
    window = window_of(runs=1000, seconds=120.0, busy_s=120.0, energy=energy)
    for hz, net in ((1.0, None), (50.0, 480.0)):
        times = np.arange(late, 150, 1 / hz)
        idles = ((times >= 10) & (times < 12)) | ((times >= 132.55) & (times < 133.7))
        rows = (f"{BEGUN_S + t:.4f},{5 if idle else 9}\n" for t, idle in zip(times, idles, strict=True))
        meter.write_text("time_s,power_w\n" + "".join(rows))
        found = counted(window)
        assert found.mj == pytest.approx(9 * 120, rel=0.01)
        assert found.net_mj == (None if net is None else pytest.approx(net, rel=0.01))
        assert (found.net_low_mj is None, found.net_high_mj is None) == (net is None, net is None)
        told = "no net figure: 1.0 counter updates in an idle time of 1 s; at least 8 needed, one every 0.125 s"
        assert found.reason == (told if net is None else None)


def test_what_the_meter_missed_of_the_reference_leaves_no_ratio_and_says_so(meter: Path, response: Window) -> None:
    write(meter)
    seen = [Metered(each) for each in meter_csv.filled([response] * 6)]
    write(meter, skip=(5, 7.0))
    missed = [Metered(each) for each in meter_csv.filled([response])]
    whole, torn = meters.counted(seen, seen), meters.counted(seen, [*seen[1:], *missed])
    assert (whole.ratio is not None, whole.passing, whole.reason) == (True, False, None)
    assert (torn.ratio, torn.passing, torn.mj) == (None, True, whole.mj)
    said = "the meter has no sample from 3.00 to 5.00 s of a window of 10.00 s"
    assert torn.reason == f"no ratio: beside the reference {said}"


def test_a_meter_that_is_not_there_spoils_no_latency(meter: Path, response: Window) -> None:
    energy = counted(response)
    assert energy.kind == "meter_external"
    assert energy.mj is None
    assert energy.reason is not None
    assert "meter.csv: the meter's CSV cannot be read" in energy.reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,volts\n1,2\n2,3\n", r"received the columns \['time_s', 'volts'\]; one of .*'power_w'"),
        ("time_s,power_w\n1,2\n2,many\n", "a row is no sample: .*many"),
        ("time_s,power_w\n2,2\n1,2\n", "2 samples; .*their times rising"),
        ("time_s,power_w\n1,2\n2,nan\n", "2 samples; .*finite"),
        ("time_s,power_w\n1,2\n2,3", "1 samples; at least two"),  # the last is still being written
        ("", r"received the columns \[\]"),
        ("time_s,power_w\n1,2\n2,-3\n", "down to -3 W: .*wrong way round"),
        ("time_s,power_w\n1700000000000,2\n1700000000010,2\n", "times go from 1.7e.12 .*no milliseconds"),
        ("time_s,power_w\n-5,2\n1,2\n", "times go from -5 to 1"),
        ("time_s,power_w\n1,2\n2,3000000\n", "power goes up to 3e.06: .*no milliwatts"),
        ("time_s,power_w\n1,1e308\n2,1e308\n", "no milliwatts"),
        (f"time_s,power_w\n1,2\n2,{'3' * 140_000}\n", "a line has 140,003 characters; at most 10,000"),
        (f"{'x' * 140_000}\n", "a line has 140,001 characters; at most 10,000"),
        ('time_s,power_w\n1,2\n2,"3\n' + "4,5\n" * 40_000, "a row is no sample: .{,200}$"),  # a quote that nothing ends
        ("time_s,power_w\n1,2\n2,\0\n", "a row is no sample"),
        ("time_s;power_w\n1;2\n2;2\n", "received the columns .*time_s;power_w"),
    ],
)
def test_a_file_that_is_no_meters_says_so(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    before = csv.field_size_limit()
    try:
        for limit in (2**17, 2**20):  # csv's own is the process's, and readers of tables raise it
            csv.field_size_limit(limit)
            with pytest.raises(DataError, match=message):
                meter_csv.load(path)
    finally:
        csv.field_size_limit(before)


def test_a_file_may_begin_with_a_mark_and_a_meter_may_be_a_little_off_at_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"\xef\xbb\xbftime_s,power_w\r\n1,-0.001\r\n2,5\r\n")
    assert meter_csv.load(path).w.tolist() == [-0.001, 5]
    path.write_bytes("time_s,power_w\n1,2\n2,3\n".encode("utf-16"))
    with pytest.raises(DataError, match="cannot be read"):
        meter_csv.load(path)
    with pytest.raises(DataError, match="no such file"):
        meter_csv.load(tmp_path)


def test_another_clock_is_told_as_one(meter: Path, response: Window) -> None:
    times = np.arange(0, 20, 0.005)  # seconds since the meter was switched on
    meter.write_text("time_s,power_w\n" + "".join(f"{t},3\n" for t in times))
    energy = counted(response)
    assert energy.reason == (
        "invalid: the meter's samples end or begin 1.7e+09 s before the window: is its clock the device's?"
    )


def test_the_last_samples_are_waited_for(meter: Path, response: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    write(meter, seconds=11.0)
    monkeypatch.setattr(meter_csv, "FLUSH_S", 5.0)
    monkeypatch.setattr(meter_csv.time, "sleep", lambda _: write(meter))
    assert counted(response).mj is not None


def test_a_meter_that_is_not_set_up_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(meter_csv.VARIABLE, raising=False)
    assert meter_csv.usable() == (
        "no external meter: set TERCET_METER_CSV to the CSV (time_s,power_w) that the meter's software writes"
    )
    path = tmp_path / "m.csv"
    monkeypatch.setenv(meter_csv.VARIABLE, str(path))
    write(path)
    assert meter_csv.usable() is None
