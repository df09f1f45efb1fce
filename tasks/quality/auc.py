"""AUC: the area under the ROC curve, of reconstructions and of each of several labels."""

import math

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.examples.dataset import LABEL, NORMAL, RECONSTRUCTION
from tasks.intervals import Z_ONE_SIDED
from tasks.quality import shares
from tasks.quality.accuracy import Z95
from tasks.records import Paired
from tasks.records.metrics import Metric


def auc(scores: Array, positive: Array) -> float:
    """The probability that a positive example has a higher score than a negative one; a tie counts one half.

    Args:
        scores: [n].
        positive: bool [n], of both kinds.
    """
    ranks = mid_ranks(scores)
    positives = int(positive.sum())
    wins = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(scores) - positives)))


def mid_ranks(scores: Array) -> Array:
    """The place of each score among all, from 1: float64 [n]; equal scores share the mean of their places."""
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[rank]
    return ranks


def hanley_mcneil(value: float, positives: int, negatives: int) -> float:
    """The variance of an AUC: Hanley and McNeil, "The meaning and use of the area under a ROC curve" (1982)."""
    square = value * value
    by_positives = (positives - 1) * (value / (2 - value) - square)
    by_negatives = (negatives - 1) * (2 * square / (1 + value) - square)
    return max(0.0, value * (1 - value) + by_positives + by_negatives) / (positives * negatives)


def shrunk_variance(value: float, positives: int, negatives: int) -> float:
    """The variance of an area as if one more example of the rarer kind had gone each way.

    Where the two kinds are wholly apart, or one is rare, what was seen tells of no variance, or of too little: of 20
    examples of each kind and a true area of 0.97 intervals by the area that is seen hold it in 83 % of all samples, and
    by this one in all.
    """
    fewer = min(positives, negatives)
    return hanley_mcneil((value * fewer + 1) / (fewer + 2), positives, negatives)


def influence(scores: Array, positive: Array) -> Array:
    """What each example does to an AUC: float64 [n], of mean 0; the variance of their mean is the AUC's.

    E. R. DeLong et al., "Comparing the areas under two or more correlated receiver operating characteristic curves"
    (1988): a positive example's share of the negative ones below it, a negative one's of the positive ones above it.
    The variance among `m` of a kind is by m - 1; of one alone nothing is known, and its influence is 0.
    """
    n, area = len(scores), auc(scores, positive)
    among_all, found = mid_ranks(scores), np.empty(n)
    for kind in (positive, ~positive):
        m = int(kind.sum())
        below = (among_all[kind] - mid_ranks(scores[kind])) / (n - m)  # of the other kind, ties as one half
        away = below - area if kind is positive else 1 - below - area
        found[kind] = away * n / m * math.sqrt(m / max(1, m - 1))
    return found


def _anomalous(truth: Array) -> Array:
    found: Array = truth != NORMAL
    return found


def _within(value: float, variance: float) -> tuple[float, float]:
    spread = Z95 * math.sqrt(variance)
    return max(0.0, value - spread), min(1.0, value + spread)


def _of_anomalies(errors: Array, truth: Array) -> tuple[float, float]:
    positive = _anomalous(truth)
    value = auc(errors, positive)
    return _within(value, shrunk_variance(value, int(positive.sum()), int((~positive).sum())))


def _both(truth: Array) -> list[int]:
    """The labels that some examples have and others have not: of one kind alone there is no order."""
    found = [int(place) for place in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))]
    if not found:
        raise InvalidError(f"none of {truth.shape[1]} labels is there in some examples and absent in others")
    return found


def macro(scores: Array, truth: Array) -> float:
    """The mean AUC of the labels that have both kinds of examples: `scores` and `truth` are [n, labels]."""
    return float(np.mean([auc(scores[:, i], truth[:, i] > 0) for i in _both(truth)]))


def _interval(scores: Array, truth: Array) -> tuple[float, float]:
    """By what each example does to the mean, and for each label what variance its examples are too few to show."""
    labels, hidden, influences = _both(truth), 0.0, []
    for i in labels:
        positive = truth[:, i] > 0
        value, m = auc(scores[:, i], positive), int(positive.sum())
        influences.append(influence(scores[:, i], positive))
        hidden += max(0.0, shrunk_variance(value, m, len(truth) - m) - _variance(influences[-1]))
    shown = _variance(np.mean(influences, axis=0))
    return _within(macro(scores, truth), shown + hidden / len(labels) ** 2)


def delong(mine: Array, theirs: Array, positive: Array) -> Paired:
    """The test of two correlated mean AUCs by what each example does to their difference.

    Where few examples are ranked otherwise it is no surer than a test of as many yes and no as the rarer kinds have.

    Args:
        mine: scores [n, labels].
        theirs: likewise.
        positive: bool [n, labels], of both kinds in each label.
    """
    n, labels = positive.shape
    apart = [_apart(mine[:, i], theirs[:, i], positive[:, i]) for i in range(labels)]
    gain, influences = float(np.mean([each for each, _ in apart])), np.mean([each for _, each in apart], axis=0)
    error = math.sqrt(_variance(influences))
    p_value = math.erfc(abs(gain) / error / math.sqrt(2)) if error else float(gain == 0)
    found = Paired(p_value=p_value, drop_bound=max(0.0, Z_ONE_SIDED * error - gain))
    if np.count_nonzero(influences) >= shares.TELLING:
        return found
    fewer = min(n, int(np.minimum(positive.sum(axis=0), n - positive.sum(axis=0)).sum()))
    return shares.least_sure(found, shares.by_sums(max(gain, 0.0) * fewer, max(-gain, 0.0) * fewer, fewer))


def _apart(mine: Array, theirs: Array, positive: Array) -> tuple[float, Array]:
    """How far one AUC lies above another, and what each example does to that: one alone of its kind all there is."""
    gain = auc(mine, positive) - auc(theirs, positive)
    found = influence(mine, positive) - influence(theirs, positive)
    for kind in (positive, ~positive):
        if kind.sum() == 1:
            found[kind] = gain * len(positive)
    return gain, found


def _variance(influences: Array) -> float:
    """Of their mean."""
    return float(np.square(influences).sum() / len(influences) ** 2)


def _paired(mine: Array, theirs: Array, truth: Array) -> Paired:
    return delong(mine[:, None], theirs[:, None], _anomalous(truth)[:, None])


def _macro_paired(mine: Array, theirs: Array, truth: Array) -> Paired:
    labels = _both(truth)
    return delong(mine[:, labels], theirs[:, labels], truth[:, labels] > 0)


METRIC = Metric(
    task="reconstruction",
    keep="tasks.quality.kept:reconstruction_errors",
    asks=(RECONSTRUCTION,),
    value=lambda errors, truth: auc(errors, _anomalous(truth)),
    interval=_of_anomalies,
    paired=_paired,
    naive=lambda _train, _here: 0.5,
    interval_by="Hanley and McNeil",
    paired_by="DeLong’s test",
)
MACRO = Metric(
    task="multilabel",
    keep="tasks.quality.kept:labels",
    asks=(LABEL,),
    value=macro,
    interval=_interval,
    paired=_macro_paired,
    naive=lambda _train, _here: 0.5,
    interval_by="DeLong",
    paired_by="DeLong’s test",
)
