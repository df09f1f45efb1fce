"""What most people liked, whoever asks: of recommenders the first to beat, and often not beaten."""

import numpy as np

from tasks.examples import Array, Examples, likes
from tasks.members import YardstickMethod
from tasks.params.yardstick import Popularity


def predict(train: Examples, judged: Examples, seed: int) -> Array:  # noqa: ARG001 - the signature of all yardsticks
    """Of each candidate how many liked it in training: float64 [n, candidates].

    Raises:
        DataError: the data are no users with items to choose from.
    """
    _, items = likes.pairs(train, "popularity")
    shown = judged.arrays().inputs["items"]
    counts = np.bincount(items, minlength=int(shown.max()) + 1)
    return counts[shown].astype(np.float64)


YARDSTICK = YardstickMethod(schema=Popularity, predict=predict, tasks=("classification",))
