"""NVML, from a library that answers like NVIDIA's: compiled here, so that the calls are those of a real one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.bench import meters, transport
from tasks.bench.answers import Zone
from tasks.bench.meters import Metered
from tasks.bench.runner import counters, nvml
from tests.phases import window_of

FAKE = Path(__file__).with_name("nvml.c").read_text()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, compiled: Callable[[str, Path], str]) -> str:
    return compiled(FAKE, tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def timed(
    library: str, request_of: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Metered]:
    """A window beside the library; keywords are the library's settings."""

    def run(**settings: str) -> Metered:
        for name, value in settings.items():
            monkeypatch.setenv(f"FAKE_{name}", value)
        ask = request_of("float32", "time", window_s=0.4, energy={"nvml": library, "powercap": "/nowhere"})
        files = {key: Path(ask.pop(key)) for key in ("model", "inputs")}
        timing = transport.Local().run(ask, files, {"samples": Path(ask.pop("samples"))}, timeout_s=60).timing
        assert timing
        (window,) = timing.phases.values()
        return Metered(window)

    return run


def test_energy_is_the_counter_s_and_agrees_with_the_power(timed: Callable[..., Metered]) -> None:
    metered = timed()
    window, counter = metered.window, metered.window.energy
    assert counter.source == "nvml"
    assert counter.zones == (Zone("gpu", "Fake 0", 2**64 * 1000),)
    assert counter.power_w == pytest.approx(200)
    assert counter.update_s
    assert 0.0005 < counter.update_s < 0.004
    found = meters.counted([metered])
    assert found.kind == "counter_nvml"
    assert found.mj_with_input == pytest.approx(200e3 * window.seconds / window.runs, rel=0.02)  # watts x time
    assert found.mj == pytest.approx(200e3 * window.busy_s / window.runs, rel=0.05)  # idle takes as much
    assert found.scope == "Fake 0: the whole card, not the machine around it"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"METER_WATTS": "230"}, r"the counter's (19|20)\d[.\d]* W are not the 230 W that were read meanwhile"),
        ({"FROZEN": "1"}, "the counter did not move while it was watched"),
        ({"STEP_S": "0.08"}, r"\d counter updates in a window of \d[.\d]* s; at least \d+[.\d]* s needed"),
    ],
)
def test_a_counter_that_fails_its_checks_gives_no_energy_but_the_reason(
    timed: Callable[..., Metered], settings: dict[str, str], reason: str
) -> None:
    found = meters.counted([timed(**settings)])
    assert found.mj is None
    assert re.search(reason, found.reason or "")


def test_a_counter_that_wraps_gives_the_energy_across(library: str) -> None:
    counter = counters.Nvml(library)
    totals = iter([2**64 - 1000, 1000])
    counter._gpu.millijoules = lambda: next(totals)  # type: ignore[method-assign]
    readings = [{"uj": counter.microjoules(), "ns": ns, "epoch_ns": ns} for ns in (0, 10**9)]
    idle = [[{"uj": [0], "ns": 0, "epoch_ns": 0}, {"uj": [10**6], "ns": 10**9, "epoch_ns": 10**9}]] * 2
    window = window_of(runs=10, seconds=1.0, energy={**counter.about, "window": readings, "idle": idle})
    assert meters.window_energy(window).with_input_mj == pytest.approx(200.0)  # 2,000 mJ over 10 inferences


@pytest.mark.parametrize(
    ("visible", "name"), [(None, "Fake 0"), ("3,1", "Fake 3"), (" 2 ", "Fake 2"), ("GPU-abc", "Fake 99")]
)
def test_the_gpu_is_the_first_that_cuda_sees(
    library: str, monkeypatch: pytest.MonkeyPatch, visible: str | None, name: str
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert nvml.Gpu(library).name() == name


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("CUDA_VISIBLE_DEVICES", "", "names no whole GPU"),
        ("CUDA_VISIBLE_DEVICES", "MIG-1", "names no whole GPU"),
        ("CUDA_VISIBLE_DEVICES", "9", "nvmlDeviceGetHandleByIndex_v2: Not Supported"),
        ("FAKE_INIT", "9", "nvmlInit_v2: Driver Not Loaded"),
    ],
)
def test_where_there_is_no_counter_the_reason_is_said(
    library: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(variable, value)
    about = counters.Nvml(library).about
    assert not about["zones"]
    assert reason in about["reason"]


def test_without_the_driver_the_reason_is_said_and_the_next_source_is_tried(tmp_path: Path) -> None:
    found = counters.find({"nvml": "libno-such-thing.so", "powercap": str(tmp_path)})
    assert found.about["source"] == "powercap"
    assert "NVIDIA's driver is not installed" in found.about["reason"]


def test_a_device_without_any_source_has_no_counter_and_says_so() -> None:
    counter = counters.find({})
    assert "no energy counter" in counter.about["reason"]
    assert counters.idle(counter, 0.0) is None
    assert counters.update_s(counter) is None


def test_facts_leave_out_what_the_gpu_does_not_tell(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvml.Gpu(library).facts() == {
        "gpu": "Fake 0",
        "driver": "580.1",
        "gpu_mhz": 1980,
        "gpu_memory_mhz": 3201,
        "gpu_temperature_c": 41,
        "gpu_power_limit_w": None,
    }


def test_a_driver_without_a_function_says_so(tmp_path: Path, compiled: Callable[[str, Path], str]) -> None:
    old = compiled(FAKE.replace("nvmlDeviceGetTotalEnergyConsumption", "not_yet"), tmp_path)
    assert counters.Nvml(old).about["reason"] == (
        "NVML cannot be read: NVIDIA's driver is too old: it has no nvmlDeviceGetTotalEnergyConsumption"
    )
