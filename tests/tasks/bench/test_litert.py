from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.bench.targets import Request, litert
from tasks.errors import UnsupportedError
from tasks.params import Protocol

Pair = Callable[[str, str], Request]


def test_windows_interleave_reference_and_variant(pair: Pair, machine: Any) -> None:
    result = litert.measure(pair("int8", "host-cpu-2t"))
    measurement, samples = result.measurement, result.samples
    order = ["float32", "int8", "float32", "int8"]
    assert [Path(request["model"]).parent.name for request in machine.requests] == order
    assert [window.variant for window in measurement.windows] == order
    assert list(samples) == ["00-float32", "01-int8", "02-float32", "03-int8"]
    assert {request["options"]["threads"] for request in machine.requests} == {2}
    assert measurement.status == "ok"
    assert measurement.reference == "float32"
    assert measurement.ratio is not None
    assert measurement.ratio.value == pytest.approx(0.5)
    assert measurement.latency is not None
    assert measurement.latency.ms_p50 == pytest.approx(0.04)
    assert measurement.memory is not None
    assert measurement.memory.peak_kib == 500
    assert measurement.energy.kind == "estimate_cpu_time"
    assert measurement.energy.mj == pytest.approx(0.04 * 4)
    assert measurement.flags == ()


def test_the_reference_is_not_compared_with_itself(pair: Pair, machine: Any) -> None:
    result = litert.measure(pair("float32", "host-cpu"))
    measurement, samples = result.measurement, result.samples
    assert len(samples) == len(machine.requests) == 2
    assert measurement.ratio is None
    assert measurement.reference is None
    assert measurement.latency is not None
    assert measurement.latency.ms_p50 == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("protocol", "windows", "window_s", "warmup_s", "min_runs"),
    [
        ({"mode": "quick"}, 3, 0.3, 0.1, 20),
        ({"mode": "full"}, 5, 10, 0.5, 100),
        ({"mode": "full", "windows": 2, "window_s": 1}, 2, 1, 0.5, 100),
    ],
)
def test_the_modes(
    pair: Pair,
    machine: Any,
    protocol: dict[str, Any],
    windows: int,
    window_s: float,
    warmup_s: float,
    min_runs: int,
) -> None:
    request = pair("float32", "host-cpu")
    asked = Protocol.model_validate(protocol)
    measurement = litert.measure(
        Request(request.artifact, request.reference, request.device, asked, request.inputs)
    ).measurement
    assert measurement.mode == protocol["mode"]
    assert len(machine.requests) == windows
    for sent in machine.requests:
        assert (sent["window_s"], sent["warmup_s"], sent["min_runs"]) == (window_s, warmup_s, min_runs)
        assert sent["warmup_runs"] == 10


def test_a_refusal_is_unsupported_and_names_who(pair: Pair, machine: Any) -> None:
    machine.refuses = "int8"
    with pytest.raises(UnsupportedError, match="int8: the runtime refuses it: no such kernel"):
        litert.measure(pair("int8", "host-cpu"))


@pytest.mark.parametrize(("ns", "share", "reason"), [(900, 1.0, "900 ns"), (40_000, 0.2, "for only 20% of a window")])
def test_a_measurement_that_fails_its_checks_is_invalid(
    pair: Pair, machine: Any, ns: int, share: float, reason: str
) -> None:
    machine.ns["int8"], machine.cpu_share = ns, share
    measurement = litert.measure(pair("int8", "host-cpu")).measurement
    assert measurement.status == "invalid"
    assert measurement.reason is not None
    assert reason in measurement.reason
    assert measurement.windows  # kept


def test_drift_is_of_the_reference_against_its_earlier_levels(pair: Pair, machine: Any) -> None:
    assert litert.measure(pair("int8", "host-cpu")).measurement.flags == ()
    machine.ns["int8"] = 50_000  # the variant is not the machine
    assert litert.measure(pair("int8", "host-cpu")).measurement.flags == ()
    machine.ns["float32"] = 90_000
    assert litert.measure(pair("int8", "host-cpu")).measurement.flags == ("drift",)
    assert litert.measure(pair("int8", "host-cpu-2t")).measurement.flags == ()  # another device, another ledger
    request = pair("int8", "host-cpu")
    full = Protocol(mode="full")
    again = Request(request.artifact, request.reference, request.device, full, request.inputs)
    assert litert.measure(again).measurement.flags == ()  # and modes are not compared either
