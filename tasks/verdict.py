"""Did compression help here? One sentence for each variant on each device, from recorded facts only. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks import figures
from tasks.params import BASELINE
from tasks.records import ArtifactCard, Evaluation, ModelCard, Row

NEGLIGIBLE = 0.03  # a smaller change of latency is none
SIGNIFICANT = 0.05  # McNemar's p-value
SURE = 1.1  # an interval that holds 1 shows that nothing changed only where it is no wider than this factor
Outcome = Literal[
    "reference",
    "faster",
    "slower",
    "no change",
    "inconclusive",
    "not compared",
    "unsupported",
    "invalid",
    "error",
]


@dataclass(frozen=True)
class Subject:
    """What is known of a variant before any device is asked."""

    artifact: ArtifactCard
    model: ModelCard
    evaluation: Evaluation

    @property
    def variant(self) -> str:
        """The variant's name."""
        return self.artifact.variant

    @property
    def total_epochs(self) -> int:
        """Epochs since the first weights, quantization-aware ones among them."""
        return self.model.total_epochs + self.artifact.aware_epochs


@dataclass(frozen=True)
class Speed:
    """Latency over that of `against`; below 1 is faster. Estimates have no interval."""

    against: str
    ratio: float
    low: float | None
    high: float | None

    @property
    def outcome(self) -> Outcome:
        """No change under 3 % or where the interval holds 1 closely; inconclusive where it holds it widely."""
        if self.low is not None and self.high is not None and self.low <= 1 <= self.high:
            return "no change" if self.low >= 1 / SURE and self.high <= SURE else "inconclusive"
        if abs(self.ratio - 1) < NEGLIGIBLE:
            return "no change"
        return "faster" if self.ratio < 1 else "slower"


def anchor(device: Sequence[Row], reference: str) -> Row | None:
    """The row that the others of a device are compared with.

    The reference, or where it cannot run the first variant of the uncompressed model that can; None when none can.
    """
    ok = [row for row in device if row.measurement.status == "ok"]
    own = [row for row in ok if row.variant == reference]
    return next(iter(own + [row for row in ok if row.model == BASELINE]), None)


def speed(row: Row, against: Row | None) -> Speed | None:
    """How fast `row` is: its paired ratio, or between two estimates of one kind the ratio of their figures.

    Two measurements that were not paired are not compared: the machine may have changed between them.
    """
    m = row.measurement
    if m.status != "ok" or m.latency is None:
        return None
    if m.ratio is not None and m.reference is not None:
        return Speed(m.reference, m.ratio.value, m.ratio.low, m.ratio.high)
    other = against.measurement.latency if against is not None else None
    if against is None or other is None or against.variant == row.variant:
        return None
    if m.latency.provenance in ("measured", "none") or m.latency.provenance != other.provenance or not other.ms_p50:
        return None
    return Speed(against.variant, m.latency.ms_p50 / other.ms_p50, None, None)


def outcome(row: Row, against: Row | None) -> Outcome:
    """The verdict in a word; `against` is the device's anchor."""
    if row.measurement.status != "ok":
        return row.measurement.status
    found = speed(row, against)
    if found is not None:
        return found.outcome
    return "reference" if against is not None and against.variant == row.variant else "not compared"


def sentence(row: Row, device: Sequence[Row], subject: Subject, reference: str, base: Subject | None) -> str:
    """The verdict: speed, quality and size against the reference, and the likely cause where compression did not help.

    Args:
        row: the variant on the device.
        device: all rows of that device, `row` among them.
        subject: the variant's cards.
        reference: the variant that all are compared with.
        base: the reference's cards; None when it failed.
    """
    m = row.measurement
    if m.status != "ok":
        word = "failed" if m.status == "error" else m.status
        return f"{word.capitalize()}: {(m.reason or 'no reason was recorded').rstrip('.')}."
    against = anchor(device, reference)
    if row.variant == reference:
        clauses = ["The reference: ratios, changes and sizes are against it"]
    else:
        own = outcome(row, against) == "reference"
        clauses = [
            f"The others are compared with it here, as {reference} does not run" if own else _speed(row, against)
        ]
        details = [_quality(row, base), _size(subject, base)] if base is not None else []
        # where latency is against another variant, quality and size say whom they are against
        other = details and (against is None or against.variant != reference)
        clauses += [f"against {reference}: {', '.join(details)}"] if other else details
    text = "; ".join(clauses)
    causes = [*_causes(row, device, subject, against), *_flags(row)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in [text, *causes])


