"""Sensitivity at a fixed specificity: how many of those that have it are found, where few others are alarmed.

Of two classes the second is what is looked for. A threshold on its score is as low as it may be without more than one
in twenty of the others being above it; what share of the second class is above is the sensitivity.
"""

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.quality import resample, shares
from tasks.quality.accuracy import wilson
from tasks.quality.resample import Statistic
from tasks.quality.shares import TELLING
from tasks.records import Paired
from tasks.records.metrics import Metric

SPECIFICITY = 0.95
ROUNDING = 1e-9  # a share of examples that is 0.05 may come out a little above it


def sensitivity(scores: Array, truth: Array) -> float:
    """The share of the second class that is found.

    Args:
        scores: of the second class, [n].
        truth: class numbers [n], 0 or 1, of both kinds.

    Raises:
        InvalidError: the classes are not two, or there are no examples of one.
    """
    return float(_weighted(scores, truth)(np.ones((1, len(truth))))[0])


def _weighted(scores: Array, truth: Array) -> Statistic:
    """The sensitivity of examples that are drawn so often: the threshold is found anew in each draw."""
    if sorted(set(truth.tolist())) != [0, 1]:
        kinds = len(set(truth.tolist()))
        raise InvalidError(f"sensitivity is of two classes, with examples of both; received {kinds} classes")
    order = np.argsort(-scores, kind="stable")
    ordered, positive = scores[order], truth[order] == 1
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # equal scores are above a threshold together

    def found(times: Array) -> Array:
        drawn = times[:, order]
        true, false = (np.cumsum(drawn * kind, axis=1) for kind in (positive, ~positive))
        allowed = false[:, ends] <= (1 - SPECIFICITY) * false[:, -1:] * (1 + ROUNDING)
        most: Array = np.max(np.where(allowed, true[:, ends], 0), axis=1)
        shares: Array = np.divide(most, true[:, -1], out=np.zeros(len(most)), where=true[:, -1] > 0)
        return shares

    return found


def _found(scores: Array, truth: Array) -> Array:
    """Which of the second class are found by the threshold of all the examples: bool [those]."""
    others = np.sort(scores[truth == 0])[::-1]
    found: Array = scores[truth == 1] > others[int((1 - SPECIFICITY) * len(others) * (1 + ROUNDING))]
    return found


def _interval(scores: Array, truth: Array) -> tuple[float, float]:
    """No narrower than that of a share, where draws have few examples to tell by."""
    (low, high), found = resample.interval(_weighted(scores, truth), len(truth)), _found(scores, truth)
    if min(found.sum(), (~found).sum()) >= TELLING:
        return low, high
    lower, higher = wilson(int(found.sum()), len(found))
    return min(low, lower), max(high, higher)


def _paired(variant: Array, reference: Array, truth: Array) -> Paired:
    """No surer than that of a share, likewise."""
    told = resample.paired(_gain(variant, reference, truth), len(truth))
    gains = _found(variant, truth).astype(np.int64) - _found(reference, truth)
    return told if np.count_nonzero(gains) >= TELLING else shares.least_sure(told, shares.paired(gains))


def _gain(variant: Array, reference: Array, truth: Array) -> Statistic:
    mine, theirs = _weighted(variant, truth), _weighted(reference, truth)
    return lambda times: mine(times) - theirs(times)


METRIC = Metric(
    task="classification",
    keep="tasks.quality.kept:of_the_second",
    of_second=True,
    value=sensitivity,
    interval=_interval,
    paired=_paired,
    naive=lambda _train, _here: 0.0,  # who gives all one score finds nobody, as all others would be alarmed
    interval_by=shares.INTERVAL_BY,
    paired_by=shares.PAIRED_BY,
)
