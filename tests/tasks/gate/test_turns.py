"""Two artifacts by turns: what of their windows is compared, in which order, and for how long."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.bench import devices, timed
from tasks.bench.kinds import litert
from tasks.bench.request import Artifact, Request
from tasks.bench.setup import Setup
from tasks.errors import UnsupportedError
from tasks.gate.turns import measured
from tasks.params import Protocol
from tasks.records import Runnable, Signature
from tests.tasks.bench.machine import Machine

LIMITS = {"latency_ms": 0.05, "energy_mj": 0.05, "token_ms": 0.05, "bytes": 0.1}
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def request_of(tmp_path: Path) -> Request:
    """`int8` as it is, and `float32` as what it was."""
    sides = []
    for name in ("int8", "float32"):
        path = tmp_path / name / "model.tflite"
        path.parent.mkdir()
        path.write_bytes(name.encode())
        sides.append(Artifact(Runnable(variant=name, scheme="float32", sha256=name), path))
    (tmp_path / "inputs.npz").write_bytes(b"")
    return Request(*sides, devices.load("host-cpu"), Protocol(mode="quick", window_s=0.02), tmp_path / "inputs.npz")


@pytest.fixture
def setup(machine: Machine, request_of: Request) -> Setup:
    device = request_of.device
    assert isinstance(device, litert.Litert)
    return litert.setup(device, machine)


def test_growth_is_of_the_lowest_sample_now_over_then(machine: Machine, request_of: Request, setup: Setup) -> None:
    machine.ns |= {"float32": 100_000, "int8": 108_000}
    machine.slow, machine.slowed_ns = 2, 50_000  # the median lies elsewhere
    found = measured(request_of, setup, LIMITS, 180)
    assert found.keys() == {"latency_ms"}  # there is no counter, no token, and a file is not timed
    change, turns = found["latency_ms"]
    assert change is not None
    assert (change.value, change.low, change.high) == pytest.approx((0.08, 0.08, 0.08))
    assert turns == change.n == 8
    order = [Path(asked["model"]).parent.name for asked in machine.requests]
    assert order[:8] == ["float32", "int8", "int8", "float32", "int8", "float32", "float32", "int8"]
    assert order[8:] == order[:8]


def test_energy_is_compared_where_a_counter_is(
    machine: Machine, request_of: Request, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    watts = {"float32": 5.0, "int8": 6.0}

    def counter(seconds: float, window: list[dict[str, Any]]) -> dict[str, Any]:
        w = watts[Path(machine.requests[-1]["model"]).parent.name]
        joules = [0.0, 1.0, 1.0 + w * seconds * 1e3, 2.0 + w * seconds * 1e3]  # idle is 1 W
        moments = [{"uj": [round(j * 1e6)], "ns": i * 10**9, "epoch_ns": i * 10**9} for i, j in enumerate(joules)]
        start, end = window
        span = [{**start, "uj": moments[1]["uj"]}, {**end, "uj": moments[2]["uj"]}]
        zone = {"zone": "intel-rapl:0", "name": "package-0", "range_uj": 10**12}
        return {
            "source": "powercap", "zones": [zone], "reason": None, "update_s": seconds / 1000,
            "idle": [moments[:2], moments[2:]], "window": span,
        }  # fmt: skip

    machine.gap_ns = 0
    machine.ns |= {"float32": 100_000, "int8": 100_000}
    monkeypatch.setattr(machine, "counter", counter)
    change, turns = measured(request_of, setup, LIMITS, 180)["energy_mj"]
    assert change is not None
    assert change.value == pytest.approx(0.2, abs=1e-3)
    assert turns == 8


def test_a_turn_without_a_processor_does_not_count(machine: Machine, request_of: Request, setup: Setup) -> None:
    real, shares = machine.answer, iter([0.1, 1.0, 1.0, 0.1, *[1.0] * 1000])

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        machine.cpu_share = next(shares)
        return real(asked)

    machine.answer = answer  # type: ignore[method-assign]  # as a busy machine
    _, turns = measured(request_of, setup, LIMITS, 180)["latency_ms"]
    assert turns == 10  # of twelve: eight were too few once two had been left out
    assert len(machine.requests) == 24


def test_on_a_machine_that_is_never_free_nothing_is_told(machine: Machine, request_of: Request, setup: Setup) -> None:
    machine.cpu_share = 0.1
    assert measured(request_of, setup, LIMITS, 0.2) == {}


@pytest.mark.parametrize("emulated", [True, False])
def test_what_tells_no_time_or_is_driven_otherwise_is_refused(
    machine: Machine, request_of: Request, setup: Setup, emulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, why = request_of, "emulated: its time means nothing"
    if emulated:
        real = machine.answer
        monkeypatch.setattr(machine, "answer", lambda each: {**real(each), "environment": {"emulated": "QEMU"}})
    else:
        call = Signature(name="decode", inputs=(), outputs=(), state={"kv": "kv"})
        card = request_of.reference.card.model_copy(update={"signatures": (call,)})
        asked, why = replace(request_of, reference=Artifact(card, request_of.reference.path)), "in another way"
    with pytest.raises(UnsupportedError, match=why):
        measured(asked, setup, LIMITS, 180)


def test_a_kind_that_times_nothing_is_not_opened() -> None:
    assert timed.opened(devices.load("ethos-u55-128")) is None
    assert timed.opened(devices.load("rp2040")) is None
    opened = timed.opened(devices.load("host-cpu"))
    assert opened
    with opened as setup:
        assert setup.runtime == "litert"