def _speed(row: Row, against: Row | None) -> str:
    found = speed(row, against)
    if found is None:
        return "latency not compared: no paired windows"
    estimated = "" if row.measurement.latency is None else row.measurement.latency.provenance
    lead = "" if estimated == "measured" else f"{estimated} "
    if found.outcome in ("no change", "inconclusive"):
        detail = figures.ratio(found.ratio) + _interval(found.low, found.high)
        what = "no measurable change" if found.outcome == "no change" else "too unsteady to tell a change"
        return f"{lead}{what} of latency against {found.against} (ratio {detail})".strip()
    faster = found.outcome == "faster"
    factor, low, high = found.ratio, found.low, found.high
    if faster:
        factor = 1 / found.ratio
        low, high = (None, None) if not low or not high else (1 / high, 1 / low)
    return f"{lead}{figures.ratio(factor)}× {found.outcome} than {found.against}{_interval(low, high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{figures.ratio(low)}–{figures.ratio(high)}]"


def _quality(row: Row, base: Subject) -> str:
    test = next((s for s in base.evaluation.scores if s.split == "test" and s.kernels == "default"), None)
    if test is None or row.mcnemar is None:
        return f"{row.metric} not compared"
    paired = row.mcnemar
    if paired.better == paired.worse == 0:
        return f"{row.metric} as {base.variant}'s on every example"
    change = figures.points(row.quality - test.value, row.quality_n)
    if paired.p_value < SIGNIFICANT:
        return f"{row.metric} {change} points ({figures.probability(paired.p_value)})"
    return f"no significant change of {row.metric} ({change} points, {figures.probability(paired.p_value)})"


def _size(subject: Subject, base: Subject) -> str:
    raw = _factor(base.artifact.bytes / subject.artifact.bytes)
    packed = _factor(base.artifact.gzip_bytes / subject.artifact.gzip_bytes)
    return f"file {raw}" if raw == packed else f"file {raw}, {packed} under gzip"


def _factor(smaller: float) -> str:
    if abs(smaller - 1) < 0.01:
        return "of the same size"
    if smaller > 1:
        return f"{figures.significant(smaller)}× smaller"
    return f"{figures.significant(1 / smaller)}× larger"


def _causes(row: Row, device: Sequence[Row], subject: Subject, against: Row | None) -> list[str]:
    """Why there is no gain of speed, where the records tell. Only for LiteRT on a CPU, whose kernels are known."""
    if row.measurement.device_kind != "litert":
        return []
    word = outcome(row, against)
    causes = []
    expanded = subject.artifact.operators.get("DEQUANTIZE", 0)
    if row.scheme == "float16" and expanded and word in ("no change", "slower"):
        causes.append(f"likely cause: {expanded} float16 tensors are expanded to float32 when the model loads")
    if row.scheme == "int16x8" and word in ("no change", "slower"):
        causes.append("likely cause: this runtime has no optimised kernels for int16×8")
    twin = _twin(row, device)
    if subject.model.preserves and twin is not None and not _faster_than(row, twin, against):
        what = " and ".join(
            {"sparsity": "zeros", "clusters": "shared values"}[kept] for kept in subject.model.preserves
        )
        packed = _factor(twin.gzip_bytes / row.gzip_bytes)
        causes.append(
            f"no faster than {twin.variant}: this runtime computes {what} like any other weights, "
            f"so the gain is in the download alone ({packed} under gzip than {twin.variant})"
        )
    return causes


def _twin(row: Row, device: Sequence[Row]) -> Row | None:
    """The same scheme without compression, on the same device."""
    same = [r for r in device if r.scheme == row.scheme and r.model == BASELINE and r.measurement.status == "ok"]
    return same[0] if same and row.model != BASELINE else None


def _faster_than(row: Row, twin: Row, against: Row | None) -> bool:
    """Whether `row` is faster than its twin beyond doubt: their intervals against the reference are apart."""
    if against is not None and twin.variant == against.variant:
        return outcome(row, against) == "faster"
    own, other = speed(row, against), speed(twin, against)
    if own is None or other is None or own.high is None or other.low is None:
        return True  # nothing can be said
    return own.high < other.low and own.ratio < (1 - NEGLIGIBLE) * other.ratio


def _flags(row: Row) -> list[str]:
    m = row.measurement
    told = []
    if "noisy" in m.flags:
        cv = m.latency.window_cv if m.latency is not None else None
        told.append("noisy: the windows differ" + (f" by {100 * cv:.0f} % (CV)" if cv is not None else ""))
    if "drift" in m.flags:
        told.append("drift: the reference ran at another level than in earlier records of this machine")
    return told
