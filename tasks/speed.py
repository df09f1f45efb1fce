"""How a variant fares on a device against the others: what choices compare it by, and its verdict in a word. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, get_args

from tasks.intervals import Kind
from tasks.params import BASELINE
from tasks.records import EnergyKind, Measurement, Provenance, Ratio, Row

NEGLIGIBLE = 0.03  # a smaller change of latency is none
SURE = 1.1  # an interval that holds 1 shows that nothing changed only where it is no wider than this factor
TRUST = (*get_args(Provenance), *get_args(EnergyKind))  # where figures come from, the most trusted first
UNPAIRED = "unpaired "  # before the source of a measurement that no turns with the reference stand behind
Paired = Literal["latency_ms", "energy_mj"]  # figures that are measured in turns with the reference
PAIRED: tuple[Paired, Paired] = ("latency_ms", "energy_mj")
Outcome = Literal[
    "reference",
    "faster",
    "slower",
    "fewer instructions",
    "more instructions",
    "no change",
    "inconclusive",
    "not compared",
    "unsupported",
    "invalid",
    "error",
]


@dataclass(frozen=True)
class Speed:
    """Latency, or an emulator's instructions, over that of `against`; below 1 is better."""

    against: str
    ratio: float
    low: float | None
    high: float | None
    of: Literal["latency", "instructions"] = "latency"
    kind: Kind = "interval"  # a range, of too few pairs or of two estimates, claims nothing of 95 %
    pairs: int | None = None  # of windows; null where nothing was measured

    @property
    def few(self) -> bool:
        """Whether so few pairs stand behind it that nothing may be concluded."""
        return self.kind == "range" and self.pairs is not None

    @property
    def outcome(self) -> Outcome:
        """No change under 3 % or where the interval holds 1 closely; inconclusive where it holds it widely.

        Of too few pairs for an interval it is always inconclusive: equal variants would often seem to differ.
        """
        if self.few:
            return "inconclusive"
        if self.low is not None and self.high is not None and self.low <= 1 <= self.high:
            return "no change" if self.low >= 1 / SURE and self.high <= SURE else "inconclusive"
        if abs(self.ratio - 1) < NEGLIGIBLE:
            return "no change"
        if self.of == "instructions":
            return "fewer instructions" if self.ratio < 1 else "more instructions"
        return "faster" if self.ratio < 1 else "slower"


@dataclass(frozen=True)
class Cost:
    """A figure of a row as all choices compare it: champions, budgets, fronts and searches."""

    value: float
    low: float  # its interval; both ends are `value` where it is exact, or where nothing is known of it
    high: float
    kind: Kind  # of 95 %, or of too few pairs for one
    source: str  # where it comes from: costs of two sources are not compared

    @property
    def trust(self) -> tuple[int, bool]:
        """Less is better."""
        return TRUST.index(self.source.removeprefix(UNPAIRED)), self.source.startswith(UNPAIRED)

    def tied(self, other: "Cost") -> bool:
        """Whether the two cannot be told apart: as far from each other as both intervals together reach, or nearer.

        Each interval stands on windows of its own, so their halves towards each other, in logarithms, add as the root
        of the sum of squares. A range of few pairs tells nothing apart.
        """
        if "range" in (self.kind, other.kind):
            return True
        less, more = sorted((self, other), key=lambda cost: cost.value)
        if less.value == more.value or not less.value > 0 < more.low:
            return less.value == more.value
        reach = math.hypot(math.log(less.high / less.value), math.log(more.value / more.low))
        return math.log(more.value / less.value) <= reach


def exactly(value: float, source: str) -> Cost:
    """A cost without an interval."""
    return Cost(value, value, value, "interval", source)


def cost(row: Row, device: Sequence[Row], of: Paired) -> Cost | None:
    """What a row costs on its device: of a measurement its paired ratio times the reference's own level.

    Two medians that were taken at two times are never set against each other, unless nothing on the device was paired;
    the source then says so. An estimate is what it is: the range around it is of one unknown that all rows share.

    Args:
        row: the variant on the device.
        device: all rows of that device, `row` among them.
        of: the figure.

    Returns:
        The cost; None where the row did not run, or has no such figure.
    """
    turns = [other.measurement for other in device if _ratio(other.measurement, of)]
    reference = turns[0].reference if turns else None
    own = next((other.measurement for other in device if other.variant == reference), None)
    levels = [level for m in turns if (level := turn_level(m, of)) is not None]
    known = (own and _figure(own, of)) or ((median(levels), "") if levels else None)
    return on_scale(row.measurement, of, known[0] if known else None, is_reference=row.variant == reference)


