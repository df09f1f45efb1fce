"""The comparison: variants and measurements joined into rows, paired tests, Pareto fronts and verdicts. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

from tasks.errors import DataError
from tasks.examples import Array
from tasks.formats.schemes import SCHEMES
from tasks.intervals import holm
from tasks.quality import choices
from tasks.quality.score import paired
from tasks.records import (
    ArtifactCard,
    Beside,
    Comparison,
    Control,
    Evaluation,
    Measurement,
    ModelCard,
    Row,
    Score,
    Split,
    Subject,
    YardstickScores,
    gain,
    notation,
)
from tasks.records.figures import Value, drawn
from tasks.records.metrics import Metric
from tasks.report import verdict
from tasks.ship.speed import anchor, compared, cost, outcome


def build(
    name: str,
    reference: str,
    subjects: Sequence[Subject],
    measurements: Iterable[Measurement],
    truth: Array | None,
    validation_truth: Array | None = None,
    yardsticks: Sequence[YardstickScores] = (),
) -> Comparison:
    """Join variants and measurements.

    Args:
        name: the workload.
        reference: the variant that qualities and sizes are compared with; its own failure leaves those unknown.
        subjects: every variant that could be made and evaluated.
        measurements: one per pair, in the order that the rows shall have; those of other variants are ignored.
        truth: the target `label` of the test split; None where it is not known (no paired test).
        validation_truth: likewise, of the validation split.
        yardsticks: what every variant is set beside.

    Raises:
        DataError: an evaluation lacks a split, or was made on other test data.
    """
    known = {subject.variant: subject for subject in subjects}
    base = known.get(reference)
    measured = [m for m in measurements if m.variant in known]
    own = {m.device: m for m in measured if m.variant == reference}
    rows = [_row(known[m.variant], m, base, truth) for m in measured]
    rows = [_with_validation(row, known[row.variant], base, own.get(row.device), validation_truth) for row in rows]
    rows = [_with_control(row, known, base, truth) for row in rows]
    rows = [_with_yardsticks(row, known[row.variant], yardsticks, truth) for row in rows]
    devices = [with_speed(_with_fronts(_with_holm(group)), reference) for group in by_device(rows).values()]
    rows = [row for group in devices for row in _with_verdicts(group, known, reference)]
    return Comparison(
        name=name,
        reference=reference,
        rows=tuple(rows),
        yardsticks=tuple(_without_answers(each) for each in yardsticks),
        notes=tuple(_notes(rows, known, base)),
    )


def score(evaluation: Evaluation, split: Split, kernels: Literal["default", "reference"]) -> Score:
    """The score on `split` by `kernels`, or by the default kernels where those were not evaluated.

    Raises:
        DataError: there is neither.
    """
    scores = {s.kernels: s for s in evaluation.scores if s.split == split}
    found = scores.get(kernels) or scores.get("default")
    if found is None:
        raise DataError(
            f"evaluation of {evaluation.variant}: no score on the {split} split by {kernels} or default kernels; "
            f"received {[f'{s.split}/{s.kernels}' for s in evaluation.scores]}; evaluate it again: `tercet run`"
        )
    return found


def measured_score(evaluation: Evaluation, split: Split, measurement: Measurement) -> Score:
    """The score that stands for the device: by its own kernels, or the evaluation's by those that stand in for them."""
    own = [s for s in measurement.scores if s.split == split]
    return own[0] if own else score(evaluation, split, measurement.kernels)


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which (quality, cost) points no other one dominates: as good in both and better in one. Ties are kept."""
    return [
        not any(q >= quality and c <= cost and (q > quality or c < cost) for q, c in points) for quality, cost in points
    ]


def by_device(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each device, both in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.device, []).append(row)
    return found


def heading(rows: Sequence[Row], reference: str) -> str:
    """A device, with what the ratios of its rows are against where that is not the reference, and if they are means."""
    against = rows[0].anchor
    told = rows[0].device if against is None or against == reference else f"{rows[0].device}, against {against}"
    return told + (", means over seeds" if any(row.over_seeds for row in rows) else "")


def _row(subject: Subject, measurement: Measurement, base: Subject | None, truth: Array | None) -> Row:
    test = measured_score(subject.evaluation, "test", measurement)
    against, other = None, base if base is not None and base.variant != subject.variant else None
    if other is not None:
        # The reference is the float model as it runs here: its default kernels, even where the variant's
        # quality stands for a device whose kernels are imitated by the reference kernels.
        against = paired(test, score(other.evaluation, "test", "default"), truth)
    return Row(
        variant=subject.variant,
        device=measurement.device,
        model=subject.model.model,
        scheme=subject.artifact.scheme,
        total_epochs=subject.total_epochs,
        metric=test.metric,
        unit=test.unit,
        better=test.better,
        quality=test.value,
        quality_low=test.low,
        quality_high=test.high,
        quality_n=test.n,
        validation_quality=measured_score(subject.evaluation, "validation", measurement).value,
        paired=against,
        bytes=subject.artifact.bytes,
        gzip_bytes=subject.artifact.gzip_bytes,
        zstd_bytes=subject.artifact.zstd_bytes,
        choices=choices.against(subject.evaluation.choices, other.evaluation.choices if other else None),
        measurement=measurement,
        outcome="not compared",
        verdict="",
    )


def unjudged(artifact: ArtifactCard, model: ModelCard, measurement: Measurement, metric: str, judge: Metric) -> Row:
    """The row of a variant whose answers are no numbers; its measurement is not ok, and says why."""
    return Row(
        variant=artifact.variant,
        device=measurement.device,
        model=model.model,
        scheme=artifact.scheme,
        total_epochs=model.total_epochs + artifact.aware_epochs,
        metric=metric,
        unit=judge.unit,
        better=judge.better,
        quality=None,
        quality_low=None,
        quality_high=None,
        quality_n=0,
        validation_quality=None,
        paired=None,
        bytes=artifact.bytes,
        gzip_bytes=artifact.gzip_bytes,
        zstd_bytes=artifact.zstd_bytes,
        measurement=measurement,
        outcome="unsupported" if measurement.status == "unsupported" else "invalid",
        verdict=verdict.refusal(measurement),
    )


def _with_validation(
    row: Row, subject: Subject, base: Subject | None, base_here: Measurement | None, truth: Array | None
) -> Row:
    """Set the paired test on validation data, which choices are made on, against the reference as it answers here."""
    own = measured_score(subject.evaluation, "validation", row.measurement)
    against = None
    if base is not None and base.variant != subject.variant:
        known = measured_score(base.evaluation, "validation", base_here) if base_here else None
        against = paired(own, known or score(base.evaluation, "validation", "default"), truth)
    return row.model_copy(update={"validation_n": own.n, "validation_paired": against})


def _with_control(row: Row, known: dict[str, Subject], base: Subject | None, truth: Array | None) -> Row:
    """Set what the longer training alone gives, of the control whose budget of epochs is the nearest."""
    own = known[row.variant]
    controls = [] if base is None else _controls(known.values(), base)
    if base is None or not controls or own.total_epochs <= base.total_epochs or own.model.method == "finetune":
        return row
    control = min(controls, key=lambda subject: abs(subject.total_epochs - own.total_epochs))
    test, theirs = measured_score(own.evaluation, "test", row.measurement), score(control.evaluation, "test", "default")
    found = Control(
        variant=control.variant,
        total_epochs=control.total_epochs,
        quality=theirs.value,
        paired=paired(test, theirs, truth),
    )
    return row.model_copy(update={"control": found})


def _with_yardsticks(row: Row, subject: Subject, yardsticks: Sequence[YardstickScores], truth: Array | None) -> Row:
    """Set the row beside each yardstick, on the same test examples and by the same paired test."""
    test = measured_score(subject.evaluation, "test", row.measurement)
    found = [
        Beside(name=each.name, quality=each.on("test").value, paired=paired(test, each.on("test"), truth))
        for each in yardsticks
        if each.on("test").metric == test.metric
    ]
    return row.model_copy(update={"yardsticks": tuple(found)})


def _without_answers(yardstick: YardstickScores) -> YardstickScores:
    scores = [each.model_copy(update={"predictions": (), "kept": ()}) for each in yardstick.scores]
    return yardstick.model_copy(update={"scores": tuple(scores)})


def _controls(subjects: Iterable[Subject], base: Subject) -> list[Subject]:
    """The float variants that were trained longer than the reference, and nothing else was done to them."""
    return [
        s
        for s in subjects
        if s.model.method == "finetune"
        and s.model.parent == base.model.model
        and SCHEMES.load(s.artifact.scheme).reference
    ]


def _with_holm(device: Sequence[Row]) -> list[Row]:
    """Raise the p-values of the variants that ran on a device for each other: the more are tried, the more differ."""
    tested = [row for row in device if row.paired is not None and row.measurement.status == "ok"]
    raised = holm([row.paired.p_value for row in tested if row.paired])
    found = {row.variant: p for row, p in zip(tested, raised, strict=True)}
    return [
        row.model_copy(update={"paired": row.paired.model_copy(update={"p_holm": found[row.variant]})})
        if row.paired and row.variant in found
        else row
        for row in device
    ]


def _with_fronts(device: Sequence[Row]) -> list[Row]:
    """Mark a device's Pareto fronts, of validation quality and what choices compare by; no two sources share one."""
    fronts = {figure.key: on_front(device, [cost(row, device, figure) for row in device]) for figure in drawn()}
    return [
        row.model_copy(update={"fronts": tuple(key for key, members in fronts.items() if i in members)})
        for i, row in enumerate(device)
    ]


