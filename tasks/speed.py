"""How fast a variant is on a device against another one, and what that amounts to in a word. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.params import BASELINE
from tasks.records import Row

NEGLIGIBLE = 0.03  # a smaller change of latency is none
SURE = 1.1  # an interval that holds 1 shows that nothing changed only where it is no wider than this factor
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

    @property
    def outcome(self) -> Outcome:
        """No change under 3 % or where the interval holds 1 closely; inconclusive where it holds it widely."""
        if self.low is not None and self.high is not None and self.low <= 1 <= self.high:
            return "no change" if self.low >= 1 / SURE and self.high <= SURE else "inconclusive"
        if abs(self.ratio - 1) < NEGLIGIBLE:
            return "no change"
        if self.of == "instructions":
            return "fewer instructions" if self.ratio < 1 else "more instructions"
        return "faster" if self.ratio < 1 else "slower"


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
        return Speed(m.reference, m.ratio.value, m.ratio.low, m.ratio.high)
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
    return Speed(against.variant, ratio, low, high)


def outcome(row: Row, against: Row | None) -> Outcome:
    """The verdict in a word; `against` is the device's anchor."""
    if row.measurement.status != "ok":
        return row.measurement.status
    found = compared(row, against)
    if found is not None:
        return found.outcome
    return "reference" if against is not None and against.variant == row.variant else "not compared"
