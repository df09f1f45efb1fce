"""F1: of each class the harmonic mean of precision and recall, and of these the plain mean (macro-F1)."""

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.quality import resample
from tasks.quality.accuracy import most_frequent
from tasks.quality.resample import Statistic
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


def _gain(variant: Array, reference: Array, truth: Array) -> Statistic:
    mine, theirs = _weighted(variant, truth), _weighted(reference, truth)
    return lambda times: mine(times) - theirs(times)


METRIC = Metric(
    task="classification",
    keep="tasks.quality.kept:likeliest",
    value=macro_f1,
    interval=lambda predicted, truth: resample.interval(_weighted(predicted, truth), len(truth)),
    paired=lambda variant, reference, truth: resample.paired(_gain(variant, reference, truth), len(truth)),
    naive=lambda train, here: macro_f1(np.full(len(here[LABEL]), most_frequent(train[LABEL])), here[LABEL]),
)
