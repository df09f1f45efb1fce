"""Which class is taken for which: counts, and what they say of each class."""

from typing import Any

import numpy as np

from tasks.records import ClassFigures


def matrix(true: Any, predicted: Any, classes: int) -> Any:
    """Counts [classes, classes]: rows are true classes, columns predicted ones."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def figures(confusion: Any, names: tuple[str, ...]) -> tuple[ClassFigures, ...]:
    """Precision and recall of each class, null where they have no denominator."""
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassFigures(
            name=name,
            n=int(true[i]),
            precision=float(confusion[i, i] / predicted[i]) if predicted[i] else None,
            recall=float(confusion[i, i] / true[i]) if true[i] else None,
        )
        for i, name in enumerate(names)
    )
