"""Examples that are the same in two splits: who has learnt one by heart is not judged by it.

A file or a text that lies in two splits has no reason to: it is refused. Rows of a table and small images may be equal
by chance, and public data sets have such pairs that nobody can take out: they are counted, the first is named.
"""

import logging
from hashlib import sha256

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Arrays, Examples
from tasks.examples.files import Files
from tasks.examples.tokens import Tokens

SHOWN = 80  # characters of an example
log = logging.getLogger(__name__)


def check(splits: dict[str, Examples]) -> None:
    """Compare each split with those before it.

    Raises:
        DataError: a file or a text is in two of them.
    """
    known: dict[str, tuple[str, int]] = {}
    for split, examples in splits.items():
        own = list(enumerate(digests(examples)))
        if found := [(place, known[each]) for place, each in own if each in known]:
            _tell(splits, split, found)
        for place, each in own:
            known.setdefault(each, (split, place))


def digests(examples: Examples) -> list[str]:
    """What tells each example from others, by its inputs."""
    if isinstance(examples, Files):
        return [digest for digest, _ in examples.index]
    if isinstance(examples, Tokens):  # a text may say a thing twice
        return []
    rows = [_rows(array) for array in examples.arrays().inputs.values()]
    return [sha256(b"\0".join(row)).hexdigest() for row in zip(*rows, strict=True)]


def are_texts(examples: Examples) -> bool:
    """Whether each example is a text."""
    if not isinstance(examples, Arrays):
        return False
    return all(array.dtype == object and array.ndim == 1 for array in examples.inputs.values())


def _rows(array: Array) -> list[bytes]:
    if array.dtype == object:
        return ["\0".join(np.atleast_1d(row)).encode() for row in array]
    return [row.tobytes() for row in array]


def _tell(splits: dict[str, Examples], split: str, found: list[tuple[int, tuple[str, int]]]) -> None:
    place, (other, twin) = found[0]
    examples, others = splits[split], splits[other]
    if isinstance(examples, Files) and isinstance(others, Files):
        raise DataError(
            f"{others.index[twin][1]}: in the {other} split, and the same as {examples.index[place][1]} in the {split} "
            "split, which would judge nothing: delete one of them"
        )
    if are_texts(examples):
        raise DataError(
            f"prepare: {len(found)} of {len(examples)} texts of the {split} split are in an earlier one too, and what "
            "was learnt by heart judges nothing; "
            f"the first is number {place}, the same as number {twin} of the {other} "
            f"split{_shown(examples, place)}; delete one of each"
        )
    log.warning(
        "prepare: %d of %d examples of the %s split are in an earlier one too, and what was learnt by heart judges "
        "nothing; the first is number %d, the same as number %d of the %s split%s",
        len(found), len(examples), split, place, twin, other, _shown(examples, place),
    )  # fmt: skip


def _shown(examples: Examples, place: int) -> str:
    """The example itself, where it can be read."""
    one = [array[0] for array in examples.take(np.array([place])).arrays().inputs.values()]
    if any(np.ndim(value) > 1 for value in one):
        return ""
    text = ", ".join(str(cell) for value in one for cell in np.atleast_1d(value))
    return f": {text if len(text) <= SHOWN else text[:SHOWN] + '…'}"
