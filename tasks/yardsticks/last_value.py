"""What was last stays: no change. Of prices, which are near to a random walk, hard to beat."""

import numpy as np

from tasks.examples import Array, Examples, series
from tasks.members import YardstickMethod
from tasks.params.yardstick import LastValue


def predict(train: Examples, judged: Examples, seed: int) -> Array:  # noqa: ARG001 - the signature of all yardsticks
    """A change of nothing for each window: float64 [n, 1].

    Raises:
        DataError: the data are no series.
    """
    series.entry("last-value")
    return np.zeros((len(judged), 1))


YARDSTICK = YardstickMethod(schema=LastValue, predict=predict, tasks=("regression",))
