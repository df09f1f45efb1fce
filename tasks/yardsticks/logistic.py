"""Logistic regression on the prepared numbers, by scikit-learn."""

import warnings

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Examples, dataset
from tasks.examples.dataset import LABEL
from tasks.examples.rows import rows
from tasks.members import YardstickMethod
from tasks.params.yardstick import Logistic

STEPS = 1000


def predict(train: Examples, judged: Examples, seed: int, *, c: float) -> Array:
    """The probability of each class: float64 [n, classes]; 0 of a class that training has no example of.

    Args:
        train: the examples to learn from; their numbers are standardised before.
        judged: n examples.
        seed: of the solver.
        c: one over the strength of the L2 penalty.

    Raises:
        DataError: training has one class only, or the examples are too many numbers.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    spec, labels = dataset.spec(), train.targets[LABEL]
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(f"logistic: two classes in training expected; received {spec.classes[present[0]]!r} alone")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=STEPS, random_state=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps are enough to be beaten by
        model.fit(rows(train, spec.inputs), labels)
    answers = np.zeros((len(judged), len(spec.classes)))
    answers[:, present] = model.predict_proba(rows(judged, spec.inputs))
    return answers


YARDSTICK = YardstickMethod(schema=Logistic, predict=predict, tasks=("classification",))
