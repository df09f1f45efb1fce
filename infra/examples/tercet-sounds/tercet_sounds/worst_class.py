"""The recall of the class that is recognized least: what a mean over all classes hides."""

import numpy as np

from tasks.examples import Array
from tasks.quality import resample
from tasks.quality.resample import Statistic
from tasks.records import Paired
from tasks.records.metrics import Metric


def worst(predicted: Array, truth: Array) -> float:
    """The lowest share of a class that is recognized as such.

    Args:
        predicted: class numbers [n].
        truth: likewise; classes that do not occur in it do not count.
    """
    return float(_drawn(predicted, truth)(np.ones((1, len(truth))))[0])


def interval(predicted: Array, truth: Array) -> tuple[float, float]:
    """The 95 % interval, by a bootstrap over examples; the least of several draws is below the least of the truth."""
    low, high = resample.interval(_drawn(predicted, truth), len(truth))
    value = worst(predicted, truth)
    return min(low, value), max(high, value)


def paired(variant: Array, reference: Array, truth: Array) -> Paired:
    """The comparison of two variants on the same examples."""
    mine, theirs = _drawn(variant, truth), _drawn(reference, truth)
    return resample.paired(lambda times: mine(times) - theirs(times), len(truth))


def _drawn(predicted: Array, truth: Array) -> Statistic:
    is_true = (truth[:, None] == np.unique(truth)).astype(np.float64)
    is_right = is_true * (predicted == truth)[:, None]

    def lowest(times: Array) -> Array:
        there = times @ is_true
        recall: Array = np.divide(times @ is_right, there, out=np.ones_like(there), where=there > 0).min(axis=1)
        return recall

    return lowest


METRIC = Metric(
    task="classification",
    keep="tasks.quality.kept:likeliest",  # of each answer the class; a function of one's own is named likewise
    value=worst,
    interval=interval,
    paired=paired,
    naive=lambda _train, _here: 0.0,  # who always answers one class recognizes no other
)
