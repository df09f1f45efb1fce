"""F1: of each class the harmonic mean of precision and recall, and of these the plain mean (macro-F1)."""

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.quality import resample, shares
from tasks.quality.accuracy import mcnemar, most_frequent, wilson
from tasks.quality.resample import Statistic
from tasks.quality.shares import TELLING
from tasks.records import Paired
from tasks.records.metrics import Metric


def macro_f1(predicted: Array, truth: Array) -> float:
    """The mean over the classes that are answered or true: C. J. van Rijsbergen, "Information Retrieval" (1979).

    Args:
        predicted: class numbers [n].
        truth: likewise.
    """
    return float(_weighted(predicted, truth)(np.ones((1, len(truth))))[0])


def _weighted(predicted: Array, truth: Array) -> Statistic:
    classes = np.union1d(predicted, truth)
    is_answer, is_true = ((values[:, None] == classes).astype(np.float64) for values in (predicted, truth))

    def f1(times: Array) -> Array:
        right, either = times @ (is_answer * is_true), times @ (is_answer + is_true)
        of_class = np.divide(2 * right, either, out=np.zeros_like(right), where=either > 0)
        mean: Array = of_class.sum(axis=1) / (either > 0).sum(axis=1)
        return mean

    return f1


def _interval(predicted: Array, truth: Array) -> tuple[float, float]:
    """No narrower than that of the accuracy, where draws have few examples to tell by."""
    low, high = resample.interval(_weighted(predicted, truth), len(truth))
    right, n = int((predicted == truth).sum()), len(truth)
    if min(right, n - right) >= TELLING:
        return low, high
    value, (lower, higher) = macro_f1(predicted, truth), wilson(right, n)
    return max(0.0, min(low, value - right / n + lower)), min(1.0, max(high, value - right / n + higher))


def _paired(variant: Array, reference: Array, truth: Array) -> Paired:
    """No surer than that of the accuracy, likewise."""
    found, right, theirs = (
        resample.paired(_gain(variant, reference, truth), len(truth)),
        variant == truth,
        reference == truth,
    )
    if (right != theirs).sum() >= TELLING:
        return found
    return shares.least_sure(found, mcnemar(variant, reference, truth))


def _gain(variant: Array, reference: Array, truth: Array) -> Statistic:
    mine, theirs = _weighted(variant, truth), _weighted(reference, truth)
    return lambda times: mine(times) - theirs(times)


METRIC = Metric(
    task="classification",
    keep="tasks.quality.kept:likeliest",
    value=macro_f1,
    interval=_interval,
    paired=_paired,
    naive=lambda train, here: macro_f1(np.full(len(here[LABEL]), most_frequent(train[LABEL])), here[LABEL]),
    interval_by=shares.INTERVAL_BY,
    paired_by=shares.PAIRED_BY,
)
