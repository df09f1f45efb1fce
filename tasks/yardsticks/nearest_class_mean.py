"""Of each example the class whose mean it is nearest to: what follows from where the classes lie, and nothing else.

A reconstruction knows one class alone, what is normal: its mean is what every example is said to be.
"""

import numpy as np

from tasks.examples import Array, Examples, chunks, dataset
from tasks.examples.dataset import LABEL, NORMAL
from tasks.examples.rows import flat, width
from tasks.members import YardstickMethod
from tasks.params.yardstick import NearestClassMean


def predict(train: Examples, judged: Examples, seed: int) -> Array:  # noqa: ARG001 - the signature of all yardsticks
    """Minus the squared Euclidean distance to the mean of each class in training: float64 [n, classes].

    A class without an example there is never the nearest one. Of a reconstruction the mean: float64 [n, ...].
    """
    spec = dataset.spec()
    sums = np.zeros((len(spec.classes), width(spec.inputs)))
    counts = np.zeros(len(spec.classes))
    start = 0
    for chunk in chunks(train):
        labels = train.targets[LABEL][start : start + len(chunk)]
        np.add.at(sums, labels, flat(chunk, spec.inputs))
        counts += np.bincount(labels, minlength=len(counts))
        start += len(chunk)
    means = sums / np.maximum(counts, 1)[:, None]
    if spec.task == "reconstruction":
        (normal,) = spec.inputs.values()
        return np.tile(means[NORMAL].reshape(normal.shape), (len(judged), *[1] * len(normal.shape)))
    nearness = np.concatenate([_nearness(flat(chunk, spec.inputs), means) for chunk in chunks(judged)])
    nearness[:, counts == 0] = nearness.min() - 1
    return nearness


def _nearness(rows: Array, means: Array) -> Array:
    wide = rows.astype(np.float64)
    found: Array = 2 * wide @ means.T - np.square(means).sum(axis=1) - np.square(wide).sum(axis=1)[:, None]
    return found


YARDSTICK = YardstickMethod(schema=NearestClassMean, predict=predict, tasks=("classification", "reconstruction"))
