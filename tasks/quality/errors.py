"""How far values lie from the true ones: the mean absolute error, and the root of the mean squared error."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.quality import resample
from tasks.records import Paired
from tasks.records.metrics import Metric


def _differences(outputs: Any, targets: Mapping[str, Array]) -> Array:
    """Of each example, float64 [n, values]: one number may be [n] or [n, 1]."""
    given, wanted = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (outputs, targets[LABEL]))
    if given.shape != wanted.shape:
        raise InvalidError(f"{given.shape[1]} values are answered for each example; {wanted.shape[1]} expected")
    return given - wanted


def absolute(outputs: Any, targets: Mapping[str, Array]) -> Array:
    """The mean absolute error of each example: float64 [n]."""
    found: Array = np.abs(_differences(outputs, targets)).mean(axis=1)
    return found


def squared(outputs: Any, targets: Mapping[str, Array]) -> Array:
    """The mean squared error of each example: float64 [n]."""
    found: Array = np.square(_differences(outputs, targets)).mean(axis=1)
    return found


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


def _constant(keep: Callable[[Any, Mapping[str, Array]], Array], answer: Any, truth: Array) -> float:
    """The mean error of who always gives one answer."""
    return float(keep(np.broadcast_to(answer, truth.shape), {LABEL: truth}).mean())


MAE = Metric(
    task="regression",
    unit="",
    better="lower",
    keep=absolute,
    value=lambda errors, _truth: float(errors.mean()),
    interval=lambda errors, _truth: _above_zero(resample.mean_interval(errors)),
    paired=lambda variant, reference, _truth: resample.mean_paired(reference - variant),
    naive=lambda train, truth: _constant(absolute, np.median(train, axis=0), truth),
)
RMSE = Metric(
    task="regression",
    unit="",
    better="lower",
    keep=squared,
    value=lambda errors, _truth: _root(float(errors.mean())),
    interval=lambda errors, _truth: _roots(resample.mean_interval(errors)),
    paired=_root_paired,
    naive=lambda train, truth: _root(_constant(squared, train.mean(axis=0), truth)),
)
