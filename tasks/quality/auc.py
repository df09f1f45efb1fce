"""AUC: the area under the ROC curve, of reconstructions and of each of several labels."""

import math

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.examples.dataset import LABEL, NORMAL, RECONSTRUCTION
from tasks.intervals import Z_ONE_SIDED
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


def hanley_mcneil(value: float, positives: int, negatives: int, z: float = Z95) -> tuple[float, float]:
    """The interval of an AUC: Hanley and McNeil, "The meaning and use of the area under a ROC curve" (1982).

    It has no width where the two kinds are wholly apart.
    """
    square = value * value
    by_positives = (positives - 1) * (value / (2 - value) - square)
    by_negatives = (negatives - 1) * (2 * square / (1 + value) - square)
    variance = (value * (1 - value) + by_positives + by_negatives) / (positives * negatives)
    spread = z * math.sqrt(max(0.0, variance))
    return max(0.0, value - spread), min(1.0, value + spread)


def influence(scores: Array, positive: Array) -> Array:
    """What each example does to an AUC: float64 [n], of mean 0; the variance of their mean is the AUC's.

    E. R. DeLong et al., "Comparing the areas under two or more correlated receiver operating characteristic curves"
    (1988): a positive example's share of the negative ones below it, a negative one's of the positive ones above it.
    """
    n, area = len(scores), auc(scores, positive)
    among_all, found = mid_ranks(scores), np.empty(n)
    for kind in (positive, ~positive):
        below = (among_all[kind] - mid_ranks(scores[kind])) / (n - kind.sum())  # of the other kind, ties as one half
        found[kind] = (below - area if kind is positive else 1 - below - area) * n / kind.sum()
    return found


def _anomalous(truth: Array) -> Array:
    found: Array = truth != NORMAL
    return found


def _hanley_mcneil(errors: Array, truth: Array) -> tuple[float, float]:
    positive = _anomalous(truth)
    return hanley_mcneil(auc(errors, positive), int(positive.sum()), int((~positive).sum()))


def _both(truth: Array) -> list[int]:
    """The labels that some examples have and others have not: of one kind alone there is no order."""
    found = [int(place) for place in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))]
    if not found:
        raise InvalidError(f"none of {truth.shape[1]} labels is there in some examples and absent in others")
    return found


def macro(scores: Array, truth: Array) -> float:
    """The mean AUC of the labels that have both kinds of examples: `scores` and `truth` are [n, labels]."""
    return float(np.mean([auc(scores[:, i], truth[:, i] > 0) for i in _both(truth)]))


def _macro_influence(scores: Array, truth: Array) -> Array:
    found: Array = np.mean([influence(scores[:, i], truth[:, i] > 0) for i in _both(truth)], axis=0)
    return found


def _interval(scores: Array, truth: Array) -> tuple[float, float]:
    value, spread = macro(scores, truth), Z95 * _error(_macro_influence(scores, truth))
    return max(0.0, value - spread), min(1.0, value + spread)


def delong(gain: float, influences: Array) -> Paired:
    """The test of two correlated AUCs by what each example does to their difference."""
    error = _error(influences)
    p_value = math.erfc(abs(gain) / error / math.sqrt(2)) if error else float(gain == 0)
    return Paired(p_value=p_value, drop_bound=max(0.0, Z_ONE_SIDED * error - gain))


def _error(influences: Array) -> float:
    return float(np.sqrt(np.square(influences).sum()) / len(influences))


def _paired(mine: Array, theirs: Array, truth: Array) -> Paired:
    positive = _anomalous(truth)
    gain = auc(mine, positive) - auc(theirs, positive)
    return delong(gain, influence(mine, positive) - influence(theirs, positive))


def _macro_paired(mine: Array, theirs: Array, truth: Array) -> Paired:
    gain = macro(mine, truth) - macro(theirs, truth)
    return delong(gain, _macro_influence(mine, truth) - _macro_influence(theirs, truth))


METRIC = Metric(
    task="reconstruction",
    keep="tasks.quality.kept:reconstruction_errors",
    asks=(RECONSTRUCTION,),
    value=lambda errors, truth: auc(errors, _anomalous(truth)),
    interval=_hanley_mcneil,
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
