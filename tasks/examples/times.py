"""Times by which examples are parted: numbers in all rows, or dates, with an offset from UTC in all or in none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, tables

NUMBER, DATE, ZONED = "a number", "a date without an offset from UTC", "a date with its offset from UTC"


def ordered(rows: Sequence[tuple[str, str]]) -> Array:
    """What has the order of the times that cells tell.

    Args:
        rows: where each cell is, for messages, and the cell.

    Returns:
        float64 [n], of dates datetime64 [n], and of those with an offset datetime objects [n].

    Raises:
        DataError: they are neither numbers in all rows nor dates, or not all of one kind.
    """
    if all(tables.NUMBER.fullmatch(cell) for _, cell in rows):
        numbers = np.array([cell for _, cell in rows], np.float64)
        for place in np.flatnonzero(np.isinf(numbers)).tolist():
            where, cell = rows[place]
            raise DataError(f"{where}: a number within float64 expected; received {cell!r}")
        return numbers
    for where, cell in rows:
        if cell.lower() in tables.MISSING:
            raise DataError(f"{where}: a time in every row expected; received {cell!r}; fill it, or delete the row")
    try:
        found: list[Any] = tables.moments(rows)
    except ValueError as error:
        raise DataError(f"{error}; numbers in all rows are times too") from None
    return np.array(found, "datetime64[us]" if kind(found[0]) == DATE else object)  # numpy's own know of no offset


def kind(time: Any) -> str:
    """What a time is, of those that have an order among themselves; of numpy's or Python's types."""
    if isinstance(time, datetime):
        return DATE if time.tzinfo is None else ZONED
    return DATE if isinstance(time, np.datetime64) else NUMBER


def shown(time: Any) -> str:
    """A time as it may have been written."""
    return np.datetime_as_string(time, unit="auto").item() if isinstance(time, np.datetime64) else str(time)
