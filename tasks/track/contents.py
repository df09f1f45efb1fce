"""What MLflow shall hold of the records: pure descriptions, made without importing it.

An entry has a `key`, which says what it describes and stays, and a `digest`, which changes with its content.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import paths, records
from tasks.manifest import Manifest
from tasks.params import BASELINE, Params
from tasks.records import Comparison, ModelCard, Record, Row

DERIVED = {"verdict", "on_latency_front", "on_energy_front"}  # of other rows too: a new variant may change them


@dataclass(frozen=True)
class Point:
    """One value of a metric; a curve has one per epoch (`step`, from 0)."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Run:
    """A measurement of one variant on one device, or a model with its training curves."""

    key: str
    digest: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    points: tuple[Point, ...]
    artifact_sha256: str | None = None  # of the file that its metrics are about
    model: str | None = None  # whose training may have streamed the curves already


@dataclass(frozen=True)
class Artifact:
    """A deployable file: a version of the registered model."""

    key: str
    digest: str  # the file's own SHA-256
    variant: str
    file: Path
    tags: dict[str, str]


@dataclass(frozen=True)
class Alias:
    """Which artifact a device's champion is."""

    key: str
    digest: str
    name: str
    artifact_sha256: str | None  # null: the device has no champion


Entry = Artifact | Run | Alias


def collect(params: Params) -> list[Entry]:
    """Everything that is to be published, in the order in which one refers to another.

    Raises:
        DataError: the report has not been made.
    """
    comparison = records.read(Comparison, paths.REPORT / "comparison.json")
    return [
        *_artifacts(params.name, comparison),
        *(of_row(params.name, row) for row in comparison.rows),
        *_models(params),
        *_aliases(params),
    ]


def digest(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_row(experiment: str, row: Row) -> Run:
    """A flat run per variant and device; metrics are named as in the records, and what is not known is left out."""
    measured = row.measurement
    tags = {
        "kind": "measurement",
        "device_kind": measured.device_kind,
        "status": measured.status,
        "mode": measured.mode,
        "artifact_sha256": measured.artifact_sha256,
        "energy_kind": measured.energy.kind,
        "latency_provenance": measured.latency.provenance if measured.latency else "none",
        "reason": measured.reason,
        "stand_in": measured.stand_in,
        "flags": " ".join(measured.flags),
    }
    return Run(
        key=f"{experiment}: {row.variant} @ {row.device}",
        digest=digest({"experiment": experiment, "row": row.model_dump(mode="json", exclude=DERIVED)}),
        name=f"{row.variant} @ {row.device}",
        params={"variant": row.variant, "device": row.device, "model": row.model, "scheme": row.scheme},
        tags={name: value for name, value in tags.items() if value},
        points=tuple(Point(name, value) for name, value in _metrics(row).items()),
        artifact_sha256=measured.artifact_sha256,
    )


def _metrics(row: Row) -> dict[str, float]:
    measured = row.measurement
    metrics: dict[str, float | None] = {
        row.metric: row.quality,
        f"{row.metric}_low": row.quality_low,
        f"{row.metric}_high": row.quality_high,
        f"{row.metric}_n": row.quality_n,
        f"validation_{row.metric}": row.validation_quality,
        "mcnemar_p_value": row.mcnemar.p_value if row.mcnemar else None,
        "bytes": row.bytes,
        "gzip_bytes": row.gzip_bytes,
        "zstd_bytes": row.zstd_bytes,
        "total_epochs": row.total_epochs,
        "latency_ratio": measured.ratio.value if measured.ratio else None,
        "latency_ratio_low": measured.ratio.low if measured.ratio else None,
        "latency_ratio_high": measured.ratio.high if measured.ratio else None,
    }
    return {
        **{name: float(value) for name, value in metrics.items() if value is not None},
        **_numbers("latency", measured.latency),
        **_numbers("memory", measured.memory),
        **_numbers("energy", measured.energy),
    }


def _numbers(prefix: str, record: Record | None) -> dict[str, float]:
    fields = record.model_dump() if record else {}
    return {f"{prefix}_{name}": float(value) for name, value in fields.items() if isinstance(value, int | float)}


def of_card(experiment: str, card: ModelCard) -> Run:
    """A run per model, with its training curves."""
    parameters = [] if card.parameters is None else [Point("parameters", card.parameters)]
    curves = [
        point
        for epoch in range(max(map(len, card.history.values()), default=0))
        for point in curve_points(epoch, {name: v[epoch] for name, v in card.history.items() if epoch < len(v)})
    ]
    return Run(
        key=f"{experiment}: model {card.model}",
        digest=digest({"experiment": experiment, "model": card.model_dump(mode="json")}),
        name=model_run_name(card.model),
        params={"model": card.model, "method": card.method, "parent": card.parent or ""},
        tags={"kind": "model"},
        points=(*parameters, Point("total_epochs", card.total_epochs), *curves),
        model=card.model,
    )


def curve_points(epoch: int, metrics: dict[str, float]) -> list[Point]:
    """An epoch's metrics as Keras names them. Without `train_` the artifacts' accuracy would share their chart."""
    return [
        Point(name if name.startswith("val_") else f"train_{name}", value, epoch) for name, value in metrics.items()
    ]


def model_run_name(model: str) -> str:
    """The name of the run that holds a model's curves."""
    return f"model {model}"


def _artifacts(experiment: str, comparison: Comparison) -> Iterator[Artifact]:
    first = {row.measurement.artifact_sha256: row for row in reversed(comparison.rows)}
    for sha256, row in reversed(first.items()):
        tags = {"variant": row.variant, "model": row.model, "scheme": row.scheme, "artifact_sha256": sha256}
        file = paths.artifact(row.variant) / "model.tflite"
        yield Artifact(f"{experiment}: artifact {row.variant} {sha256[:12]}", sha256, row.variant, file, tags)


def _models(params: Params) -> Iterator[Run]:
    for model in (BASELINE, *params.compress):
        path = paths.model(model) / "card.json"
        if path.exists():
            yield of_card(params.name, records.read(ModelCard, path))


def _aliases(params: Params) -> Iterator[Alias]:
    for device in params.benchmark.devices:
        path = paths.bundle(device) / "manifest.json"
        if path.exists():
            sha256, name = records.read(Manifest, path).artifact_sha256, f"champion-{device}"
            yield Alias(f"{params.name}: {name}", digest([name, sha256]), name, sha256)
