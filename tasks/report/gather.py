"""The records of a project, read and compared; of what is not there, the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tasks import paths
from tasks.errors import DataError
from tasks.examples import Array, dataset
from tasks.params import BASELINE, Params, Prices
from tasks.params.seeds import by_seed
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
    YardstickScores,
    estimates,
    failures,
    read,
)
from tasks.records.metrics import METRICS
from tasks.report import compare, roofline_error
from tasks.report.seeds import joined


@dataclass
class _Absent:
    """Variants without a subject, by the reason or with it."""

    lost: dict[str, list[str]] = field(default_factory=dict)  # what has failed: one reason may have taken many along
    refused: dict[str, list[str]] = field(default_factory=dict)  # likewise what can never be made
    unjudged: dict[str, str] = field(default_factory=dict)  # why, by the variant whose answers are no numbers


def gather(params: Params) -> Comparison:
    """Read the records of the variants and devices that `params` names; other files are ignored.

    Raises:
        DataError: a record is malformed, or an evaluation was made on other test data.
    """
    first, *further = (_gather(part) for part in by_seed(params))
    return joined(first, further, params) if further else first


def _gather(params: Params) -> Comparison:
    """Those of one seed."""
    subjects, absent = _subjects(params)
    truths: tuple[Array | None, Array | None] = (None, None)
    try:
        truths = _truth("test"), _truth("validation")
    except DataError as error:  # evaluations may outlive the data that they were made on
        if subjects:
            absent.lost.setdefault(str(error), []).append("paired tests")
    measurements = [_measurement(s.artifact, device, params) for device in params.benchmark.devices for s in subjects]
    yardsticks, unscored = _yardsticks(params)
    comparison = compare.build(params.name, params.benchmark.reference, subjects, measurements, *truths, yardsticks)
    first = comparison.rows[0] if comparison.rows else None
    if absent.unjudged:
        rows = (*comparison.rows, *_unjudged(params, absent.unjudged))
        comparison = comparison.model_copy(update={"rows": _in_order(rows, params)})
    comparison = _priced(comparison, params.benchmark.prices)
    few = limits.notes(params, first.metric, first.validation_n or 0) if first else ()
    errors = roofline_error.find(row.measurement for row in comparison.rows)
    judged = estimates.notes(row.measurement for row in comparison.rows)
    notes = (
        *comparison.notes,
        *unscored,
        *few,
        *roofline_error.notes(errors),
        *judged,
        *_prices(params.benchmark.prices),
    )
    told = {"failures": _told(absent.lost), "refused": _told(absent.refused), "notes": notes}
    return comparison.model_copy(update=told)


def _priced(comparison: Comparison, prices: Prices | None) -> Comparison:
    """The same with what the use of each device costs."""
    if prices is None:
        return comparison

    rows = tuple(row.model_copy(update={"rates": prices.rates(row.device)}) for row in comparison.rows)
    return comparison.model_copy(update={"rows": rows})


def _prices(prices: Prices | None) -> list[str]:
    """By which prices a cost was found, and who says so."""
    if prices is None:
        return []
    named = {f"an hour of {name}": price for name, price in prices.hour.items()}
    named |= {"a kilowatt-hour": prices.kwh} if prices.kwh else {}
    told = [f"{what} at {price.value:g} {prices.currency} ({price.source})" for what, price in named.items()]
    return [f"Costs count {', '.join(told)}"] if told else []


def subject(variant: str) -> Subject:
    """A variant that is made and evaluated.

    Raises:
        DataError: it is not, or its evaluation is of another file.
    """
    artifact = read(ArtifactCard, paths.artifact(variant) / "card.json")
    evaluation = read(Evaluation, paths.evaluation(variant))
    if evaluation.artifact_sha256 != artifact.sha256:
        raise DataError(f"{paths.evaluation(variant)}: evaluates an earlier artifact; evaluate again: `tercet run`")
    model = read(ModelCard, paths.model(artifact.model) / "card.json")
    return Subject(artifact=artifact, model=model, evaluation=evaluation)


def _subjects(params: Params) -> tuple[list[Subject], _Absent]:
    subjects, absent = [], _Absent()
    for variant in params.quantize:
        try:
            _see_line(params, variant)
            subjects.append(subject(variant))
        except DataError as error:  # a failed variant is told and does not hide the others
            failed = failures.first(_needed(params, variant))
            if failed and failed.stage == "evaluate" and failed.refused and _made(variant):
                absent.unjudged[variant] = failed.reason
                continue
            told = absent.refused if failed and failed.refused else absent.lost
            told.setdefault(failed.line if failed else str(error), []).append(variant)
    return subjects, absent


def _yardsticks(params: Params) -> tuple[list[YardstickScores], list[str]]:
    """What yardsticks score, and of those without a score why."""
    found, absent = [], []
    for name in params.yardsticks:
        path, failed = paths.yardstick(name), _unprepared() or failures.find("yardstick", name)
        if failed is None and path.exists():
            found.append(read(YardstickScores, path))
        else:
            absent.append(f"The yardstick {name} has no score: {failed.reason if failed else 'not scored yet'}.")
    return found, absent


def _needed(params: Params, variant: str) -> Iterator[tuple[str, ...]]:
    """The stages that an evaluated variant needs, with their keys, in the order that they run."""
    model = params.quantize[variant].model
    baseline, *models = [model, *params.ancestors(model)][::-1]
    yield from (("code",), ("sources", "data"), ("sources", "model"), ("prepare",))
    yield ("train",) if baseline == BASELINE else ("train", baseline)
    yield from (("compress", name) for name in models)
    yield from (("quantize", variant), ("evaluate", variant))


def _see_line(params: Params, variant: str) -> None:
    """See that all that a variant is made from is there: behind what failed, what was made before is still there.

    Raises:
        DataError: the data could not be prepared, or a model of the variant's line is not there.
    """
    if failed := _unprepared():
        raise DataError(failed.line)
    name: str | None = params.quantize[variant].model
    while name is not None:
        if not (card := paths.model(name) / "card.json").exists():
            raise DataError(f"{card}: no such file; `tercet run` makes it")
        name = params.compress[name].parent if name in params.compress else None


def _unprepared() -> failures.Failure | None:
    """Why there are no data; null where there are, or where nothing has failed: records may outlive their data."""
    return None if paths.DATA.exists() else failures.find("prepare")


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
                told = {"status": "invalid", "reason": reason, "passing": False}
                measurement = measurement.model_copy(update=told)
            yield compare.unjudged(artifact, model, measurement, params.metric, metric)


def _in_order(rows: Sequence[Row], params: Params) -> tuple[Row, ...]:
    """Device by device, and there in the order of params.yaml."""
    devices, variants = (
        {name: place for place, name in enumerate(names)} for names in (params.benchmark.devices, params.quantize)
    )
    return tuple(sorted(rows, key=lambda row: (devices[row.device], variants[row.variant])))


def _told(reasons: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


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
