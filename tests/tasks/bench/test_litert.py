from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench.kinds import litert
from tasks.bench.request import Artifact, Request
from tasks.errors import UnsupportedError
from tasks.params import Protocol
from tasks.records import Signature, Tensor

Pair = Callable[[str, str], Request]


def test_windows_interleave_reference_and_variant(pair: Pair, machine: Any) -> None:
    result = litert.measure(pair("int8", "host-cpu-2t"))
    measurement, samples = result.measurement, result.samples
    order = ["float32", "int8", "int8", "float32"]
    assert [Path(request["model"]).parent.name for request in machine.requests] == order
    assert [window.variant for window in measurement.windows] == order
    assert list(samples) == ["00-float32", "01-int8", "02-int8", "03-float32"]
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
    ("protocol", "windows", "window_s", "warmup_s", "warmup_runs", "min_runs"),
    [
        ({"mode": "quick"}, 6, 0.15, 0.1, 5, 10),
        ({"mode": "full"}, 6, 10, 0.5, 10, 100),
        ({"mode": "full", "windows": 2, "window_s": 1}, 2, 1, 0.5, 10, 100),
    ],
)
def test_the_modes(
    pair: Pair,
    machine: Any,
    protocol: dict[str, Any],
    windows: int,
    window_s: float,
    warmup_s: float,
    warmup_runs: int,
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
        assert (sent["window_s"], sent["min_runs"]) == (window_s, min_runs)
        assert (sent["warmup_s"], sent["warmup_runs"]) == (warmup_s, warmup_runs)


def test_a_window_has_time_for_both_phases_of_a_language_model(pair: Pair, machine: Any) -> None:
    request = pair("float32", "host-cpu")
    litert.measure(replace(request, protocol=Protocol(mode="quick", window_s=3600)))
    assert min(machine.limits_s) > 2 * 3600


def test_a_refusal_is_unsupported_and_names_who(pair: Pair, machine: Any) -> None:
    machine.refuses = "int8"
    with pytest.raises(UnsupportedError, match="int8: the runtime refuses it: no such kernel"):
        litert.measure(pair("int8", "host-cpu"))


@pytest.mark.parametrize(
    ("ns", "share", "reason"), [(499, 1.0, "499 ns"), (40_000, 0.2, "tercet run --remeasure invalid` measures again")]
)
def test_a_measurement_that_fails_its_checks_is_invalid(
    pair: Pair, machine: Any, ns: int, share: float, reason: str
) -> None:
    machine.ns["int8"], machine.cpu_share = ns, share
    measurement = litert.measure(pair("int8", "host-cpu")).measurement
    assert measurement.status == "invalid"
    assert measurement.reason is not None
    assert reason in measurement.reason
    assert measurement.windows  # kept


def test_energy_is_of_the_clocked_part_alone_and_the_loop_is_told_beside_it(pair: Pair, machine: Any) -> None:
    machine.ns, machine.gap_ns = {"float32": 80_000, "int8": 40_000}, 40_000
    energy = litert.measure(pair("int8", "host-cpu")).measurement.energy
    assert energy.mj == pytest.approx(0.04 * 4)  # milliseconds by the watts of the device's file
    assert energy.mj_with_input == pytest.approx(0.08 * 4)
    assert energy.ratio is not None
    assert energy.ratio.value == pytest.approx(0.5)


def test_a_crowded_machine_is_told(pair: Pair, machine: Any) -> None:
    machine.slow, machine.slowed_ns = 20, 400_000  # of twenty inferences one waits ten times as long as it works
    measurement = litert.measure(pair("int8", "host-cpu")).measurement
    assert measurement.latency is not None
    assert measurement.latency.ms_p50 == pytest.approx(0.04)
    assert measurement.flags == ("crowded",)


def test_a_reference_without_a_phase_leaves_that_phase_without_a_ratio(
    pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = machine.answer

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = real(request)
        if "timing" in found and Path(request["model"]).parent.name == "int8":
            phases = found["timing"]["phases"]
            phases |= {"more": phases["infer"] | {"unit": "token", "volume": 4}}
            with np.load(request["samples"]) as samples:
                np.savez(request["samples"], infer=samples["infer"], more=samples["infer"] * np.uint64(3))
        return found

    monkeypatch.setattr(machine, "answer", answer)
    found = litert.measure(pair("int8", "host-cpu")).measurement
    assert (found.status, found.reference) == ("ok", "float32")
    assert found.phases["infer"].ratio is not None
    more = found.phases["more"]
    assert (more.ratio, more.energy.ratio, more.unit, more.volume) == (None, None, "token", 4)
    assert [window.variant for window in more.windows] == ["int8"] * 2
    assert more.latency is not None
    assert more.latency.ms_p50 == pytest.approx(0.12)


def test_a_reference_that_is_driven_in_another_way_is_not_run_beside(pair: Pair, machine: Any) -> None:
    request = pair("int8", "host-cpu")
    token = Tensor(name="tokens", shape=(1, 1), dtype="int32")
    call = Signature(name="decode", inputs=(token,), outputs=(token,), state={"tokens": "tokens"})
    card = request.artifact.card.model_copy(update={"signatures": (call,)})
    protocol = request.protocol.model_copy(update={"new_tokens": 7})
    asked = replace(request, artifact=Artifact(card, request.artifact.path), protocol=protocol)
    found = litert.measure(asked).measurement
    assert {Path(sent["model"]).parent.name for sent in machine.requests} == {"int8"}
    sent = machine.requests[0]
    assert (sent["runtime"], sent["scenario"], sent["new_tokens"]) == ("language", "generate", 7)
    assert sent["options"]["signatures"] == [call.model_dump()]
    assert (found.status, found.reference) == ("ok", None)
