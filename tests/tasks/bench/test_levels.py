"""Drift: the reference against its own levels in earlier runs. A run ends with its report."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import paths
from tasks.bench.kinds import litert
from tasks.bench.request import Artifact, Request
from tasks.params import Protocol
from tasks.records import Signature, Tensor

Pair = Callable[[str, str], Request]
LEVELS = paths.STATE / "levels" / "host-cpu.jsonl"


def flags(request: Request) -> tuple[str, ...]:
    return litert.measure(request).measurement.flags


def report() -> None:
    """What ends a run."""
    path = paths.REPORT / "comparison.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    os.utime(path, (time.time() + 1, time.time() + 1))


def test_drift_is_of_the_reference_against_its_levels_in_earlier_runs(pair: Pair, machine: Any) -> None:
    assert flags(pair("int8", "host-cpu")) == ()
    machine.ns["float32"] = 90_000
    assert flags(pair("int8", "host-cpu")) == ()  # the first run has nothing to compare with
    machine.ns["float32"] = 80_000
    assert flags(pair("int8", "host-cpu")) == ()
    report()
    machine.ns["int8"] = 50_000  # the variant is not the machine
    assert flags(pair("int8", "host-cpu")) == ()
    machine.ns["float32"] = 90_000
    assert flags(pair("int8", "host-cpu")) == ("drift",)
    assert flags(pair("int8", "host-cpu-2t")) == ()  # another device, another ledger


def test_a_reference_that_did_not_run_beside_has_no_level(pair: Pair, machine: Any) -> None:
    """A text is driven in another way than the reference: what its tokens take is nobody else's level."""
    request = pair("int8", "host-cpu")
    token = Tensor(name="tokens", shape=(1, 1), dtype="int32")
    call = Signature(name="decode", inputs=(token,), outputs=(token,), state={"tokens": "tokens"})
    card = request.artifact.card.model_copy(update={"signatures": (call,)})
    writes = replace(request, artifact=Artifact(card, request.artifact.path))
    assert flags(request) == flags(writes) == ()
    report()
    assert flags(writes) == ()
    assert flags(request) == (), "the reference runs as it did"
    machine.ns["int8"] = 50_000
    assert flags(writes) == ()


@pytest.mark.parametrize("change", ["mode", "windows", "window_s", "device", "machine"])
def test_only_the_same_measurement_on_the_same_machine_is_compared(
    pair: Pair, machine: Any, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = pair("int8", "host-cpu")
    assert flags(request) == ()
    report()
    machine.ns["float32"] = 90_000
    given = request.protocol
    protocols = {
        "mode": Protocol(mode="full", windows=given.windows, window_s=given.window_s),
        "windows": given.model_copy(update={"windows": 4}),
        "window_s": given.model_copy(update={"window_s": 0.03}),
    }
    if change == "machine":
        real = machine.answer
        environment = {"cpu": "made up", "runtime": "a later one"}
        monkeypatch.setattr(machine, "answer", lambda asked: {**real(asked), "environment": environment})
    device = request.device.model_copy(update={"threads": 1, "watts_per_core": (1.0, 2.0, 9.0)})
    other = replace(
        request,
        protocol=protocols.get(change, given),
        device=device if change == "device" else request.device,
    )
    assert flags(other) == ()


def test_what_passes_is_no_other_machine(pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, loads = machine.answer, iter(range(100))
    passing = lambda: {"cpu": "made up", "load1": next(loads), "mhz": 1000.0 + next(loads)}  # noqa: E731
    monkeypatch.setattr(machine, "answer", lambda asked: {**real(asked), "environment": passing()})
    flags(pair("int8", "host-cpu"))
    report()
    machine.ns["float32"] = 90_000
    assert flags(pair("int8", "host-cpu")) == ("drift",)


def test_a_measurement_that_is_none_leaves_no_level(pair: Pair, machine: Any) -> None:
    machine.cpu_share = 0.1
    assert litert.measure(pair("int8", "host-cpu")).measurement.status == "invalid"
    assert not LEVELS.exists()


@pytest.mark.parametrize(
    "damage",
    [b"\0\0\0", b"{", b"[]", b"7", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"key": "x", "ms_p50": -1}',
     b'{"key": [1], "ms_p50": NaN, "epoch_s": 0}', b'{"key": ["of before", "quick"], "ms_p50": 0.08}'],
)  # fmt: skip
def test_a_damaged_line_is_left_out_with_a_word(
    pair: Pair, machine: Any, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    flags(pair("int8", "host-cpu"))
    good = LEVELS.read_bytes()
    LEVELS.write_bytes(damage + b"\n" + good)
    report()
    machine.ns["float32"] = 90_000
    assert flags(pair("int8", "host-cpu")) == ("drift",)  # by the line that is whole
    assert f"{LEVELS}:1: not a level" in caplog.text
    assert [json.loads(line)["ms_p50"] for line in LEVELS.read_text().splitlines()] == pytest.approx([0.08, 0.09])


def test_a_file_does_not_grow_without_end(pair: Pair, machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.bench.levels.KEPT", 2)
    for _ in range(3):
        flags(pair("int8", "host-cpu"))
    assert len(Path(LEVELS).read_text().splitlines()) == 2
