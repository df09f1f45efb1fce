"""Sentences with a class: `train.tsv` and, where there is one, `test.tsv` or else `dev.tsv`, as the test split.

One example a line: the sentence, a tab, the label. UTF-8, no header.
"""

from pathlib import Path

import numpy as np

from tasks.data import labels, sizes
from tasks.errors import DataError, not_utf8, suggest
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

LONGEST = 2**20  # bytes of a line


def check(params: Prepare) -> None:
    """Look whether the data are there.

    Raises:
        DataError: they are not.
    """
    path = Path(str(params.path), "train.tsv")
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; prepare.path names the folder that holds train.tsv and, to judge by, dev.tsv or "
            "test.tsv: a sentence, a tab and its label a line; SST-2's, without their first line, are in "
            "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"
        )


def load(params: Prepare) -> Source:
    """Read the folder `params.path`; the classes are the labels of `train.tsv`, sorted.

    Raises:
        DataError: a file is missing or empty, or a line is wrong; the message names the file and the line.
    """
    check(params)
    folder = Path(str(params.path))
    train_path = folder / "train.tsv"
    test_path = next((path for path in (folder / "test.tsv", folder / "dev.tsv") if path.is_file()), None)
    train = _read(train_path)
    classes = tuple(sorted({label for _, label in train}))
    test = None if test_path is None else _examples(test_path, _read(test_path), classes)
    origin = {path.name: sha256(path) for path in (train_path, test_path) if path is not None}
    return Source({"text": "text"}, _examples(train_path, train, classes), test, classes, origin)


def _read(path: Path) -> list[tuple[str, str]]:
    sizes.check_text(path)
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:  # what follows the last line's end
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file is empty; lines of sentence, tab, label expected")
    return [_parse(f"{path}:{number}", line) for number, line in enumerate(lines, start=1)]


def _parse(where: str, line: bytes) -> tuple[str, str]:
    if len(line) > LONGEST:
        raise DataError(f"{where}: a line of at most {LONGEST:,} bytes expected; received {len(line):,}; cut the text")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(where, error) from None
    fields = [field.strip() for field in text.split("\t")]
    if len(fields) != 2:
        raise DataError(f"{where}: sentence, one tab, label expected; received {len(fields) - 1} tab(s)")
    sentence, label = fields
    if not sentence or not label:
        raise DataError(f"{where}: the {'label' if sentence else 'sentence'} is empty; correct or delete the line")
    labels.check(where, "label", label)
    if where.endswith(":1") and (sentence.lower(), label.lower()) == ("sentence", "label"):
        raise DataError(f"{where}: examples from the first line on expected; received a header: delete it")
    return sentence, label


def _examples(path: Path, pairs: list[tuple[str, str]], classes: tuple[str, ...]) -> Arrays:
    number = {name: index for index, name in enumerate(classes)}
    for line, (_, label) in enumerate(pairs, start=1):
        if label not in number:
            raise DataError(f"{path}:{line}: the label {label!r} is not in train.tsv; {suggest(label, classes)}")
    labels = np.array([number[label] for _, label in pairs], np.int64)
    return Arrays({"text": np.array([sentence for sentence, _ in pairs], object)}, {LABEL: labels})


SOURCE = DataSource(schema=Prepare, check=check, load=load)
