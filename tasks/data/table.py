"""Tables: a CSV file with a header, or a folder of `train.csv` and, where there is one, `test.csv`.

`prepare.target` names the column that is to be told. Every other column is numbers, dates or categories: numbers or
dates where every cell that is there is one, as far as `prepare.features` tells nothing else of it. What is of no use is
left out, with a warning: a column without a name, one that counts the rows, which tells of a file that is in order
what it should not, and categories of which most rows have one of their own; and the column that `prepare.split` names,
unless `prepare.features` tells of it too.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.data import cells, labels
from tasks.errors import DataError, suggest
from tasks.examples import Array, Arrays, tables, times
from tasks.examples.dataset import BY, LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

INPUTS = {"number": "numbers", "category": "categories", "date": "dates"}  # by the kind of their columns
MANY = 10  # rows of each class, of which it is no chance that a column says the class in all
DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d(:?\d\d)?)?)?Z?")
COMMAS = re.compile(r"[+-]?\d*,\d[\d.,]*")  # a number by other habits: 1,5 or 1,234.5
DAYS = re.compile(  # a date by other habits: 31.1.2026, 1/31/26 or 2026/1/31, and a time behind it
    r"(\d{1,2}([./-])\d{1,2}\2\d{4}|\d{1,2}/\d{1,2}/\d\d|\d\d\.\d\d\.\d\d|\d{4}([./])\d{1,2}\3\d{1,2})(\D.*)?"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """A file and its cells."""

    path: Path
    cells: tables.Table

    def column(self, name: str) -> list[str]:
        """The cells of a column that must be there.

        Raises:
            DataError: it is not.
        """
        if name not in self.cells.columns:
            raise DataError(f"{self.path}: no column is named {name!r}; {suggest(name, self.cells.columns)}")
        return self.cells.columns[name]

    def rows(self, name: str) -> Iterator[tuple[str, str]]:
        """Where in the file each cell of a column is, for messages, and the cell."""
        for line, cell in zip(self.cells.lines, self.column(name), strict=True):
            yield f"{self.path}: line {line}", cell


def check(params: Prepare) -> None:
    """Look whether the data are there.

    Raises:
        DataError: they are not.
    """
    _paths(params)


def load(params: Prepare) -> Source:
    """Read the table at `params.path`.

    Raises:
        DataError: a file is missing or broken, or a cell is not what its column is of; the message names both.
    """
    found = [Table(path, cells.read(path)) for path in _paths(params)]
    columns = _columns(found[0], params)
    classes = _classes(found[0], params)
    train, *test = (Arrays(_inputs(table, columns), _told(table, classes, params)) for table in found)
    return Source(
        kinds={INPUTS[kind]: kind for kind in columns},  # type: ignore[misc]  # a key is a kind
        train=train,
        test=test[0] if test else None,
        classes=classes,
        origin={table.path.name: sha256(table.path) for table in found},
        columns={INPUTS[kind]: names for kind, names in columns.items()},
    )


def _paths(params: Prepare) -> list[Path]:
    """Of training, and of the test where it has a file of its own."""
    given = Path(str(params.path))
    if given.is_dir():
        paths = [path for path in (given / "train.csv", given / "test.csv") if path.is_file()]
        if paths and paths[0].name == "train.csv":
            return paths
    elif given.is_file():
        return [given]
    raise DataError(f"{given}: no such table; prepare.path names a CSV file, or a folder with train.csv and test.csv")


def _columns(table: Table, params: Prepare) -> dict[str, tuple[str, ...]]:
    """The columns that a model is given, by kind and in the order of the file.

    Raises:
        DataError: params.yaml tells of a column that is not there, no column is left, or one is the target once more.
    """
    for name in (*_targets(params), *params.features):
        table.column(name)
    aside = {*_targets(params), *({params.split.column} - params.features.keys())}
    found: dict[str, list[str]] = {kind: [] for kind in INPUTS}
    for name in (each for each in table.cells.columns if each not in aside):
        told = params.feature(name).kind
        kind = _told_kind(name, told) if told else _kind(table, name)
        if kind and not told:
            _check_apart(table, name, _targets(params))
        if kind:
            found[kind].append(name)
    if not any(found.values()):
        raise DataError(
            f"{table.path}: no column beside {', '.join(_targets(params))} is of use to a model; warnings say why"
        )
    return {kind: tuple(names) for kind, names in found.items() if names}


def _told_kind(name: str, told: str) -> str | None:
    """What params.yaml tells that a column is of; None: it is left out."""
    if told not in (*INPUTS, "unused"):
        raise DataError(
            f"prepare.features.{name}.kind: a column is number, category, date or unused; received {told!r}"
        )
    return None if told == "unused" else told


def _check_apart(table: Table, name: str, targets: Sequence[str]) -> None:
    """Raise DataError if a column is a target by other names for its classes, or in the same words."""
    cells = table.column(name)
    for target in targets:
        told = table.column(target)
        pairs = set(zip(cells, told, strict=True))
        alike = len(pairs) == len(set(cells)) == len(set(told)) and MANY * len(pairs) <= len(cells)
        if alike or cells == told:
            raise DataError(
                f"{table.path}: column {name!r} says what {target!r} says, in every row; "
                f"`prepare.features: {{{name}: {{kind: unused}}}}` leaves it out, another kind keeps it"
            )


def _kind(table: Table, name: str) -> str | None:
    """What a column is of, by its cells; None: it is left out."""
    where = f"{table.path}: column {name!r}"
    cells = table.column(name)
    known = [cell for cell in cells if cell.lower() not in tables.MISSING]
    if not name or not known:
        log.warning("%s: it has no %s and is left out", where, "name" if not name else "cell that says anything")
        return None
    found = kind_of(known)
    if found == "number" and _counts_rows(cells):
        log.warning(
            "%s: it counts the rows and is left out; `prepare.features: {%s: {kind: number}}` keeps it", where, name
        )
        return None
    if found in ("number", "date"):
        return found
    if habit := other_habit(known):
        raise DataError(f"{where}: {habit}; write them so, or tell the column's kind: category or unused")
    strange = [cell for cell in known if not tables.NUMBER.fullmatch(cell)]
    if 2 * len(strange) < len(known):
        log.warning("%s: taken for categories, as %r is no number; correct it, or tell its kind", where, strange[0])
    if found is None:
        log.warning(
            "%s: %d different values in %d rows: it is left out; `prepare.features: {%s: {kind: category}}` keeps it",
            where, len(set(known)), len(cells), name,
        )  # fmt: skip
    return found


def kind_of(known: Sequence[str]) -> str | None:
    """What the cells of a column are of, but for those that say nothing; None: most have a value of their own."""
    if all(tables.NUMBER.fullmatch(cell) for cell in known):
        return "number"
    if all(DATE.fullmatch(cell) for cell in known):
        return "date"
    return "category" if 2 * len(set(known)) <= len(known) else None


def other_habit(known: Sequence[str]) -> str | None:
    """What is expected of cells that are numbers or dates by other habits; None: they are not."""
    for kind, usual, other in (
        ("numbers with a point and without groups", tables.NUMBER, COMMAS),
        ("dates such as 2026-01-31", DATE, DAYS),
    ):
        strange = [cell for cell in known if not usual.fullmatch(cell)]
        if strange and all(other.fullmatch(cell) for cell in strange):
            return f"{kind} expected; received {strange[0]!r}"
    return None


def _counts_rows(cells: Sequence[str]) -> bool:
    """Whether they are 0, 1, 2 and so on, or begin at 1."""
    first = cells[0]
    return (
        len(cells) > 1
        and first in ("0", "1")
        and all(cell == str(number) for number, cell in enumerate(cells, start=int(first)))
    )


def _targets(params: Prepare) -> tuple[str, ...]:
    return params.target if isinstance(params.target, tuple) else (str(params.target),)


def _classes(table: Table, params: Prepare) -> tuple[str, ...]:
    """The values of the target, in the order of numbers where they are such; or the names of several labels."""
    if params.task == "regression":
        return ()
    if params.task == "multilabel":
        return _targets(params)
    (target,) = _targets(params)
    cells = table.column(target)
    values = set(cells)
    if 2 * len(values) > len(cells):
        if habit := other_habit(cells):
            raise DataError(f"{table.path}: column {target!r}: {habit}; write them so")
        told = f"{target!r} has {len(values)} different values in {len(cells)} rows"
        raise DataError(f"{table.path}: {told}, which are no classes; of numbers set `prepare.task: regression`")
    numeric = all(tables.NUMBER.fullmatch(value) for value in values)
    if numeric and len({float(value) for value in values}) < len(values):
        raise DataError(
            f"{table.path}: {target!r}: each class written in one way expected; received {', '.join(sorted(values))}"
        )
    return tuple(sorted(values, key=(lambda value: (float(value), value)) if numeric else None))


def _inputs(table: Table, columns: dict[str, tuple[str, ...]]) -> dict[str, Array]:
    try:
        found = {
            INPUTS[kind]: tables.pick({"kind": kind, "columns": names}, table.cells) for kind, names in columns.items()
        }
    except ValueError as error:
        raise DataError(f"{table.path}: {error}; correct it, or tell the kind of the column") from None
    if "number" in columns:
        _check_size(table, columns["number"], found[INPUTS["number"]])
    return found


def _check_size(table: Table, names: Sequence[str], values: Array) -> None:
    """Refuse numbers [n, columns] beyond float32: their squares may be no doubles, nor what columns are scaled by."""
    for row, place in np.argwhere(np.abs(values) > np.finfo(np.float32).max).tolist():
        name = names[place]
        told = f"line {table.cells.lines[row]}: column {name!r}: a number within float32 expected"
        raise DataError(f"{table.path}: {told}; received {table.column(name)[row]!r}; correct it")


def _told(table: Table, classes: tuple[str, ...], params: Prepare) -> dict[str, Array]:
    """The targets of a table's rows."""
    told = {LABEL: _label(table, classes, params)}
    if params.split.column is not None:
        told[BY] = (
            _times(table, params.split.column) if params.split.by == "time" else _groups(table, params.split.column)
        )
    return told


