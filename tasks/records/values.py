"""What a figure is for one variant on one device."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tasks.records import EnergyKind, Provenance

Bounds = Literal["interval", "range", "bounds"]  # of 95 %; of too few windows for that; what an estimate may be


@dataclass(frozen=True)
class Value:
    """What a figure is for one variant on one device."""

    value: float
    low: float | None = None
    high: float | None = None
    bounds: Bounds = "interval"  # what the two ends are
    source: "Provenance | EnergyKind" = "measured"  # where it comes from, as exactly as the record says
    n: int | None = None  # examples that a share is of
    note: str = ""  # what else qualifies it, in a word or two
    unknown: str | None = ""  # of an estimate's bounds: whose error; those of one word err together, null: of several
    unpaired: bool = False  # a measurement that a choice must take as it is: no turns with the reference stand behind

    @property
    def provenance(self) -> "Provenance":
        """Whether it was measured, by whatever counter, or is an estimate."""
        if self.source in ("emulated", "none"):
            return self.source
        return "estimated" if self.source.startswith("estimate") else "measured"

    @property
    def origin(self) -> str:
        """The source in words; figures of two origins share no front and no choice."""
        return f"{'unpaired ' if self.unpaired else ''}{self.source.replace('_', ' ')}"

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of its bounds; the value itself where it is exact, or where nothing is known of it."""
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )
