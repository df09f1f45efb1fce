"""From a CSV file to the raw inputs of a model of tables. Bundles ship this file: stdlib and numpy only.

Errors are ValueErrors, because nothing of the project is there on a device.
"""

import csv
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # what stands for a number that is not known, in lower case
DELIMITERS = ",;\t|"
LONGEST = 2**20 - 1  # characters of a cell: under a MiB, as texts in other files; csv itself stops at an eighth of it


class Table(NamedTuple):
    """The cells of a table."""

    columns: dict[str, list[str]]  # by name
    lines: list[int]  # of the file, where each row begins


def cells(path: Path) -> Table:
    """The cells of a CSV file with a header, without the space around them. Blank lines are no rows.

    Fields are parted by commas, semicolons, tabs or bars, whichever the header has most of. UTF-8.

    Raises:
        ValueError: a row has more or fewer fields than the header, two columns have one name, or there is no row.
    """
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = reader(file)
        try:
            header = [name.strip() for name in next(rows, [])]
            table, lines, line = [], [], rows.line_num + 1
            for row in rows:
                if len(row) > 1 or any(cell.strip() for cell in row):
                    table.append(row)
                    lines.append(line)
                line = rows.line_num + 1
        except csv.Error as error:
            told = f"; at most {LONGEST:,} characters expected: cut it" if "limit" in str(error) else ""
            raise ValueError(f"line {rows.line_num}: {error}{told}") from None
    if not table:
        raise ValueError("a header and at least one row expected")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise ValueError(f"the header has the column {twice[0]!r} twice")
    for line, row in zip(lines, table, strict=True):
        if len(row) != len(header):
            raise ValueError(f"line {line}: {len(header)} fields as in the header expected; received {len(row)}")
    return Table({name: [row[place].strip() for row in table] for place, name in enumerate(header)}, lines)


def reader(file: TextIO) -> Any:
    """A reader of a CSV file's rows, as csv has it; fields are parted by what the header has most of, see `cells`.

    Args:
        file: at its start.
    """
    first = file.readline()
    file.seek(0)
    csv.field_size_limit(LONGEST)
    return csv.reader(file, delimiter=max(DELIMITERS, key=first.count), strict=True)


def numbers(name: str, table: Table) -> NDArray[np.float64]:
    """A column of numbers, NaN where a cell says that there is none: float64 [n].

    Raises:
        ValueError: a cell is no number, or one that would be infinite.
    """
    found = np.empty(len(table.lines))
    for place, cell in enumerate(table.columns[name]):
        known = NUMBER.fullmatch(cell)
        found[place] = float(cell) if known else np.nan
        if (not known and cell.lower() not in MISSING) or math.isinf(found[place]):
            what = "a number within float64" if known else "a number"
            raise ValueError(f"line {table.lines[place]}: column {name!r}: {what} expected; received {cell!r}")
    return found


def moment(cell: str) -> datetime:
    """The moment of a date, such as 2026-01-31, 2026-01-31T12:00 or, with its offset from UTC, 2026-01-31T12:00+01:00.

    Raises:
        ValueError: it is no date.
    """
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"a date such as 2026-01-31 or 2026-01-31T12:00:00 expected; received {cell!r}") from None


def moments(rows: Iterable[tuple[str, str]]) -> list[datetime | None]:
    """The moments of a column of dates; None where a cell says that there is none.

    Args:
        rows: where each cell is, for messages, and the cell.

    Raises:
        ValueError: a cell is no date, or one has an offset from UTC and another has none: no order is theirs.
    """
    found: list[datetime | None] = []
    first: tuple[datetime, str] | None = None
    for where, cell in rows:
        try:
            found.append(None if cell.lower() in MISSING else moment(cell))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if (now := found[-1]) is None:
            continue
        first = first or (now, cell)
        if (now.tzinfo is None) != (first[0].tzinfo is None):
            told = "an offset from UTC in all dates or in none expected"
            raise ValueError(f"{where}: {told}; received {cell} after {first[1]}")
    return found


def days(cell: str) -> float:
    """The days from 1970 to a date, see `moment`, in parts too; NaN where there is none.

    Of one with an offset from UTC they are counted in UTC, of another by its own clock.

    Raises:
        ValueError: it is no date.
    """
    if cell.lower() in MISSING:
        return math.nan
    found = moment(cell)
    return (found - datetime(1970, 1, 1, tzinfo=found.tzinfo and UTC)) / timedelta(days=1)


def zoned(cells: Iterable[str]) -> bool | None:
    """Whether dates, see `moments`, have an offset from UTC; None where all of them are missing."""
    known = (cell for cell in cells if cell.lower() not in MISSING)
    return next((moment(cell).tzinfo is not None for cell in known), None)


def pick(spec: dict[str, Any], table: Table) -> NDArray[Any]:
    """An input's raw form from the cells of a table: floats or str objects [n, columns].

    Raises:
        ValueError: a column is not there, or a cell is not what the input is of.
    """
    if absent := [name for name in spec["columns"] if name not in table.columns]:
        raise ValueError(f"the column {', '.join(absent)} is not there; received {', '.join(table.columns)}")
    if spec["kind"] == "number":
        return np.stack([numbers(name, table) for name in spec["columns"]], axis=1)
    for name in spec["columns"] if spec["kind"] == "date" else ():
        places = (f"line {line}: column {name!r}" for line in table.lines)
        moments(zip(places, table.columns[name], strict=True))
    return np.array([table.columns[name] for name in spec["columns"]], object).T
