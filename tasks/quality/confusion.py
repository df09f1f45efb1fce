"""Which class is taken for which: counts, and what they say of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.records import ClassFigures


def matrix(true: Any, predicted: Any, classes: int) -> Any:
    """Counts [classes, classes]: rows are true classes, columns predicted ones."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def figures(confusion: Any, names: tuple[str, ...], areas: Sequence[float | None] = ()) -> tuple[ClassFigures, ...]:
    """Precision and recall of each class, null where they have no denominator.

    Args:
        confusion: see `matrix`.
        names: of the classes.
        areas: under their ROC curves, where these are known.
    """
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassFigures(
            name=name,
            n=int(true[i]),
            precision=float(confusion[i, i] / predicted[i]) if predicted[i] else None,
            recall=float(confusion[i, i] / true[i]) if true[i] else None,
            auc=areas[i] if areas else None,
        )
        for i, name in enumerate(names)
    )
