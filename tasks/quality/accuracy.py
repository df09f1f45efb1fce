"""Accuracy: the share of examples whose likeliest class is the true one."""

import math

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.intervals import paired_drop_bound
from tasks.records import Paired
from tasks.records.metrics import Metric

Z95 = 1.959963984540054  # the 97.5th percentile of the normal distribution


def accuracy(predicted: Array, truth: Array) -> float:
    """The share that is right."""
    return int((predicted == truth).sum()) / len(truth)


def wilson(correct: float, n: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion, of `n` examples: E. B. Wilson, "Probable inference" (1927)."""
    share = correct / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends rounding could leave the share itself outside
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return min(max(0.0, low), share), max(min(1.0, high), share)


def mcnemar(variant: Array, reference: Array, truth: Array) -> Paired:
    """McNemar's exact test of two classifiers on the same examples.

    Of the n discordant examples (one right, the other wrong), the variant's wins are Binomial(n, 1/2) when neither is
    better; the two-sided p-value doubles the smaller tail, at most 1 (McNemar 1947; exact form, no mid-p).

    Args:
        variant: predicted classes [n].
        reference: likewise.
        truth: the true ones.
    """
    right, reference_right = variant == truth, reference == truth
    better, worse = int(np.sum(right & ~reference_right)), int(np.sum(~right & reference_right))
    bound = paired_drop_bound(better, worse, len(truth))
    return Paired(better=better, worse=worse, p_value=sign_test(better, worse), drop_bound=bound)


def sign_test(better: int, worse: int) -> float:
    """The two-sided exact binomial p-value of `better` against `worse` at even odds, in whole numbers till the end."""
    n = better + worse
    term = tail = 1  # C(n, 0)
    for i in range(min(better, worse)):
        term = term * (n - i) // (i + 1)
        tail += term
    return min(1.0, float(2 * tail / 2**n))


def most_frequent(train: Array) -> int:
    """The class that most training examples are of."""
    return int(np.bincount(train).argmax())


METRIC = Metric(
    task="classification",
    keep="tasks.quality.kept:likeliest",
    value=accuracy,
    interval=lambda predicted, truth: wilson(int((predicted == truth).sum()), len(truth)),
    paired=mcnemar,
    naive=lambda train, here: float((here[LABEL] == most_frequent(train[LABEL])).mean()),
    counts=True,
    epoch="accuracy",
    interval_by="Wilson",
    paired_by="McNemar’s exact paired test",
)
