"""Stage `report`: everything that was measured, compared, in one folder for people and for tools."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from tasks import files, paths
from tasks.errors import DataError
from tasks.examples import Array, dataset
from tasks.files import replaced_folder, write_json, write_text
from tasks.params import Params
from tasks.quality import limits
from tasks.records import (
    ArtifactCard,
    Comparison,
    Evaluation,
    Measurement,
    ModelCard,
    Row,
    Split,
    Subject,
    read,
)
from tasks.records.figures import FIGURES, QUALITY, Figure, drawn, known
from tasks.records.metrics import METRICS
from tasks.report import advice, compare, page, roofline_error
from tasks.report.about import about
from tasks.report.matrix import matrices
from tasks.ship import speed
from tasks.stages import failures

DETAILS = {  # what the CSV has of a measurement beside its figures
    "latency": ("ms_p10_floor", "ms_p90", "ms_p95", "ms_p99", "ms_mean", "window_cv"),
    "ratio": ("pairs", "kind"),
    "energy": ("scope", "formula", "reason"),
    "memory": ("what",),
    "instructions": ("spread", "cpu"),
}


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
    judged = (row.variant for row in comparison.rows if row.quality is not None)
    subjects = [_subject(variant) for variant in dict.fromkeys(judged)]
    card = paths.DATA / "card.json"
    made_from = about(params, comparison, subjects, files.sha256(card) if card.exists() else None)
    confusions = matrices(advised, [subject.evaluation for subject in subjects])
    with replaced_folder(paths.REPORT) as folder:
        comparison.save(folder / "comparison.json")
        advised.save(folder / "advice.json")
        write_text(folder / "comparison.csv", _csv([_line(row) for row in comparison.rows]))
        write_json(folder / "metrics.json", metrics(comparison))
        write_text(folder / "plot.csv", _csv(list(_points(comparison))))
        write_text(folder / "index.html", page.render(comparison, advised, made_from, confusions))
        errors = roofline_error.find(row.measurement for row in comparison.rows)
        if errors:
            write_json(folder / "roofline.json", [error.model_dump(mode="json") for error in errors])


def gather(params: Params) -> Comparison:
    """Read the records of the variants and devices that `params` names; other files are ignored."""
    subjects: list[Subject] = []
    lost: dict[str, list[str]] = {}  # what has failed, by its reason: one may have taken many variants along
    refused: dict[str, list[str]] = {}  # likewise what can never be made
    unjudged: dict[str, str] = {}  # why, by the variant whose answers are no numbers
    for variant in params.quantize:
        try:
            subjects.append(_subject(variant))
        except DataError as error:  # a failed variant is told and does not hide the others
            failed = failures.first(params, variant)
            if failed and failed.stage == "evaluate" and failed.refused and _made(variant):
                unjudged[variant] = failed.reason
                continue
            told = refused if failed and failed.refused else lost
            told.setdefault(failed.line if failed else str(error), []).append(variant)
    truths: tuple[Array | None, Array | None] = (None, None)
    try:
        truths = _truth("test"), _truth("validation")
    except DataError as error:  # evaluations may outlive the data that they were made on
        if subjects:
            lost.setdefault(str(error), []).append("paired tests")
    measurements = [_measurement(s.artifact, device, params) for device in params.benchmark.devices for s in subjects]
    comparison = compare.build(params.name, params.benchmark.reference, subjects, measurements, *truths)
    first = comparison.rows[0] if comparison.rows else None
    if unjudged:
        rows = (*comparison.rows, *_unjudged(params, unjudged))
        comparison = comparison.model_copy(update={"rows": _in_order(rows, params)})
    few = limits.notes(params, first.metric, first.validation_n or 0) if first else ()
    errors = roofline_error.find(row.measurement for row in comparison.rows)
    notes = (*comparison.notes, *few, *roofline_error.notes(errors))
    return comparison.model_copy(update={"failures": _told(lost), "refused": _told(refused), "notes": notes})


def _made(variant: str) -> bool:
    return (paths.artifact(variant) / "card.json").exists()


def _unjudged(params: Params, reasons: dict[str, str]) -> Iterator[Row]:
    """The pairs of variants whose answers are no numbers: `invalid`, whatever a device measured of them."""
    metric = METRICS.load(params.metric)
    for variant, reason in reasons.items():
        artifact = read(ArtifactCard, paths.artifact(variant) / "card.json")
        model = read(ModelCard, paths.model(artifact.model) / "card.json")
        for device in params.benchmark.devices:
            measurement = _measurement(artifact, device, params)
            if measurement.status != "unsupported":
                measurement = measurement.model_copy(update={"status": "invalid", "reason": reason})
            yield compare.unjudged(artifact, model, measurement, params.metric, metric)


def _in_order(rows: Sequence[Row], params: Params) -> tuple[Row, ...]:
    """Device by device, and there in the order of params.yaml."""
    devices, variants = list(params.benchmark.devices), list(params.quantize)
    return tuple(sorted(rows, key=lambda row: (devices.index(row.device), variants.index(row.variant))))


def _told(reasons: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


def metrics(comparison: Comparison) -> dict[str, dict[str, dict[str, float]]]:
    """{variant: {device: {figure: value}}}; the unknown is absent, and with it a pair that did not run.

    A figure is what was read at one time; between variants only the ratios compare.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in comparison.rows:
        if found := known(row):
            table.setdefault(row.variant, {})[row.device] = {key: each.value for key, each in found.items()}
    return table


