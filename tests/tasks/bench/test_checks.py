"""What can go wrong with clocks and counters while a window runs, and under which name it ends in the record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import paths
from tasks.bench import devices, meter_csv, meters, shots
from tasks.bench.kinds import litert
from tasks.bench.request import Request
from tasks.records import Measurement

Pair = Callable[[str, str], Request]
RANGE_UJ = 1_000_000
W = 5.0  # while a window runs; idle is 2 W


def watch(monkeypatch: pytest.MonkeyPatch, machine: Any, counter: Callable[[float], int], **fields: Any) -> None:
    """Give the machine a package's counter: microjoules by the joules that were used since its start."""

    def shown(seconds: float, window: list[dict[str, Any]]) -> dict[str, Any]:
        before = [(0.0, 0.0), (2.0, 1.0)]  # joules and seconds
        used = W * seconds
        after = [(2.0 + used, 2.0), (4.0 + used, 3.0)]
        start, end = window
        return {
            "source": "powercap",
            "zones": [{"zone": "intel-rapl:0", "name": "package-0", "range_uj": RANGE_UJ}],
            "reason": None,
            "update_s": seconds / 1000,
            "idle": [[moment(s, counter(j)) for j, s in pair] for pair in (before, after)],
            "window": [{**start, "uj": [counter(2.0)]}, {**end, "uj": [counter(2.0 + used)]}],
            **fields,
        }

    monkeypatch.setattr(machine, "counter", shown)


def moment(s: float, uj: int) -> dict[str, Any]:
    return {"uj": [uj], "ns": int(s * 1e9), "epoch_ns": int(s * 1e9)}


def wrapping(start_uj: int) -> Callable[[float], int]:
    return lambda joules: (start_uj + round(joules * 1e5)) % RANGE_UJ  # scaled, so that idle does not wrap twice


def measured(pair: Pair) -> Measurement:
    return litert.measure(pair("int8", "host-cpu")).measurement


@pytest.mark.parametrize("jump_s", [0.5, -3600.0])
def test_a_clock_that_jumps_makes_the_measurement_invalid_and_loses_nothing(
    pair: Pair, machine: Any, jump_s: float
) -> None:
    machine.clock_jump_s = jump_s
    found = measured(pair)
    assert found.status == "invalid"
    told = f"float32: the clock jumped by {jump_s:+.3g} s in a window of 0.01 s"
    assert found.reason == f"{told}; `tercet run --remeasure invalid` measures again"
    assert found.passing, "that says nothing of the variant"
    assert len(found.windows) == 4
    assert found.latency is not None


@pytest.mark.parametrize(("empty_ns", "status"), [(4_000.0, "ok"), (4_001.0, "invalid")])
def test_a_run_of_which_the_clock_takes_more_than_a_tenth_is_no_measurement(
    pair: Pair, machine: Any, empty_ns: float, status: str
) -> None:
    """Of int8's 40 µs; a machine whose clock is quick may tell less than a microsecond."""
    machine.empty_ns = empty_ns
    found = measured(pair)
    assert found.status == status
    if status == "invalid":
        said = "40000 ns per inference, of which the clock itself takes 4001: too few to tell"
        assert found.reason == f"int8: {said}"
        machine.clock_jump_s = 9.0
        found = measured(pair)
        assert (found.reason, found.passing) == (f"int8: {said}", False), "it is as quick on any day"


def test_a_window_that_had_hardly_any_processor_may_be_another_one_next_time(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shots, "STARVED", 0.25)
    machine.cpu_share = 0.1
    found = measured(pair)
    assert (found.status, found.passing, found.unknown) == ("invalid", True, True)
    assert "the machine is too busy: once it is quiet, `tercet run --remeasure invalid` measures again" in found.reason
    machine.cpu_share = 1.0
    found = measured(pair)
    assert (found.status, found.passing, found.unknown) == ("ok", False, False)


def test_a_clock_that_is_slewed_is_none_that_jumps(pair: Pair, machine: Any) -> None:
    machine.clock_jump_s = 0.04
    assert measured(pair).status == "ok"


