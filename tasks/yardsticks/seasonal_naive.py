"""What was a season ago comes again: Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 5.2."""

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Examples, preprocess, series
from tasks.members import YardstickMethod
from tasks.params.yardstick import SeasonalNaive


def predict(train: Examples, judged: Examples, seed: int, *, season: int) -> Array:  # noqa: ARG001 - likewise
    """The change to the value of the last season's same place: float64 [n, 1].

    Args:
        train: not looked at.
        judged: windows as the source gave them, float32 [n, length, columns], the column that is told first.
        seed: not used.
        season: rows of a season.

    Raises:
        DataError: the data are no series, or a window has not the rows of a season.
    """
    entry = series.entry("seasonal-naive")
    horizon, (length, _) = entry["horizon"], entry["shape"]
    place = length - 1 + horizon - season * -(-horizon // season)
    if place < 0:
        raise DataError(f"seasonal-naive: season: at most {length - 1 + horizon} for windows of {length} rows expected")
    (windows,) = judged.arrays().inputs.values()
    then = windows[:, :, 0].astype(np.float64)
    found: Array = preprocess.step(entry["change"], then[:, -1], then[:, place])[:, None]
    return found


YARDSTICK = YardstickMethod(schema=SeasonalNaive, predict=predict, tasks=("regression",), raw=True)
