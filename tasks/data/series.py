"""A series over time: a CSV file whose rows are in the order of time, cut into windows that end before what they tell.

`prepare.target` names the column whose change is told, `horizon` rows after the last row of a window of `length` rows;
`prepare.split.column` the one that has the times. The window holds that column, and after it each other one that
`prepare.features` tells to be a series. Without a path it is the S&P 500 day by day, 1999 to 2018, which arch carries.

What is told is a change from the last row of the window: the difference, or with `change: log` a hundred times that of
the logarithms, near to percent. No row is in windows of two splits, neither in a window nor as what it tells.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tasks.data import cells, sizes
from tasks.errors import DataError, suggest
from tasks.examples import Array, Arrays, preprocess, tables, times
from tasks.examples.dataset import BEGIN, BY, LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare
from tasks.scratch import scratch

FEWEST = 10  # windows
PART = 2**20  # bytes that are unpacked at once
WINDOWED = 16  # bytes in memory for each number of a window, with its changes
USUAL = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})")  # month, day and year, as the carried file has them


def check(params: Prepare) -> None:
    """Look whether the series is there.

    Raises:
        DataError: it is not.
    """
    path = _path(params)
    if not path.is_file():
        raise DataError(f"{path}: no such file; prepare.path names a CSV file with a row for each moment")


def _path(params: Prepare) -> Path:
    if params.path is not None:
        return Path(params.path)
    try:
        return Path(str(distribution("arch").locate_file("arch/data/sp500/sp500.csv.gz")))
    except PackageNotFoundError:
        raise DataError("source series: set prepare.path, or `pip install arch`, which carries the S&P 500") from None


def load(params: Prepare) -> Source:
    """The windows, float32 [n, length, columns], and the change that each tells, float32 [n].

    Raises:
        DataError: the file is missing or broken, a row is not in the order of time, or a cell that is needed is no
            number; the message names the line.
    """
    check(params)
    path = _path(params)
    with _plain(path) as file:
        table = cells.read(file, path)
    _check_order(path, table, str(params.split.column))
    names = _columns(path, table, params)
    values = np.stack([_values(path, table, name, params) for name in names], axis=1)
    return Source(
        kinds={"window": "series"},
        train=_windows(path, values, params),
        test=None,
        classes=(),
        origin={path.name: sha256(path)},
    )


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """The file, unpacked where it is packed."""
    if path.suffix != ".gz":
        yield path
        return
    with scratch("series") as folder:
        plain = folder / path.stem
        try:
            with gzip.open(path) as packed, plain.open("wb") as file:
                while part := packed.read(PART):
                    sizes.check_growth(str(path), file.tell() + len(part), path.stat().st_size)
                    file.write(part)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: no gzip file: {error}") from None
        yield plain


def _column(path: Path, table: tables.Table, name: str) -> list[str]:
    if name not in table.columns:
        raise DataError(f"{path}: no column is named {name!r}; {suggest(name, table.columns)}")
    return table.columns[name]


def _columns(path: Path, table: tables.Table, params: Prepare) -> tuple[str, ...]:
    """Those of a window: what is told first, then each other one that is told to be a series."""
    for name in params.features:
        _column(path, table, name)
    further = (name for name, told in params.features.items() if told.kind == "series" and name != params.target)
    return str(params.target), *further


def _check_order(path: Path, table: tables.Table, name: str) -> None:
    """Refuse rows that are not each later than the one before: what comes later would tell what was earlier."""
    before: tuple[float | datetime, str] | None = None
    for line, cell in zip(table.lines, _column(path, table, name), strict=True):
        where = f"{path}: line {line}: {name!r}"
        now = _time(where, cell)
        if before is not None and times.kind(now) != times.kind(before[0]):
            told = f"a time after {before[1]}, {times.kind(before[0])} too, expected"
            raise DataError(f"{where}: {told}; received {cell}")
        if before is not None and not now > before[0]:  # type: ignore[operator]  # they are of one kind
            told = f"{where}: a time after {before[1]} expected; received {cell}"
            raise DataError(f"{told}; sort the rows, and keep one for each moment")
        before = now, cell


def _time(where: str, cell: str) -> float | datetime:
    """What has the order of time: a number, or the moment of a date."""
    if tables.NUMBER.fullmatch(cell):
        return float(cell)
    if found := USUAL.fullmatch(cell):
        month, day, year = found.groups()
        cell = f"{year}-{month:0>2}-{day:0>2}"
    try:
        return tables.moment(cell)
    except ValueError:
        told = "a date such as 2026-01-31, 2026-01-31T12:00:00 or 1/31/2026, or a number, expected"
        raise DataError(f"{where}: {told}; received {cell!r}") from None


def _values(path: Path, table: tables.Table, name: str, params: Prepare) -> Array:
    _column(path, table, name)
    try:
        found = tables.numbers(name, table)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    least = np.finfo(np.float32).tiny if params.change == "log" else -np.inf
    wrong = np.flatnonzero(~np.isfinite(found.astype(np.float32)) | (found < least))
    if wrong.size:
        place = int(wrong[0])
        kind = "a number above 0 (change: log)" if params.change == "log" else "a number within float32"
        told = f"{path}: line {table.lines[place]}: column {name!r}: {kind} expected"
        raise DataError(f"{told}; received {table.columns[name][place]!r}; fill it, or delete the row")
    return found


def _windows(path: Path, values: Array, params: Prepare) -> Arrays:
    length, horizon = params.length, params.horizon
    count = len(values) - length - horizon + 1
    if count < FEWEST:
        raise DataError(
            f"{path}: {len(values)} rows make {max(count, 0)} windows of {length} rows (prepare.length) and {horizon} "
            f"(prepare.horizon) after them; {FEWEST} or more expected"
        )
    sizes.check(f"{path}: {count:,} windows of {length} rows", count * length * values.shape[1] * WINDOWED)
    windows = sliding_window_view(values[: count + length - 1], length, axis=0).transpose(0, 2, 1)
    told = preprocess.step(params.change, windows[:, -1, 0], values[length + horizon - 1 :, 0])
    first = np.arange(count)
    targets: dict[str, Array] = {LABEL: told.astype(np.float32), BEGIN: first, BY: first + length + horizon - 1}
    return Arrays({"window": windows.astype(np.float32)}, targets)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
