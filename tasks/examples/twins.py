"""Examples that are the same in two splits: who has learnt one by heart is not judged by it.

Where examples are parted by chance, all equal ones go to one side. Those that lie in two splits all the same, because
somebody else has parted them or they are of two groups, are refused, unless params.yaml says that equal examples are
observations of their own (`prepare.split.repeats: allowed`): they are counted then, and the first is named. An example
of another time is another one.
"""

import logging
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.examples import Array, Examples
from tasks.examples.files import Files
from tasks.examples.tokens import Tokens
from tasks.params import Prepare

MANY = 0.1  # of the examples: so many that repeat another are a thing to tell
SHOWN = 80  # characters of an example
log = logging.getLogger(__name__)


def check(splits: dict[str, Examples], params: Prepare) -> None:
    """Compare each split with those before it.

    Raises:
        DataError: an example is in two of them, and repeats are not allowed.
    """
    if params.split.by == "time":
        return
    known: dict[str, tuple[str, int]] = {}
    for split, examples in splits.items():
        own = list(enumerate(digests(examples)))
        if found := [(place, known[each]) for place, each in own if each in known]:
            message = _told(splits, split, found)
            if params.split.repeats == "together":
                raise DataError(
                    f"{message}; delete one of each, or, where equal examples are observations of their own, set "
                    "prepare.split.repeats: allowed"
                )
            log.warning("%s", message)
        for place, each in own:
            known.setdefault(each, (split, place))


def alike(examples: Examples) -> NDArray[np.int64]:
    """Of each example the first one that is equal to it, [n]: itself where it repeats none."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(each, place) for place, each in enumerate(digests(examples))], np.int64)


def together(examples: Examples, taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """The examples of which the first that is equal was taken, ascending: so all equal ones are on one side.

    A warning says where they are so many that what is taken may be far from the share that was asked for.
    """
    first = alike(examples)
    repeated = int((first != np.arange(len(first))).sum())
    if repeated > MANY * len(first):
        log.warning(
            "prepare: %d of %d examples repeat another, and all equal ones go to one split; where they are "
            "observations of their own, set prepare.split.repeats: allowed",
            repeated, len(first),
        )  # fmt: skip
    return np.flatnonzero(np.isin(first, taken))


def digests(examples: Examples) -> list[str]:
    """What tells each example from others, by its inputs."""
    if isinstance(examples, Files):
        return [digest for digest, _ in examples.index]
    if isinstance(examples, Tokens):  # a text may say a thing twice
        return []
    rows = [_rows(array) for array in examples.arrays().inputs.values()]
    return [sha256(b"\0".join(row)).hexdigest() for row in zip(*rows, strict=True)]


def _rows(array: Array) -> Iterator[bytes]:
    """Of each example its numbers or texts: equal ones are the same bytes, whatever their type, and 0 has no sign."""
    if array.dtype == object:
        yield from ("\0".join(np.atleast_1d(row)).encode() for row in array)
    else:
        yield from (_plain(row).tobytes() for row in array)


def _plain(row: Array) -> Array:
    """The same numbers in the type that they alone decide: bytes, where they are some, as of pixels there are many."""
    if row.dtype.kind in "iu":
        return row.astype(np.uint8 if row.size and row.min() >= 0 and row.max() <= 255 else np.int64)
    return row.astype(np.float64) + 0 if row.dtype.kind == "f" else row  # -0.0 + 0 is 0.0


def _told(splits: dict[str, Examples], split: str, found: list[tuple[int, tuple[str, int]]]) -> str:
    place, (other, twin) = found[0]
    examples, others = splits[split], splits[other]
    if isinstance(examples, Files) and isinstance(others, Files):
        return (
            f"{others.index[twin][1]}: in the {other} split, and the same as {examples.index[place][1]} in the {split} "
            f"split, which would judge nothing; {len(found)} of its {len(examples)} images are in an earlier split too"
        )
    return (
        f"{len(found)} of {len(examples)} examples of the {split} split are in an earlier one too, and what "
        f"was learnt by heart judges nothing; the first is number {place}, the same as number {twin} of the {other} "
        f"split{_shown(examples, place)}"
    )


def _shown(examples: Examples, place: int) -> str:
    """The example itself, where it can be read."""
    one = [array[0] for array in examples.take(np.array([place])).arrays().inputs.values()]
    if any(np.ndim(value) > 1 for value in one):
        return ""
    text = ", ".join(str(cell) for value in one for cell in np.atleast_1d(value))
    return f": {text if len(text) <= SHOWN else text[:SHOWN] + '…'}"
