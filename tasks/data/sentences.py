"""Texts with a class: rows of a CSV file, lines of JSON, or a folder of `.txt` files for each class. UTF-8.

`prepare.path` names a file (`.csv`, `.jsonl`), or a folder that holds `train.csv` or `train.jsonl` and, where there is
one, `test` or else `dev` of the same suffix as the test split. The text is under `prepare.text` ("text" unless told
otherwise), its class under `prepare.target` ("label"). Any other folder holds a folder for each class, or `train` and
`test` with such folders, and each `.txt` file at any depth is one text.

However long a text is, a model reads the first `prepare.length` words of it; one of more than a MiB is refused. Where
the split is by group, rows are of the groups in a column, and files of the folders within that of their class.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from tasks.data import labelled
from tasks.errors import DataError, suggest
from tasks.examples import Arrays
from tasks.examples.dataset import BY, LABEL, Source
from tasks.files import below
from tasks.members import DataSource
from tasks.params import Prepare

INPUT = "text"
READERS: dict[str, Callable[[Path, labelled.Keys], list[labelled.Row]]] = {
    ".csv": labelled.of_csv,
    ".jsonl": labelled.of_json,
}
JUDGES = ("test", "dev")


@dataclass(frozen=True)
class Place:
    """Where the texts of a split are."""

    path: Path  # a file, or a folder with one for each class
    test: Path | None


def check(params: Prepare) -> None:
    """Look whether the data are there.

    Raises:
        DataError: they are not.
    """
    _place(params)


def load(params: Prepare) -> Source:
    """Read the texts at `params.path`; the classes are those of training, in the order of numbers where all are such.

    Raises:
        DataError: a file is missing, empty or broken, or a text is; the message names the file and the line.
    """
    place = _place(params)
    train = _rows(place.path, params)
    classes = _classes(place.path, train)
    test = _examples(_rows(place.test, params), classes, params) if place.test else None
    origin = {path.name: _digest(path) for path in (place.path, place.test) if path}
    return Source({INPUT: "text"}, _examples(train, classes, params), test, classes, origin)


def _place(params: Prepare) -> Place:
    path = Path(str(params.path))
    if path.is_file() and path.suffix in READERS:
        return Place(path, None)
    if path.is_dir():
        for suffix in READERS:
            if (train := path / f"train{suffix}").is_file():
                judges = (path / f"{name}{suffix}" for name in JUDGES)
                return Place(train, next((each for each in judges if each.is_file()), None))
        if (path / "train").is_dir():
            return Place(path / "train", path / "test" if (path / "test").is_dir() else None)
        return Place(path, None)
    raise DataError(
        f"{path}: no texts; prepare.path names a .csv or .jsonl file, or a folder with train.csv or train.jsonl, or "
        "with a folder of .txt files for each class"
    )


def _rows(path: Path, params: Prepare) -> list[labelled.Row]:
    """All texts of a file or of a folder.

    Raises:
        DataError: see `load`.
    """
    group = params.split.column
    if path.is_file():
        if params.split.by == "group" and group is None:
            raise DataError(f"prepare.split: rows need the key `column`, which names the groups; {path} has rows")
        found = READERS[path.suffix](path, labelled.Keys(params.text, str(params.target or "label"), group))
    else:
        if group is not None:
            raise DataError(f"prepare.split: {path} is a folder, whose folders are the groups: leave out `column`")
        found = labelled.of_folder(path, grouped=params.split.by == "group")
    if not found:
        raise DataError(f"{path}: no text in it")
    return found


def _classes(path: Path, train: list[labelled.Row]) -> tuple[str, ...]:
    labels = Counter(row.label for row in train)
    if 2 * len(labels) > len(train):
        raise DataError(
            f"{path}: {len(labels)} different labels of {len(train)} texts, which are no classes; see prepare.target"
        )
    numeric = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=(lambda label: (int(label), label)) if numeric else None))


def _examples(found: list[labelled.Row], classes: tuple[str, ...], params: Prepare) -> Arrays:
    number = {name: place for place, name in enumerate(classes)}
    for row in found:
        if row.label not in number:
            raise DataError(f"{row.where}: the label {row.label!r} is not in training; {suggest(row.label, classes)}")
    told = {LABEL: np.array([number[row.label] for row in found], np.int64)}
    if params.split.by == "group":
        told[BY] = np.array([row.group for row in found])
    return Arrays({INPUT: np.array([row.text for row in found], object)}, told)


def _digest(path: Path) -> str:
    if path.is_file():
        return sha256(path.read_bytes()).hexdigest()
    read = [each for each in below(path) if each.suffix.lower() == labelled.SUFFIX]
    listed = "\n".join(f"{sha256(each.read_bytes()).hexdigest()} {each.relative_to(path).as_posix()}" for each in read)
    return sha256(listed.encode(errors="surrogateescape")).hexdigest()


SOURCE = DataSource(schema=Prepare, check=check, load=load)