def _groups(table: Table, name: str) -> Array:
    return np.array(_full(table, name))


def _times(table: Table, name: str) -> Array:
    _full(table, name)
    return times.ordered([(f"{where}: {name!r}", cell) for where, cell in table.rows(name)])


def _full(table: Table, name: str) -> list[str]:
    """The cells of a column none of which may be empty."""
    for where, cell in table.rows(name):
        labels.check(where, name, cell)
    return table.column(name)


def _label(table: Table, classes: tuple[str, ...], params: Prepare) -> Array:
    """Class numbers int64 [n], labels int64 [n, labels], or values float32 [n] or [n, values]."""
    for name in _targets(params):
        _full(table, name)
    if params.task in ("classification", "reconstruction"):
        return _numbers(table, classes, _targets(params)[0])
    try:
        values = np.stack([tables.numbers(name, table.cells) for name in _targets(params)], axis=1)
    except ValueError as error:
        raise DataError(f"{table.path}: {error}") from None
    _check_size(table, _targets(params), values)
    if params.task == "multilabel":
        if not np.isin(values, (0, 1)).all():
            raise DataError(f"{table.path}: {', '.join(classes)}: 0 or 1 for each label expected")
        return values.astype(np.int64)
    if not np.isfinite(values.astype(np.float32)).all():
        raise DataError(f"{table.path}: {', '.join(_targets(params))}: numbers within float32 expected in every row")
    return (values if values.shape[1] > 1 else values[:, 0]).astype(np.float32)


def _numbers(table: Table, classes: tuple[str, ...], target: str) -> Array:
    number = {name: place for place, name in enumerate(classes)}
    for where, cell in table.rows(target):
        if cell not in number:
            raise DataError(f"{where}: the {target} {cell!r} is not in training; {suggest(cell, classes)}")
    return np.array([number[cell] for cell in table.column(target)], np.int64)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
