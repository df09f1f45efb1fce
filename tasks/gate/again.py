"""What a device takes for the same file today, against its record of an earlier day. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance

from scipy.stats import t

from tasks.gate.decide import OUTSIDE, Change
from tasks.records import Measurement
from tasks.records.figures import FIGURES

FEWEST = 2  # windows of either day, for a spread


def changes(now: Measurement, then: Measurement, keys: Mapping[str, float]) -> dict[str, Change | None]:
    """How much more each figure is than it was, by its key; null where the windows of a day are too few to tell.

    Args:
        now: of today.
        then: the record, of the same file on the same device.
        keys: the figures that are asked for; those that either day does not tell are left out.
    """
    found = {}
    for key in keys:
        turns = FIGURES[key].turns
        days = [turns.levels(each, each.variant) for each in (now, then)] if turns else []
        if days and all(days):
            found[key] = grown(*days)
    return found


def grown(now: Sequence[float], then: Sequence[float]) -> Change | None:
    """The growth of the mean logarithm from one day's windows to another's, by Welch's interval for unequal spreads.

    The windows of a day are its sample: what lies between two days (a warmer room, another neighbour) is no error here
    but what is looked for.

    Args:
        now: the figure of each window, above 0.
        then: likewise, of the earlier day.
    """
    days = [[math.log(value) for value in day] for day in (now, then)]
    if min(map(len, days)) < FEWEST:
        return None
    value = fmean(days[0]) - fmean(days[1])
    parts = [variance(day) / len(day) for day in days]
    reach = 0.0
    if total := sum(parts):
        freedom = total**2 / sum(part**2 / (len(day) - 1) for part, day in zip(parts, days, strict=True))
        reach = float(t.ppf(1 - OUTSIDE, freedom)) * math.sqrt(total)
    low, middle, high = (math.expm1(each) for each in (value - reach, value, value + reach))
    return Change(middle, low, high, min(map(len, days)))
