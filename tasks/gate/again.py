"""What a device takes for the same file today, against its record of an earlier day, if it is the same. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance

from scipy.stats import t

from tasks.bench import levels
from tasks.gate.decide import OUTSIDE, Change
from tasks.records import Measurement
from tasks.records.figures import FIGURES

FEWEST = 2  # windows of either day, for a spread


def unlike(then: Measurement, shipped: str | None, made: str, mode: str) -> str | None:
    """Why a record tells nothing of what is in use, before that is measured again; null where it does.

    Args:
        then: the record.
        shipped: the digest of the artifact that the bundle was made of.
        made: that of the artifact as it is now, which would be measured.
        mode: in which it would be.
    """
    if shipped != made:
        return "another file is shipped than is made now: `tercet run` packs what is made"
    if then.artifact_sha256 != made:
        return "its record is of another file than is shipped: `tercet run` measures that"
    if then.status != "ok":
        return f"its record is {then.status}: {then.reason}"
    if then.mode != mode:
        return f"its record is of mode {then.mode}, params.yaml asks for {mode}: `tercet run` measures in that"
    return None


def moved(now: Measurement, then: Measurement) -> str | None:
    """What of the machine is not as it was, which figures hang from; null where all is that lasts."""
    today, was = (levels.lasting(each.environment) for each in (now, then))
    for name in dict.fromkeys([*was, *today]):
        if today.get(name) != was.get(name):
            told = f"{name} was {was.get(name)!r} and is {today.get(name)!r}"
            return f"the machine has changed: {told}: `tercet run --remeasure '{then.variant}@{then.device}'`"
    return None


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
