"""Gradient-boosted trees on the prepared numbers, by YDF (Yggdrasil Decision Forests): what tables often ask for."""

from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Examples, dataset
from tasks.examples.dataset import LABEL
from tasks.examples.rows import rows
from tasks.members import YardstickMethod
from tasks.params.yardstick import Trees

LEAST = 10  # examples
MANY = 100_000  # examples, from which on each number is one of 255 steps, as in LightGBM: a fifth of the time


def predict(train: Examples, judged: Examples, seed: int, *, trees: int, depth: int) -> Array:
    """The probability of each class, float64 [n, classes], or a value, [n, values].

    Args:
        train: the examples to learn from, of which a tenth says how many trees are enough.
        judged: n examples.
        seed: of that draw.
        trees: at most so many are grown, of a class, or value, each.
        depth: of a tree.

    Raises:
        DataError: training has one class only or too few examples, or the examples are too many numbers.
    """
    spec, told = dataset.spec(), train.targets[LABEL]
    if len(told) < LEAST:
        raise DataError(f"trees: at least {LEAST} examples in training expected; received {len(told)}")
    learnt, asked = rows(train, spec.inputs), rows(judged, spec.inputs)
    settings = {"num_trees": trees, "max_depth": depth, "random_seed": seed}
    settings["discretize_numerical_columns"] = len(told) >= MANY
    if spec.task == "regression":
        columns = told.reshape(len(told), -1).T
        return np.stack([_values(learnt, column, asked, settings) for column in columns], axis=1)
    return _probabilities(learnt, told, asked, spec.classes, settings)


def _values(learnt: Array, told: Array, asked: Array, settings: dict[str, Any]) -> Array:
    import ydf

    learner = ydf.GradientBoostedTreesLearner(label="y", task=ydf.Task.REGRESSION, **settings)
    found: Array = learner.train({"x": learnt, "y": told}, verbose=0).predict({"x": asked})
    return found


def _probabilities(
    learnt: Array, told: Array, asked: Array, classes: tuple[str, ...], settings: dict[str, Any]
) -> Array:
    import ydf

    present = np.unique(told)
    if len(present) < 2:
        raise DataError(f"trees: two classes in training expected; received {classes[present[0]]!r} alone")
    model = ydf.GradientBoostedTreesLearner(label="y", **settings).train({"x": learnt, "y": told}, verbose=0)
    found = model.predict({"x": asked})
    if found.ndim == 1:  # of two classes the probability of the second
        found = np.stack([1 - found, found], axis=1)
    answers = np.zeros((len(asked), len(classes)))
    answers[:, [int(name) for name in model.label_classes()]] = found
    return answers


YARDSTICK = YardstickMethod(schema=Trees, predict=predict, tasks=("classification", "regression"))
