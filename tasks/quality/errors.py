"""How far values lie from the true ones: the mean absolute error, and the root of the mean squared error."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.quality import resample
from tasks.quality.kept import absolute, squared
from tasks.records import Paired
from tasks.records.metrics import Metric


def _root(mean: float) -> float:
    return float(np.sqrt(max(mean, 0.0)))


def _above_zero(ends: tuple[float, float]) -> tuple[float, float]:
    return max(ends[0], 0.0), ends[1]


def _roots(ends: tuple[float, float]) -> tuple[float, float]:
    return _root(ends[0]), _root(ends[1])


def _root_paired(variant: Array, reference: Array, _truth: Array) -> Paired:
    """Two roots differ by the difference of what is under them, over their sum."""
    both = _root(float(variant.mean())) + _root(float(reference.mean()))
    return resample.mean_paired((reference - variant) / (both or 1.0))


def _constant(keep: Callable[[Any, Mapping[str, Array]], Array], answer: Any, here: Mapping[str, Array]) -> float:
    """The mean error of who always gives one answer."""
    return float(keep(np.broadcast_to(answer, here[LABEL].shape), here).mean())


MAE = Metric(
    task="regression",
    unit="",
    better="lower",
    keep="tasks.quality.kept:absolute",
    asks=(LABEL,),
    value=lambda errors, _truth: float(errors.mean()),
    interval=lambda errors, _truth: _above_zero(resample.mean_interval(errors)),
    paired=lambda variant, reference, _truth: resample.mean_paired(reference - variant),
    naive=lambda train, here: _constant(absolute, np.median(train[LABEL], axis=0), here),
)
RMSE = Metric(
    task="regression",
    unit="",
    better="lower",
    keep="tasks.quality.kept:squared",
    asks=(LABEL,),
    value=lambda errors, _truth: _root(float(errors.mean())),
    interval=lambda errors, _truth: _roots(resample.mean_interval(errors)),
    paired=_root_paired,
    naive=lambda train, here: _root(_constant(squared, train[LABEL].mean(axis=0), here)),
)
