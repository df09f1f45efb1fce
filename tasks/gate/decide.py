"""When a loss is found, when it is ruled out, and when neither can be told. Pure but for the clock.

Each change has an interval that it lies beyond with a chance of `OUTSIDE` on either side. It is below its limit where
the whole interval is; it is found where the interval holds the limit and not 0. What holds both is told by neither.
Measuring goes on until the interval is half as wide as the limit, so that it cannot hold both, or until the time is up:
it stops by the width, and where the interval lies has no say in it. So a change of nothing is taken for a loss, and a
loss as large as the limit for none, in one of 200 cases at most each (`benchmarks/gate.py`).
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.intervals import of_symmetric

OUTSIDE = 0.005
Z = 2.5758293035489004  # the deviations of the normal distribution that this is
NARROW = 0.5  # of the limit
ROUND = 4  # turns: `intervals.turned` has cancelled a drift after so many
GROWS = 1.4  # how many more turns there are at each look: few looks err less often
ROUNDING = 1e-12  # what is a tenth more, in floats, must reach a limit of a tenth
Outcome = Literal["passed", "breach", "undecided"]
Take = Callable[[int], Mapping[str, Sequence[float]]]  # so many more turns, to logarithms of now over then by figure


@dataclass(frozen=True)
class Change:
    """By how much a figure is worse than it was, in the unit of its limit; below 0 it is better."""

    value: float
    low: float
    high: float
    n: int | None = None  # turns or examples; null: it is known to the last digit
    outside: tuple[float, float] = (OUTSIDE, OUTSIDE)  # the chance that it lies below `low`, and above `high`


def judge(change: Change, limit: float) -> Outcome:
    """What is told of a change, by its limit."""
    if change.high < limit - ROUNDING:
        return "passed"
    return "breach" if change.low > 0 else "undecided"


def exact(now: float, then: float) -> Change:
    """The growth of what is known to the last digit."""
    share = now / then - 1
    return Change(share, share, share)


def grown(logs: Sequence[float]) -> Change | None:
    """The growth behind the logarithms of now over then of each turn; null where they are too few to tell of any."""
    found = of_symmetric(logs, OUTSIDE)
    if found is None:
        return None
    low, value, high = (math.expm1(each) for each in found)
    return Change(value, low, high, len(logs))


def by_turns(
    take: Take, limits: Mapping[str, float], seconds: float, clock: Callable[[], float] = time.monotonic
) -> dict[str, tuple[Change | None, int]]:
    """Take turns until each figure is known closely enough, or the time is up; at least `ROUND` of them.

    Args:
        take: takes them.
        limits: how much each figure may grow, as a share.
        seconds: for all turns.
        clock: seconds, from anywhere.

    Returns:
        Of each figure that the turns tell, its growth, null where they were too few for any, and how many they were.
    """
    logs: dict[str, list[float]] = {key: [] for key in limits}
    began, turns, more = clock(), 0, ROUND
    while more:
        started = clock()
        for key, values in take(more).items():
            logs[key] += values
        turns += more
        found = {key: grown(values) for key, values in logs.items() if values}
        if found and all(change and change.high - change.low <= NARROW * limits[key] for key, change in found.items()):
            break
        wanted = math.ceil(GROWS * turns / ROUND) * ROUND - turns
        left = int((began + seconds - clock()) / ((clock() - started) / more)) // ROUND * ROUND
        more = max(0, min(wanted, left))
    return {key: (change, len(logs[key])) for key, change in found.items()}


def enough(change: Change, limit: float) -> int:
    """About how many examples the interval needs to be as narrow as the limit, so that it tells one from nothing."""
    assert change.n
    return math.ceil(change.n * ((change.high - change.low) / limit) ** 2)