def on_front(rows: Sequence[Row], costs: Sequence[Value | None]) -> set[int]:
    """The rows, by index, that are on the front of the costs of their source; those without a cost are on none."""
    sources: dict[str, list[tuple[int, float]]] = {}
    for i, known in enumerate(costs):
        if known is not None:
            sources.setdefault(known.origin, []).append((i, known.value))
    return {
        i
        for members in sources.values()
        for (i, _), best in zip(members, front([(_worth(rows[i]), c) for i, c in members]), strict=True)
        if best
    }


def _worth(row: Row) -> float:
    """Its validation quality, so that more is better."""
    return row.gain(row.worth, 0.0)


def with_speed(device: Sequence[Row], reference: str) -> list[Row]:
    """Say on each row of a device how it compares with the row that all others there are compared with."""
    name = anchor(device, reference)
    against = next((row for row in device if row.variant == name), None)
    return [
        row.model_copy(
            update={"anchor": name, "speed": compared(row, against), "outcome": outcome(row, against)},
        )
        for row in device
    ]


def _with_verdicts(device: Sequence[Row], known: dict[str, Subject], reference: str) -> list[Row]:
    base = known.get(reference)
    told = [verdict.sentence(row, device, known[row.variant], reference, base) for row in device]
    return [row.model_copy(update={"verdict": text}) for row, text in zip(device, told, strict=True)]