def _subject(variant: str) -> Subject:
    artifact = read(ArtifactCard, paths.artifact(variant) / "card.json")
    evaluation = read(Evaluation, paths.evaluation(variant))
    if evaluation.artifact_sha256 != artifact.sha256:
        raise DataError(f"{paths.evaluation(variant)}: evaluates an earlier artifact; evaluate again: `tercet run`")
    model = read(ModelCard, paths.model(artifact.model) / "card.json")
    return Subject(artifact=artifact, model=model, evaluation=evaluation)


def _measurement(artifact: ArtifactCard, device: str, params: Params) -> Measurement:
    """The pair's record, or one of status `error` that says why there is none."""
    variant, sha256 = artifact.variant, artifact.sha256
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


def _truth(split: Split) -> Array | None:
    """What quality is judged by on a split."""
    return dataset.targets(split).get(dataset.LABEL)


def _line(row: Row) -> dict[str, Any]:
    """A pair as one line of CSV: every figure, then what is around them; None becomes an empty field: not known."""
    m = row.measurement
    own = {"variant", "device", "model", "scheme", "total_epochs", "metric", "better"}
    return {
        **row.model_dump(include=own),
        **m.model_dump(include={"device_kind", "mode", "status", "reason", "reference"}),
        "flags": " ".join(m.flags),
        "outcome": row.outcome,
        **{name: cell for figure in FIGURES.values() for name, cell in _cells(figure, row).items()},
        "quality_n": row.quality_n,
        "validation_quality": row.validation_quality,
        "paired_better": row.paired.better if row.paired else None,
        "paired_worse": row.paired.worse if row.paired else None,
        "paired_p": row.paired.p_value if row.paired else None,
        "control": row.control.variant if row.control else None,
        "control_quality": row.control.quality if row.control else None,
        "control_epochs": row.control.total_epochs if row.control else None,
        **{f"{part}_{name}": _detail(m, part, name) for part, names in DETAILS.items() for name in names},
        **{f"front_{figure.key}": figure.key in row.fronts for figure in drawn()},
        "verdict": row.verdict,
    }


def _cells(figure: Figure, row: Row) -> dict[str, Any]:
    """A figure by its key, with its bounds and its source beside it; of a file, which is exact, alone."""
    value = figure.of(row)
    if figure.scope == "file":
        return {figure.key: value and value.value}
    return {
        figure.key: value and value.value,
        f"{figure.key}_low": value and value.low,
        f"{figure.key}_high": value and value.high,
        f"{figure.key}_source": value and value.source,
    }


def _detail(m: Measurement, part: str, name: str) -> Any:
    return getattr(getattr(m, part), name, None) if m.status == "ok" else None


def _points(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Quality and costs, as choices compare them, for `dvc plots`; pairs without a cost have no place in it."""
    for rows in compare.by_device(comparison.rows).values():
        for row in rows:
            costs = {figure.key: speed.cost(row, rows, figure) for figure in drawn()}
            if any(costs.values()):
                yield {
                    "device": row.device,
                    "variant": row.variant,
                    **{key: known and known.value for key, known in costs.items()},
                    **{f"{key}_source": known and known.origin for key, known in costs.items()},
                    QUALITY: row.quality,
                }


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()