def on_scale(m: Measurement, of: Paired, level: float | None, *, is_reference: bool = False) -> Cost | None:
    """What a variant costs where its reference costs `level`; null: no reference is known."""
    own, ratio = _figure(m, of), _ratio(m, of)
    if own is None:
        return None
    value, source = own
    if level is not None and is_reference:
        return exactly(level, source)
    if level is not None and ratio is not None:
        return Cost(ratio.value * level, ratio.low * level, ratio.high * level, ratio.kind, source)
    estimate = source in ("estimated", "emulated") or source.startswith("estimate_")
    return exactly(value, source if estimate else f"{UNPAIRED}{source}")


def _figure(m: Measurement, of: Paired) -> tuple[float, str] | None:
    """A measurement's own figure and where it comes from."""
    if m.status != "ok":
        return None
    if of == "latency_ms":
        known = m.latency is not None and m.latency.provenance != "none"
        return (m.latency.ms_p50, m.latency.provenance) if m.latency and known else None
    return None if m.energy.mj is None or m.energy.kind == "none" else (m.energy.mj, m.energy.kind)


def _ratio(m: Measurement, of: Paired) -> Ratio | None:
    """The paired ratio behind a figure, of a pair that ran."""
    if m.status != "ok" or m.reference is None:
        return None
    return m.ratio if of == "latency_ms" else m.energy.ratio


def turn_level(m: Measurement, of: Paired) -> float | None:
    """What the reference cost in its turns with one variant: the median of its windows; null where it took none."""
    windows = [window for window in m.windows if window.variant == m.reference]
    values = [window.ms_p50 if of == "latency_ms" else window.energy_mj for window in windows]
    known = [value for value in values if value is not None]
    return median(known) if known else None


def anchor(device: Sequence[Row], reference: str) -> Row | None:
    """The row that the others of a device are compared with.

    The reference, or where it cannot run the first variant of the uncompressed model that can; None when none can.
    """
    ok = [row for row in device if row.measurement.status == "ok"]
    own = [row for row in ok if row.variant == reference]
    return next(iter(own + [row for row in ok if row.model == BASELINE]), None)


def compared(row: Row, against: Row | None) -> Speed | None:
    """How fast `row` is: its paired ratio, or between two estimates of one kind the ratio of their figures.

    Two ranges are compared end with end: the ratio is anywhere from the one to the other.

    Two measurements that were not paired are not compared: the machine may have changed between them. Where a device
    counts instructions and knows no time, those are compared.
    """
    m = row.measurement
    if m.status != "ok":
        return None
    if m.ratio is not None and m.reference is not None:
        return Speed(m.reference, m.ratio.value, m.ratio.low, m.ratio.high, kind=m.ratio.kind, pairs=m.ratio.pairs)
    if against is None or against.variant == row.variant:
        return None
    other = against.measurement
    if m.instructions and other.instructions:
        ratio = m.instructions.per_inference / other.instructions.per_inference
        return Speed(against.variant, ratio, None, None, of="instructions")
    if m.latency is None or other.latency is None or m.latency.provenance != other.latency.provenance:
        return None
    if m.latency.provenance in ("measured", "none") or not other.latency.ms_p50:
        return None
    ratio, low, high = m.latency.ms_p50 / other.latency.ms_p50, None, None
    if m.latency.ms_low and m.latency.ms_high and other.latency.ms_low and other.latency.ms_high:
        low, high = sorted((m.latency.ms_low / other.latency.ms_low, m.latency.ms_high / other.latency.ms_high))
    return Speed(against.variant, ratio, low, high, kind="range")


def outcome(row: Row, against: Row | None) -> Outcome:
    """The verdict in a word; `against` is the device's anchor."""
    if row.measurement.status != "ok":
        return row.measurement.status
    found = compared(row, against)
    if found is not None:
        return found.outcome
    return "reference" if against is not None and against.variant == row.variant else "not compared"
