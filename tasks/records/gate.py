"""Records of what a change was found to cost."""

from typing import Literal

from tasks.records.base import Record


class Finding(Record):
    """What is told of one figure of a variant, on a device or of its file: how much worse it is than it was."""

    variant: str
    device: str | None = None  # null: it is the same on every one
    figure: str | None = None  # of the table of figures; null: of none, for a reason
    name: str | None = None  # of quality its metric
    unit: str = "share"  # of the numbers below: growth is a share of what was, a drop is in the metric's own unit
    outcome: Literal["passed", "breach", "undecided"]
    limit: float | None = None
    value: float | None = None  # how much worse; below 0 it is better
    low: float | None = None  # the interval's ends; where they are the value, it is known to the last digit
    high: float | None = None
    outside: tuple[float, float] | None = None  # the chance that it lies below `low`, and above `high`
    n: int | None = None  # turns or examples
    enough: int | None = None  # of an undecided quality: about how many examples would tell
    reason: str | None = None  # why nothing is told, or what qualifies it


class Gated(Record):
    """`out/gate.json`: every finding of one look."""

    schema_version: Literal[1] = 1
    against: str  # as it was asked for
    resolved: str  # the commit, or the version of the registered model
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    seconds: float
