"""The area under the ROC curve of classes: of each one against all others, and of these the plain mean.

Of two classes it is the area of either. It is what MedMNIST calls AUC: Yang et al., "MedMNIST v2" (2023).
"""

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.quality import auc
from tasks.records import Paired
from tasks.records.metrics import Metric


def of_each(scores: Array, truth: Array) -> list[float | None]:
    """The area of each class; None of one that no example is of, or all are.

    Args:
        scores: of each class, [n, classes].
        truth: class numbers [n].
    """
    counts = np.bincount(truth, minlength=scores.shape[1])
    several = (counts > 0) & (counts < len(truth))
    return [auc.auc(scores[:, i], truth == i) if several[i] else None for i in range(scores.shape[1])]


def macro(scores: Array, truth: Array) -> float:
    """The mean area: see `of_each`.

    Raises:
        InvalidError: all examples are of one class.
    """
    known = [area for area in of_each(scores, truth) if area is not None]
    if not known:
        raise InvalidError(f"all {len(truth)} examples are of one class: there is nothing to tell apart")
    return float(np.mean(known))


def _marks(scores: Array, truth: Array) -> Array:
    """Of each class, whether an example is of it: [n, classes], as of several labels."""
    found: Array = (truth[:, None] == np.arange(scores.shape[1])).astype(np.int64)
    return found


def _interval(scores: Array, truth: Array) -> tuple[float, float]:
    macro(scores, truth)
    return auc.MACRO.interval(scores, _marks(scores, truth))


def _paired(mine: Array, theirs: Array, truth: Array) -> Paired:
    return auc.MACRO.paired(mine, theirs, _marks(mine, truth))


METRIC = Metric(
    task="classification",
    keep="tasks.quality.kept:of_classes",
    by_class=True,
    value=macro,
    interval=_interval,
    paired=_paired,
    naive=lambda _train, _here: 0.5,
    interval_by="DeLong",
    paired_by="DeLong’s test",
)
