"""A project of one model file and one data folder that the test makes, taken through the stages in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tasks import params, paths, records
from tasks.records import Evaluation, Measurement
from tasks.stages import STAGES, call
from tasks.stages.sources import KINDS
from tasks.training import fit

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"mode": "quick", "windows": 2, "window_s": 0.05}


@dataclass(frozen=True)
class Case:
    """A project that has run; a stage that raised has ended the test, as it ends the run of a user."""

    root: Path

    def quality(self, variant: str, split: str = "test") -> float:
        """The quality of a variant's artifact on this machine's default kernels."""
        scores = records.read(Evaluation, paths.evaluation(variant)).scores
        return next(score.value for score in scores if score.split == split and score.kernels == "default")

    def measurement(self, variant: str, device: str) -> Measurement:
        """The record of one pair, whatever its status."""
        return records.read(Measurement, paths.benchmark(variant, device))

    def card(self, folder: str, name: str) -> dict[str, Any]:
        """The card of a model (`models`) or of an artifact (`artifacts`)."""
        found: dict[str, Any] = json.loads((self.root / "out" / folder / name / "card.json").read_text())
        return found


@pytest.fixture
def write_data(project: Path) -> Callable[..., None]:
    """A function that writes `data/train.npz` and `data/test.npz`: every fourth example is the test split's."""

    def write(inputs: dict[str, Any], label: Any, classes: list[str] | None = None, **targets: Any) -> None:
        (project / "data").mkdir(exist_ok=True)
        held = np.arange(len(label)) % 4 == 3
        for name, chosen in (("train", ~held), ("test", held)):
            columns = {f"inputs.{key}": np.asarray(value)[chosen] for key, value in inputs.items()}
            columns |= {f"targets.{key}": np.asarray(v)[chosen] for key, v in {"label": label, **targets}.items()}
            if classes is not None and name == "train":
                columns["classes"] = np.array(classes)
            np.savez(project / "data" / f"{name}.npz", **columns)

    return write


@pytest.fixture
def run_case(project: Path) -> Callable[..., Case]:
    """A function that takes a project through its stages up to `until`; further sections replace the usual ones."""

    def run(
        source: str | None = None,
        *,
        devices: tuple[str, ...] = ("host-cpu",),
        quantize: dict[str, Any],
        compress: dict[str, Any] | None = None,
        until: str = "benchmark",
        **sections: Any,
    ) -> Case:
        chosen = {
            "name": "case",
            "prepare": {"source": "npz", "path": "data", "validation": 0.2, "calibration": 50, "seed": 0},
            "model": {"family": "file", "source": source},
            "train": {"epochs": 0},
            "compress": compress or {},
            "quantize": quantize,
            "benchmark": {"reference": next(iter(quantize)), "devices": list(devices), "protocol": SHORT},
            "bundle": {"default": {"minimize": "latency_ms", "max_quality_drop": 0.1}},
        } | sections
        (project / "params.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
        if not (project / "infra").exists():
            (project / "infra").symlink_to(ROOT / "infra")
        fit.reset(0)
        stages = list(STAGES)
        for stage, *keys in _order(params.load()):
            if stages.index(stage) <= stages.index(until):
                call(stage, *keys)
        return Case(project)

    return run


def _order(settings: params.Params) -> list[tuple[str, ...]]:
    """Every stage of a run, in an order that respects what each needs."""
    pairs = [(variant, device) for device in settings.benchmark.devices for variant in settings.quantize]
    return [
        ("code",),
        *(("sources", kind) for kind in KINDS),
        ("prepare",),
        ("train",),
        *(("compress", name) for name in settings.model_order()),
        *((stage, variant) for variant in settings.quantize for stage in ("quantize", "evaluate")),
        *(("fingerprint", device) for device in settings.benchmark.devices),
        *(("benchmark", *pair) for pair in pairs),
        ("report",),
        *(("bundle", device) for device in settings.benchmark.devices),
    ]
