"""What is measured again is what is shipped, and what its record is of: else nothing is told of a change."""

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from flows import remeasure
from tasks import paths
from tasks.params import Budget, Params
from tasks.records import ArtifactCard, Latency, Measurement, Tensor, Window
from tasks.records.gate import Finding
from tasks.ship.manifest import Manifest
from tests import least
from tests.phases import changed, of_inference

FILES = {"old": b"a file", "new": b"another file"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
MACHINE = {"cpu": "made up", "governor": "performance", "mhz": 2000.0, "load1": 0.1}


def windows(ms: float) -> tuple[Window, ...]:
    """Six, of almost the same level."""
    levels = [ms * (1 + 0.001 * i) for i in range(6)]
    return tuple(
        Window(
            variant="fp32", runs=9, seconds=1, busy_s=1, ms_p10=each, ms_p50=each, ms_mean=each, cpu_ms_mean=each,
            load_ms=1, first_ms=1, peak_memory_kib=None,
        )
        for each in levels
    )  # fmt: skip


def measured(ms: float, **fields: Any) -> Measurement:
    latency = Latency(provenance="measured", ms_p50=ms)
    known = {"variant": "fp32", "device": "host-cpu", "device_kind": "litert", "status": "ok", "mode": "quick"}
    known |= {"artifact_sha256": DIGESTS["old"], "environment": MACHINE}
    return Measurement.model_validate(of_inference({**known, "windows": windows(ms), "latency": latency, **fields}))


@pytest.fixture
def settings(project: Any) -> Params:
    """A project whose bundle, record and artifact are of one file."""
    put("old")
    shipped("old")
    measured(1.0).save(paths.benchmark("fp32", "host-cpu"))
    return least.params({"source": "digits"})


def put(name: str) -> None:
    """The artifact of one of `FILES`."""
    folder, tensor = paths.artifact("fp32"), Tensor(name="x", shape=(1,), dtype="float32")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(FILES[name])
    ArtifactCard(
        variant="fp32", model="baseline", scheme="float32", file="model.tflite", sha256=DIGESTS[name], bytes=9,
        gzip_bytes=9, inputs=(tensor,), outputs=(tensor,), operators={}, converter="none",
    ).save(folder / "card.json")  # fmt: skip


def shipped(name: str) -> None:
    """A bundle that was made of one of `FILES`."""
    Manifest(
        device="host-cpu", variant="fp32", reason="", budget=Budget(), within_budget=True, distances={},
        artifact_sha256=DIGESTS[name], versions={},
    ).save(paths.bundle("host-cpu") / "manifest.json")  # fmt: skip


def told(settings: Params, monkeypatch: pytest.MonkeyPatch, now: Measurement) -> tuple[Finding, bool]:
    """What is found where today's measurement is `now`; whether anything was measured at all."""
    asked: list[str] = []

    def again(_settings: Params, variant: str, _device: str) -> Measurement:
        asked.append(variant)
        return now

    monkeypatch.setattr(remeasure, "again", SimpleNamespace(with_options=lambda **_: again))
    (found,) = remeasure._device(settings, "host-cpu")
    return found, bool(asked)


@pytest.mark.parametrize(("ms", "outcome"), [(1.0, "passed"), (1.5, "breach")])
def test_one_file_on_one_machine_is_held_against_its_record(
    settings: Params, monkeypatch: pytest.MonkeyPatch, ms: float, outcome: str
) -> None:
    passing = {"mhz": 1800.0, "load1": 0.9}  # as they are on any day
    found, _ = told(settings, monkeypatch, measured(ms, environment={**MACHINE, **passing}))
    assert (found.figure, found.outcome) == ("latency_ms", outcome)


@pytest.mark.parametrize(
    ("made", "recorded", "packed", "said"),
    [
        ("new", "old", "old", "another file is shipped than is made now: `tercet run` packs what is made"),
        ("new", "new", "old", "another file is shipped than is made now: `tercet run` packs what is made"),
        ("old", "new", "old", "its record is of another file than is shipped: `tercet run` measures that"),
    ],
)
def test_two_files_are_never_compared_and_what_is_not_shipped_is_not_measured(
    settings: Params, monkeypatch: pytest.MonkeyPatch, made: str, recorded: str, packed: str, said: str
) -> None:
    put(made)
    shipped(packed)
    measured(1.0, artifact_sha256=DIGESTS[recorded]).save(paths.benchmark("fp32", "host-cpu"))
    found, asked = told(settings, monkeypatch, measured(4.4, artifact_sha256=DIGESTS[made]))
    assert (found.outcome, found.figure, found.reason, asked) == ("undecided", None, said, False)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"status": "invalid", "reason": "the machine is too busy"}, "its record is invalid: the machine is too busy"),
        ({"mode": "full"}, "its record is of mode full, params.yaml asks for quick: `tercet run` measures in that"),
    ],
)
def test_a_record_that_is_none_or_was_taken_otherwise_is_compared_with_nothing(
    settings: Params, monkeypatch: pytest.MonkeyPatch, then: dict[str, Any], said: str
) -> None:
    changed(measured(1.0), **then).save(paths.benchmark("fp32", "host-cpu"))
    found, asked = told(settings, monkeypatch, measured(1.0))
    assert (found.outcome, found.reason, asked) == ("undecided", said, False)


def test_another_machine_or_another_setting_of_it_is_told_as_such(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = told(settings, monkeypatch, measured(1.5, environment={**MACHINE, "governor": "powersave"}))
    assert (found.outcome, found.reason) == (
        "undecided",
        "the machine has changed: governor was 'performance' and is 'powersave': "
        "`tercet run --remeasure 'fp32@host-cpu'`",
    )


def test_a_busy_day_tells_nothing_and_says_why(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = measured(1.5, status="invalid", passing=True, reason="the machine is too busy")
    found, _ = told(settings, monkeypatch, busy)
    assert (found.outcome, found.reason) == ("undecided", "the machine is too busy")
