"""What is told of a pair where nothing is timed, and by a device's own kernels; the turns are `test_turns`'s."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices
from tasks.bench.request import Made, Request, Result
from tasks.errors import DeviceError
from tasks.examples import Arrays, dataset
from tasks.examples.dataset import LABEL
from tasks.gate import compare
from tasks.gate.compare import Pair, findings
from tasks.gate.decide import Change
from tasks.gate.quality import Side
from tasks.params import Protocol
from tasks.quality.score import grade, keep
from tasks.records import ArtifactCard, Evaluation, Instructions, Latency, Score
from tasks.records.gate import Finding
from tests import least

TRUTH = np.random.default_rng(0).integers(0, 2, 3000)
MakePair = Callable[..., Pair]


def scored(wrong: int) -> Score:
    answers = np.where(np.arange(len(TRUTH)) < wrong, 1 - TRUTH, TRUTH)
    kept = keep(np.eye(2, dtype=np.float32)[answers], {}, "accuracy")
    return grade(kept, TRUTH, "default", "test", "accuracy")


@pytest.fixture
def pair(project: Path, monkeypatch: pytest.MonkeyPatch) -> MakePair:
    """Two files of a variant; so many wrong answers are recorded of each, and sizes are given."""
    examples = Arrays({"image": np.zeros((len(TRUTH), 1), np.float32)}, {LABEL: TRUTH})
    monkeypatch.setattr(dataset, "load", lambda split: {"test": examples}[split])

    def side(name: str, size: int, wrong: int) -> Side:
        sha256 = f"{name}{size}{wrong}"
        card = ArtifactCard(
            variant="int8", model="baseline", scheme="int8", file="f", sha256=sha256, bytes=size, gzip_bytes=size // 2,
            inputs=(), outputs=(), operators={}, converter="test",
        )  # fmt: skip
        told = Evaluation(variant="int8", artifact_sha256=sha256, runtime="LiteRT", scores=(scored(wrong),))
        return Side(Made(card, Path("f")), told)

    def make(sizes: tuple[int, int] = (1000, 1000), wrong: tuple[int, int] = (0, 0), **gate: Any) -> Pair:
        now, before = (side(name, *each) for name, *each in zip(("now", "then"), sizes, wrong, strict=True))
        return Pair(least.params({"source": "digits"}, gate=gate), now, before)

    return make


def told(found: list[Finding]) -> dict[tuple[str | None, str | None], str]:
    return {(each.device, each.figure): each.outcome for each in found}


def test_files_are_weighed_and_recorded_answers_compared_without_a_device(pair: MakePair) -> None:
    found = list(findings(pair(sizes=(1100, 1000), wrong=(40, 0)), []))
    assert told(found) == {(None, "bytes"): "breach", (None, "gzip_bytes"): "breach", (None, "quality"): "breach"}
    assert found[0].value == pytest.approx(0.1)
    assert (found[2].name, found[2].value, found[2].n) == ("accuracy", pytest.approx(40 / 3000), 3000)
    smaller = list(findings(pair(sizes=(900, 1000), wrong=(0, 40)), []))
    assert set(told(smaller).values()) == {"passed"}


def test_a_limit_of_null_asks_nothing(pair: MakePair) -> None:
    found = findings(pair(max_quality_drop=None, max_growth={"bytes": None, "gzip_bytes": None}), [])
    assert list(found) == []


def estimated(monkeypatch: pytest.MonkeyPatch, ms: dict[str, float], **more: Any) -> None:
    """A compiler that says how long a file takes, by its SHA-256's first letters."""

    def measure(made: Made, reference: Made, device: str, *_: Any) -> Result:
        assert made is reference  # an estimate is of one file
        request = Request(made, made, devices.load(device), Protocol(mode="quick"), Path())
        latency = Latency(provenance="estimated", ms_p50=ms[made.card.sha256[:3]])
        return Result(request.result(status="ok", latency=latency, **more))

    monkeypatch.setattr(compare, "measure", measure)
    monkeypatch.setattr(devices, "usable", lambda device: None)


@pytest.mark.parametrize(("now_ms", "outcome"), [(1.04, "passed"), (1.05, "breach"), (0.5, "passed")])
def test_an_estimate_is_compared_as_it_is(
    pair: MakePair, monkeypatch: pytest.MonkeyPatch, now_ms: float, outcome: str
) -> None:
    estimated(monkeypatch, {"now": now_ms, "the": 1.0})
    found = [each for each in findings(pair(), ["ethos-u55-128"]) if each.device]
    assert told(found) == {("ethos-u55-128", "latency_ms"): outcome}
    assert (found[0].value, found[0].n, found[0].reason) == (pytest.approx(now_ms - 1), None, "estimated")


def test_kernels_of_a_device_are_compared_by_their_own_answers(pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Instructions(per_inference=100.0, spread=0.0, cpu="a core")
    estimated(monkeypatch, {"now": 1.0, "the": 1.0}, instructions=counted, scores=(scored(0),))
    found = [each for each in findings(pair(wrong=(40, 0)), ["emulated-cortex-a72"]) if each.device]
    outcomes = {"latency_ms": "passed", "instructions": "passed", "quality": "passed"}  # whatever LiteRT here answers
    assert {each.figure: each.outcome for each in found} == outcomes


def test_a_device_that_fails_is_undecided_and_the_others_go_on(pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(request: Request, *_: Any) -> dict[str, Any]:
        assert request.artifact.card.variant != request.reference.card.variant
        if request.device.name == "host-cpu":
            raise DeviceError("the cable is out")
        return {"latency_ms": (Change(0.2, 0.1, 0.3, 8), 8), "energy_mj": (None, 4)}

    monkeypatch.setattr(compare, "measured", measured)
    monkeypatch.setattr(compare.timed, "opened", lambda device: nullcontext())
    monkeypatch.setattr(devices, "usable", lambda device: None)
    found = [each for each in findings(pair(), ["host-cpu", "host-cpu-2t"]) if each.device]
    assert told(found) == {
        ("host-cpu", None): "undecided",
        ("host-cpu-2t", "latency_ms"): "breach",
        ("host-cpu-2t", "energy_mj"): "undecided",
    }
    assert found[0].reason == "the cable is out"
    assert found[2].reason == "4 turns are too few to tell of any change; gate.seconds is the time for them"


def test_what_no_turn_tells_is_undecided(pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "measured", lambda *_: {})
    monkeypatch.setattr(compare.timed, "opened", lambda device: nullcontext())
    (found,) = (each for each in findings(pair(), ["host-cpu"]) if each.device)
    assert (found.outcome, found.reason) == ("undecided", compare.DISTURBED)


def test_other_inputs_leave_quality_undecided(pair: MakePair) -> None:
    given = pair()
    other = Pair(given.params, given.now, given.before, "prepared otherwise")
    (found,) = (each for each in findings(other, []) if each.figure == "quality")
    assert (found.outcome, found.reason) == ("undecided", "prepared otherwise")
