"""Which class is taken for which: counts, and what they say of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.records import ClassFigures

MOST = 1000  # classes whose matrix is made: of 10,000 tokens it has 10^8 counts, which nobody reads


def matrix(true: Any, predicted: Any, classes: int) -> Any:
    """Counts [classes, classes]: rows are true classes, columns predicted ones; [0, 0] of more than `MOST`.

    An answer that is none of the classes, which a network with more outputs may give, is in no column.
    """
    if classes > MOST:
        return np.zeros((0, 0), np.int64)
    known = predicted < classes
    counts = np.bincount(true[known] * classes + predicted[known], minlength=classes * classes)
    return counts.reshape(classes, classes)


def figures(
    true: Any, predicted: Any, names: tuple[str, ...], areas: Sequence[float | None] = ()
) -> tuple[ClassFigures, ...]:
    """Precision and recall of each class, null where they have no denominator.

    Args:
        true: class numbers [n].
        predicted: likewise; one that is no class is wrong.
        names: of the classes.
        areas: under their ROC curves, where these are known.
    """
    n, answered, right = (np.bincount(of, minlength=len(names)) for of in (true, predicted, true[true == predicted]))
    return tuple(
        ClassFigures(
            name=name,
            n=int(n[i]),
            precision=float(right[i] / answered[i]) if answered[i] else None,
            recall=float(right[i] / n[i]) if n[i] else None,
            auc=areas[i] if areas else None,
        )
        for i, name in enumerate(names)
    )
