"""Stage `report`: everything that was measured, compared, in one folder for people and for tools."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from tasks import advice, compare, dataset, failures, limits, page, paths, roofline_error, speed
from tasks.errors import DataError
from tasks.files import replaced_folder, write_json, write_text
from tasks.params import Params
from tasks.records import (
    ArtifactCard,
    Comparison,
    Energy,
    Evaluation,
    Instructions,
    Latency,
    Measurement,
    Memory,
    ModelCard,
    Ratio,
    Record,
    Row,
    Split,
    Subject,
    read,
)


def report(params: Params) -> None:
    """Compare the variants and devices that `params` names and write `out/report/` whole.

    Files: `comparison.json` (the record), `comparison.csv` (a line per pair), `advice.json` (what to ship where),
    `metrics.json` and `plot.csv` (for `dvc metrics` and `dvc plots`) and `index.html`, which needs nothing else;
    `roofline.json`, where hardware that was predicted was measured too.

    Raises:
        DataError: a record is malformed, or an evaluation was made on other test data.
    """
    comparison = gather(params)
    advised = advice.advise(comparison, params)
    with replaced_folder(paths.REPORT) as folder:
        comparison.save(folder / "comparison.json")
        advised.save(folder / "advice.json")
        write_text(folder / "comparison.csv", _csv([_line(row) for row in comparison.rows]))
        write_json(folder / "metrics.json", metrics(comparison))
        write_text(folder / "plot.csv", _csv(list(_points(comparison))))
        write_text(folder / "index.html", page.render(comparison, advised, _about(params, comparison)))
        errors = roofline_error.find(row.measurement for row in comparison.rows)
        if errors:
            write_json(folder / "roofline.json", [error.model_dump(mode="json") for error in errors])


def _about(params: Params, comparison: Comparison) -> str:
    """What the figures were made from, in a sentence."""
    first = comparison.rows[0] if comparison.rows else None
    counts = f", {first.quality_n} test and {first.validation_n} validation examples" if first else ""
    data, trained = params.prepare, params.train.seed
    return f"Data: {data.source}, split by seed {data.seed}{counts}; trained by seed {trained}."


def gather(params: Params) -> Comparison:
    """Read the records of the variants and devices that `params` names; other files are ignored."""
    subjects: list[Subject] = []
    lost: dict[str, list[str]] = {}  # what has failed, by its reason: one may have taken many variants along
    refused: dict[str, list[str]] = {}  # likewise what can never be made
    for variant in params.quantize:
        try:
            subjects.append(_subject(variant))
        except DataError as error:  # a failed variant is told and does not hide the others
            known = failures.first(params, variant)
            told = refused if known and known.refused else lost
            told.setdefault(known.line if known else str(error), []).append(variant)
    labels: tuple[compare.Labels | None, compare.Labels | None] = (None, None)
    try:
        labels = _labels("test"), _labels("validation")
    except DataError as error:  # evaluations may outlive the data that they were made on
        if subjects:
            lost.setdefault(str(error), []).append("McNemar's test")
    measurements = [_measurement(s, device, params) for device in params.benchmark.devices for s in subjects]
    comparison = compare.build(params.name, params.benchmark.reference, subjects, measurements, *labels)
    first = comparison.rows[0] if comparison.rows else None
    few = limits.notes(params, first.metric, first.validation_n or 0) if first else ()
    errors = roofline_error.find(row.measurement for row in comparison.rows)
    notes = (*comparison.notes, *few, *roofline_error.notes(errors))
    return comparison.model_copy(update={"failures": _told(lost), "refused": _told(refused), "notes": notes})


def _told(reasons: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


def metrics(comparison: Comparison) -> dict[str, dict[str, dict[str, float]]]:
    """{variant: {device: {quality's metric, latency_ms, latency_ratio, energy_mj, bytes}}}; the unknown is absent.

    `latency_ms` is what was read at one time; between variants only `latency_ratio` compares.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in comparison.rows:
        m = row.measurement
        known = {
            row.metric: row.quality,
            "latency_ms": m.latency.ms_p50 if m.status == "ok" and m.latency else None,
            "latency_ratio": m.ratio.value if m.status == "ok" and m.ratio else None,
            "energy_mj": m.energy.mj if m.status == "ok" else None,
            "bytes": row.bytes,
        }
        figures_of_pair = {name: value for name, value in known.items() if value is not None}
        table.setdefault(row.variant, {})[row.device] = figures_of_pair
    return table


def _subject(variant: str) -> Subject:
    artifact = read(ArtifactCard, paths.artifact(variant) / "card.json")
    evaluation = read(Evaluation, paths.evaluation(variant))
    if evaluation.artifact_sha256 != artifact.sha256:
        raise DataError(f"{paths.evaluation(variant)}: evaluates an earlier artifact; evaluate again: `tercet run`")
    model = read(ModelCard, paths.model(artifact.model) / "card.json")
    return Subject(artifact=artifact, model=model, evaluation=evaluation)


def _measurement(subject: Subject, device: str, params: Params) -> Measurement:
    """The pair's record, or one of status `error` that says why there is none."""
    variant, sha256 = subject.variant, subject.artifact.sha256
    path, failed = paths.benchmark(variant, device), failures.find("benchmark", variant, device)
    reason = "not measured yet"
    if path.exists():
        measurement = read(Measurement, path)
        if measurement.artifact_sha256 == sha256:
            return measurement
        reason = "the record is of an earlier artifact; measure again: `tercet run`"
    return Measurement(
        variant=variant,
        device=device,
        device_kind="unknown",
        status="error",
        reason=failed.reason if failed else reason,
        mode=params.benchmark.protocol.mode,
        artifact_sha256=sha256,
    )


def _labels(split: Split) -> compare.Labels | None:
    """The true classes of a split; None where the targets are no classes."""
    return dataset.load_raw(split).targets.get(dataset.LABEL)


def _line(row: Row) -> dict[str, Any]:
    """A pair as one line of CSV; None becomes an empty field: not known."""
    m = row.measurement
    own = {"variant", "device", "model", "scheme", "total_epochs", "metric"}
    quality = {"quality", "quality_low", "quality_high", "quality_n", "validation_quality"}
    return {
        **row.model_dump(include=own),
        **m.model_dump(include={"device_kind", "mode", "status", "reason", "reference"}),
        "flags": " ".join(m.flags),
        **row.model_dump(include=quality),
        "mcnemar_better": row.mcnemar.better if row.mcnemar else None,
        "mcnemar_worse": row.mcnemar.worse if row.mcnemar else None,
        "mcnemar_p": row.mcnemar.p_value if row.mcnemar else None,
        "control": row.control.variant if row.control else None,
        "control_quality": row.control.quality if row.control else None,
        "control_epochs": row.control.total_epochs if row.control else None,
        **_fields("latency", Latency, m.latency),
        **_fields("ratio", Ratio, m.ratio),
        **_fields("energy", Energy, m.energy),
        **_fields("memory", Memory, m.memory),
        **_fields("instructions", Instructions, m.instructions),
        **row.model_dump(
            include={"bytes", "gzip_bytes", "zstd_bytes", "on_latency_front", "on_energy_front", "verdict"}
        ),
    }


def _fields(prefix: str, kind: type[Record], record: Record | None) -> dict[str, Any]:
    """A record's fields as columns; all of them empty where there is no record."""
    return {f"{prefix}_{name}": getattr(record, name, None) for name in kind.model_fields}


def _points(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Quality against latency, as choices compare it, for `dvc plots`; pairs without a latency have no place in it."""
    for rows in compare.by_device(comparison.rows).values():
        for row in rows:
            if known := speed.cost(row, rows, "latency_ms"):
                yield {
                    "device": row.device,
                    "variant": row.variant,
                    "latency_ms": known.value,
                    "latency_provenance": known.source,
                    "quality": row.quality,
                }


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()