def _notes(rows: Sequence[Row], known: dict[str, Subject], base: Subject | None) -> Iterable[str]:
    """What the rows alone would hide: kernels that stand in, and unequal training."""
    for row in rows:
        wanted = row.measurement.kernels
        if row.measurement.status == "ok" and score(known[row.variant].evaluation, "test", wanted).kernels != wanted:
            yield (
                f"{row.variant} @ {row.device}: the {row.metric} is that of the default kernels; "
                f"the {wanted} kernels, which stand for this device, were not evaluated."
            )
    yield from dict.fromkeys(text for row in rows if (text := _choices(row, base)))
    yield from (text for subject in known.values() if (text := _excluded(subject)))
    yield from (text for subject in known.values() if (text := _no_better(subject)))
    yield from (f"{name}: {subject.artifact.note}." for name, subject in known.items() if subject.artifact.note)
    if base is not None:
        yield from _budgets(list(known.values()), base)


def _no_better(subject: Subject) -> str:
    """Whether a variant is no better than who looks at no example."""
    naive, test = subject.evaluation.naive, score(subject.evaluation, "test", "default")
    if naive is None or gain(test.better, test.value, naive) > 0:
        return ""
    own, other = (notation.quality(value, test.unit, test.n) for value in (test.value, naive))
    return f"{subject.variant}: {test.metric} {own} is no better than always the same answer, which gives {other}."


def _choices(row: Row, base: Subject | None) -> str:
    """How a variant answers multiple-choice questions, beside who guesses and beside the reference."""
    found = row.choices
    if found is None:
        return ""
    told = []
    for measure in choices.MEASURES:
        chosen = getattr(found, measure)
        shares = " / ".join(notation.percent(share, found.n) for share in chosen.shares)
        told.append(f"{measure} {notation.quality(chosen.value, 'share', found.n)} (takes the places {shares} %)")
        if chosen.paired and base:
            told[-1] += (
                f", right alone {chosen.paired.better} times and {base.variant} {chosen.paired.worse} times, "
                f"{notation.probability(chosen.paired.p_value)}"
            )
    guessed = notation.quality(found.chance, "share", found.n)
    cut = f" {found.cut} were longer than {found.window} tokens and lost their beginning." if found.cut else ""
    return f"{row.variant}, {found.n} questions of {found.file}, by guessing {guessed}: {'; '.join(told)}.{cut}"


def _excluded(subject: Subject) -> str:
    """Which layers a variant has left out of its scheme, and what of the bound that it was for was reached."""
    card = subject.artifact
    if not card.excluded and card.allowed_drop is None:
        return ""
    text = f"{card.variant}: not at {card.scheme}: {', '.join(card.excluded) or 'no layer'}."
    if card.allowed_drop is None or card.validation_drop is None:
        return text
    kept = "within" if card.validation_drop <= card.allowed_drop else "not within"
    of, apart = subject.evaluation.scores[0], abs(card.validation_drop)
    lower = (of.better == "higher") == (card.validation_drop >= 0)
    distance = f"{apart:.4f}" if of.unit == "share" else notation.significant(apart)
    told = f"{distance} {'below' if lower else 'above'} float32 on validation data"
    return f"{text} It lies {told}, {kept} the {card.allowed_drop:g} asked for."


def _budgets(subjects: Sequence[Subject], base: Subject) -> Iterable[str]:
    """Who had more training than the reference, and the control that had as much and nothing else."""
    longer = [s for s in subjects if s.total_epochs > base.total_epochs and s.model.method != "finetune"]
    if not longer:
        return
    controls = _controls(subjects, base)
    told = ", ".join(f"{s.variant} {s.total_epochs}" for s in longer)
    text = f"Trained longer than {base.variant} ({base.total_epochs} epochs): {told}. "
    if not controls:
        yield text + "No control of equal budget is among the variants (method finetune, scheme float32)."
        return
    yield text + "Equal-budget control, trained further and nothing else: " + ", ".join(map(_control, controls)) + "."


def _control(subject: Subject) -> str:
    test = score(subject.evaluation, "test", "default")
    told = notation.quality(test.value, test.unit, test.n)
    return f"{subject.variant} ({subject.total_epochs} epochs, {test.metric} {told})"