@pytest.mark.parametrize("start_uj", [0, RANGE_UJ - 100])
def test_a_counter_that_wraps_in_a_window_or_beside_it_counts_on(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch, start_uj: int
) -> None:
    watch(monkeypatch, machine, wrapping(start_uj))
    found = measured(pair)
    assert found.status == "ok"
    assert found.energy.kind == "counter_rapl"
    assert found.energy.mj_with_input == pytest.approx(W * 0.1 * 0.06, rel=1e-2)  # scaled; 0.04 ms and a gap of 0.02
    assert found.energy.low_mj == pytest.approx(W * 0.1 * 0.04, rel=1e-2)  # were the gap as busy
    assert found.energy.high_mj == pytest.approx((W * 0.06 - 2 * 0.02) * 0.1, rel=1e-2)  # were it idle, at 2 W
    # watts as scaled: the counter goes round once in so many seconds
    assert found.told_by.details["energy"]["safe_window_s"] == pytest.approx(RANGE_UJ / 1e6 / (W * 0.1), rel=1e-2)


def test_a_counter_that_is_frozen_ends_as_invalid_energy_beside_a_good_latency(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch, machine, lambda _: 77)
    found = measured(pair)
    assert found.status == "ok"
    assert found.latency is not None
    assert found.energy.mj is None
    assert found.energy.kind == "counter_rapl"
    assert found.energy.reason == "invalid: the counter did not move in a window"


def test_a_counter_that_freezes_while_it_is_watched_too(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch, machine, wrapping(0), update_s=None)
    assert measured(pair).energy.reason == "invalid: the counter did not move while it was watched"


def test_a_total_without_a_range_that_falls_is_no_energy(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = {"zone": "hwmon1/1", "name": "VDD_IN", "range_uj": None}
    watch(monkeypatch, machine, lambda joules: round(-joules * 1e6), source="hwmon", zones=[zone])
    found = measured(pair)
    assert (found.energy.kind, found.energy.mj) == ("rail_hwmon", None)
    assert found.energy.reason == "invalid: the counter did not move in a window"


@pytest.mark.parametrize(("share", "good"), [(1.04, True), (0.96, True), (1.06, False), (0.9, False)])
def test_energy_and_the_power_that_was_read_meanwhile_must_agree(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch, share: float, good: bool
) -> None:
    watch(monkeypatch, machine, wrapping(0), power_w=W * 0.1 / share)
    energy = measured(pair).energy
    assert (energy.mj is not None) == good
    assert good or (energy.reason or "").startswith("invalid: the counter's 0.5 W are not the ")


def test_idle_times_that_differ_are_noted(pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [100.0]
    watch(monkeypatch, machine, lambda joules: round(min(joules, ends[0]) * 1e5))
    machine.gap_ns = 0
    assert measured(pair).told_by.details["energy"]["notes"] == []
    ends[0] = 3.0  # it stands still in the last idle second
    note, *_ = measured(pair).told_by.details["energy"]["notes"]
    assert note.startswith("idle took 0.2 W before the window and 0.0")


def test_clock_and_heat_before_and_after_each_window_are_kept(pair: Pair, machine: Any) -> None:
    states = measured(pair).told_by.details["state"]
    assert states == [[{"mhz": 3000.0, "temperature_c": 50.0}, {"mhz": 2800.0, "temperature_c": 60.0}]] * 2


def test_a_device_with_a_meter_is_measured_by_it_and_by_no_counter(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = paths.device("host-cpu")
    path.write_text(path.read_text() + "meter: external\n")
    monkeypatch.delenv(meter_csv.VARIABLE, raising=False)
    assert "set TERCET_METER_CSV" in (devices.usable(devices.load("host-cpu")) or "")
    csv = tmp_path / "meter.csv"
    csv.write_text("time_s,power_w\n" + "".join(f"{i / 1e3:.3f},3\n" for i in range(4_000)))  # 3 W
    machine.ns = {"float32": 4_000_000, "int8": 4_000_000}
    monkeypatch.setenv(meter_csv.VARIABLE, str(csv))
    assert devices.usable(devices.load("host-cpu")) is None

    def shown(_seconds: float, window: list[dict[str, Any]]) -> dict[str, Any]:
        later = [{**reading, "epoch_ns": reading["epoch_ns"] + 2 * 10**9} for reading in window]
        idle = [[moment(s, 0) for s in pair] for pair in ((0, 1), (2, 3))]
        zones = [{"zone": "meter", "name": "external meter", "range_uj": None}]
        about = {"source": "external", "zones": zones, "reason": None, "update_s": None}
        return {**about, "idle": idle, "window": later}

    monkeypatch.setattr(machine, "counter", shown)
    found = measured(pair)
    assert [sent["energy"] for sent in machine.requests] == [meters.EXTERNAL] * 4
    assert found.energy.kind == "meter_external"
    assert found.energy.mj == pytest.approx(3 * 4, rel=1e-3)  # 4 ms an inference, at 3 W as when idle
    assert found.windows[0].active_w == pytest.approx(3, rel=1e-3)
