"""How a variant fares on a device against the others: what choices compare it by, and its verdict in a word. Pure."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import get_args

from tasks.params import is_baseline
from tasks.records import EnergyKind, Measurement, Outcome, Provenance, Ratio, Row, Speed
from tasks.records.figures import FIGURES, Figure, Turns, Value, exactly

NEGLIGIBLE = 0.03  # a smaller change of latency is none
SURE = 1.1  # an interval that holds 1 shows that nothing changed only where it is no wider than this factor
TRUST = (*get_args(Provenance), *get_args(EnergyKind))  # where figures come from, the most trusted first


def word(found: Speed) -> Outcome:
    """No change under 3 % or where the interval holds 1 closely; inconclusive where it holds it widely.

    Of too few pairs for an interval it is always inconclusive: equal variants would often seem to differ.
    """
    if found.few:
        return "inconclusive"
    if found.low is not None and found.high is not None and found.low <= 1 <= found.high:
        return "no change" if found.low >= 1 / SURE and found.high <= SURE else "inconclusive"
    if abs(found.ratio - 1) < NEGLIGIBLE:
        return "no change"
    if found.of == "instructions":
        return "fewer instructions" if found.ratio < 1 else "more instructions"
    return "faster" if found.ratio < 1 else "slower"


def trust(value: Value) -> tuple[int, bool]:
    """Where a figure comes from, for choosing among sources: less is better. Figures of two are never compared."""
    return TRUST.index(value.source), value.unpaired


def tied(one: Value, other: Value) -> bool:
    """Whether two figures cannot be told apart: as far from each other as both intervals together reach, or nearer.

    Each interval stands on windows of its own, so their halves towards each other, in logarithms, add as the root of
    the sum of squares. Where one of them is the range of few pairs, which has no such law, both must meet. So must the
    bounds of estimates whose errors have nothing in common. Those of one unknown go up and down together: end stands
    against end, as in `compared`; an interval beside them is as if that were known. An interval down to 0, which has no
    logarithm, must be met, too.
    """
    less, more = sorted((one, other), key=lambda each: each.value)
    together = one.unknown is not None and one.unknown == other.unknown
    if together and one.bounds == other.bounds == "bounds":
        return less.value == more.value or not all(a < b for a, b in zip(less.ends, more.ends, strict=True))
    if together:
        less, more = (exactly(each) if each.bounds == "bounds" else each for each in (less, more))
    (_, top), (bottom, _) = less.ends, more.ends
    if not {"range", "bounds"}.isdisjoint((less.bounds, more.bounds)) or not less.value > 0 < bottom:
        return bottom <= top
    reach = math.hypot(math.log(top / less.value), math.log(more.value / bottom))
    return math.log(more.value / less.value) <= reach


def cost(row: Row, device: Sequence[Row], figure: Figure) -> Value | None:
    """What a row costs on its device as all choices compare it: champions, budgets, fronts and searches.

    Of a measurement in turns it is the paired ratio times the reference's own level. Two medians that were taken at two
    times are never set against each other, unless nothing on the device was paired; the value then says so. An estimate
    is what it is, with its bounds and with what is unknown of it, unless it took turns.

    Args:
        row: the variant on the device.
        device: all rows of that device, `row` among them.
        figure: which.

    Returns:
        The cost; None where the row did not run, or has no such figure.
    """
    if figure.made_of is not None:
        return figure.made_of(row, lambda key: cost(row, device, FIGURES[key]))
    if (turns := figure.turns) is None:
        return figure.of(row)
    others = [other for other in device if _ratio(other.measurement, turns)]
    reference = others[0].measurement.reference if others else None
    own = next((other for other in device if other.variant == reference), None)
    levels = [level for other in others if (level := turn_level(other.measurement, turns)) is not None]
    alone = figure.of(own) if own is not None else None
    known = alone.value if alone else (median(levels) if levels else None)
    return on_scale(row, figure, known, is_reference=row.variant == reference)


def on_scale(row: Row, figure: Figure, level: float | None, *, is_reference: bool = False) -> Value | None:
    """What a variant costs where its reference costs `level`; null: no reference is known."""
    own = figure.of(row)
    if own is None or figure.turns is None:
        return own
    ratio = _ratio(row.measurement, figure.turns)
    if level is not None and is_reference:
        return replace(exactly(own), value=level)
    if level is not None and ratio is not None:
        return replace(
            own, value=ratio.value * level, low=ratio.low * level, high=ratio.high * level, bounds=ratio.kind
        )
    return replace(exactly(own), unpaired=True) if own.provenance == "measured" else own


def _ratio(m: Measurement, turns: Turns) -> Ratio | None:
    """The paired ratio behind a figure, of a pair that ran."""
    return turns.ratio(m) if m.status == "ok" and m.reference is not None else None


def turn_level(m: Measurement, turns: Turns) -> float | None:
    """What the reference cost in its turns with one variant: the median of its windows; null where it took none."""
    known = turns.levels(m, m.reference)
    return median(known) if known else None


def anchor(device: Sequence[Row], reference: str) -> str | None:
    """The variant that the others of a device are compared with.

    The reference where it ran, else what the windows of those that ran were paired with: the reference too, whose own
    measurement alone is no result, as on a busy machine. Else, as of estimates, the first variant of the uncompressed
    model that ran; None when none did.
    """
    ok = [row for row in device if row.measurement.status == "ok"]
    own = [row.variant for row in ok if row.variant == reference]
    paired = [m.reference for row in ok if (m := row.measurement).ratio is not None and m.reference is not None]
    return next(iter([*own, *paired, *(row.variant for row in ok if is_baseline(row.model))]), None)


def compared(row: Row, against: Row | None) -> Speed | None:
    """How fast `row` is: its paired ratio, or between two estimates of one kind the ratio of their figures.

    Two ranges are compared end with end: the ratio is anywhere from the one to the other. Where they were fitted to
    other figures each (integers and floats, say), their errors have nothing in common, and the ends are those apart.

    Two measurements that were not paired are not compared: the machine may have changed between them. Where a device
    counts instructions and knows no time, those are compared.
    """
    m = row.measurement
    if m.status != "ok":
        return None
    if m.ratio is not None and m.reference is not None:
        ratio = m.ratio
        ends = {"low": ratio.low, "high": ratio.high, "kind": ratio.kind, "pairs": ratio.pairs}
        return Speed(against=m.reference, ratio=ratio.value, **ends)
    if against is None or against.variant == row.variant:
        return None
    other = against.measurement
    if m.instructions and other.instructions:
        share = m.instructions.per_inference / other.instructions.per_inference
        return Speed(against=against.variant, ratio=share, low=None, high=None, of="instructions")
    if m.latency is None or other.latency is None or m.latency.provenance != other.latency.provenance:
        return None
    if bool(m.latency.fitted_to) != bool(other.latency.fitted_to):  # the one from published figures, the other not
        return None
    if m.latency.provenance in ("measured", "none") or not other.latency.ms_p50:
        return None
    share, low, high = m.latency.ms_p50 / other.latency.ms_p50, None, None
    if m.latency.ms_low and m.latency.ms_high and other.latency.ms_low and other.latency.ms_high:
        alike = m.latency.fitted_to == other.latency.fitted_to
        least, most = (other.latency.ms_low, other.latency.ms_high)[:: 1 if alike else -1]
        bounds = m.latency.ms_low / least, m.latency.ms_high / most
        low, high = min(share, *bounds), max(share, *bounds)  # both of unlike bounds may lie on one side of the figures
    return Speed(against=against.variant, ratio=share, low=low, high=high, kind="range")


def outcome(row: Row, against: Row | None) -> Outcome:
    """The verdict in a word; `against` is the device's anchor."""
    if row.measurement.status != "ok":
        return row.measurement.status
    found = compared(row, against)
    if found is not None:
        return word(found)
    return "reference" if against is not None and against.variant == row.variant else "not compared"
