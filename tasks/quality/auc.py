"""AUC: the area under the ROC curve, of reconstructions and of each of several labels."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.examples.dataset import LABEL, NORMAL, RECONSTRUCTION
from tasks.quality import resample
from tasks.quality.accuracy import Z95
from tasks.quality.resample import Statistic
from tasks.records.metrics import Metric


def reconstruction_errors(outputs: Array, inputs: Array) -> Array:
    """The mean squared error of each example: float64 [n], of two arrays [n, ...]."""
    difference = outputs.astype(np.float64) - inputs
    errors: Array = np.square(difference).reshape(len(outputs), -1).mean(axis=1)
    return errors


def auc(scores: Array, positive: Array) -> float:
    """The probability that a positive example has a higher score than a negative one; a tie counts one half.

    Args:
        scores: [n].
        positive: bool [n], of both kinds.
    """
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[rank]  # from 1; equal scores share the mean of their ranks
    positives = int(positive.sum())
    wins = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(scores) - positives)))


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


def weighted(scores: Array, positive: Array) -> Statistic:
    """The AUC of examples that count so many times each; 1/2 where only one kind counts."""
    order = np.argsort(scores, kind="stable")
    rising, is_positive = scores[order], positive[order]
    starts = np.flatnonzero(np.r_[True, rising[1:] != rising[:-1]])  # of equal scores

    def area(times: Array) -> Array:
        ordered = times[:, order]
        mine, others = (np.add.reduceat(ordered * kind, starts, axis=1) for kind in (is_positive, ~is_positive))
        wins = (mine * (np.cumsum(others, axis=1) - others / 2)).sum(axis=1)
        pairs = mine.sum(axis=1) * others.sum(axis=1)
        share: Array = np.divide(wins, pairs, out=np.full(len(times), 0.5), where=pairs > 0)
        return share

    return area


def _anomalous(truth: Array) -> Array:
    found: Array = truth != NORMAL
    return found


def _hanley_mcneil(errors: Array, truth: Array) -> tuple[float, float]:
    positive = _anomalous(truth)
    return hanley_mcneil(auc(errors, positive), int(positive.sum()), int((~positive).sum()))


def _labels(outputs: Any, targets: Mapping[str, Array]) -> Array:
    wanted, received = targets[LABEL].shape, outputs.shape
    if wanted != received:
        raise InvalidError(f"the answers are {list(received[1:])} of each example, its labels {list(wanted[1:])}")
    found: Array = outputs.astype(np.float64)
    return found


def _both(truth: Array) -> list[int]:
    """The labels that some examples have and others have not: of one kind alone there is no order."""
    found = [int(place) for place in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))]
    if not found:
        raise InvalidError(f"none of {truth.shape[1]} labels is there in some examples and absent in others")
    return found


def macro(scores: Array, truth: Array) -> float:
    """The mean AUC of the labels that have both kinds of examples: `scores` and `truth` are [n, labels]."""
    return float(np.mean([auc(scores[:, i], truth[:, i] > 0) for i in _both(truth)]))


def _macro(scores: Array, truth: Array) -> Statistic:
    each = [weighted(scores[:, i], truth[:, i] > 0) for i in _both(truth)]
    return lambda times: np.mean([area(times) for area in each], axis=0)


def _gain(of: Callable[[Array, Array], Statistic], variant: Array, reference: Array, truth: Array) -> Statistic:
    mine, theirs = of(variant, truth), of(reference, truth)
    return lambda times: mine(times) - theirs(times)


METRIC = Metric(
    task="reconstruction",
    keep=lambda outputs, targets: reconstruction_errors(outputs, targets[RECONSTRUCTION]),
    value=lambda errors, truth: auc(errors, _anomalous(truth)),
    interval=_hanley_mcneil,
    paired=lambda variant, reference, truth: resample.paired(
        _gain(weighted, variant, reference, _anomalous(truth)), len(truth)
    ),
    naive=lambda _train, _truth: 0.5,
    interval_by="Hanley and McNeil",
)
MACRO = Metric(
    task="multilabel",
    keep=_labels,
    value=macro,
    interval=lambda scores, truth: resample.interval(_macro(scores, truth), len(truth)),
    paired=lambda variant, reference, truth: resample.paired(_gain(_macro, variant, reference, truth), len(truth)),
    naive=lambda _train, _truth: 0.5,
)
