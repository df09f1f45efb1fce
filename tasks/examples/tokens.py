"""Windows of a long row of tokens, looked up by their position when they are asked for."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.examples import Array, Arrays

IDS, STARTS = "inputs.{}.ids.npy", "inputs.{}.starts.npy"
SMALLEST = (np.uint8, np.uint16, np.uint32)
COUNTED = 2**22  # tokens in memory while they are counted


@dataclass(frozen=True)
class Tokens:
    """Examples of one input: `length` tokens in a row, and what is told of them.

    That is the one token behind a window, a target like any other, or the next one at each of its places: the same
    row of tokens, looked up one place further.
    """

    name: str  # of the input
    ids: Array  # unsigned integers [tokens], mapped into memory where they are from a file
    starts: NDArray[np.int64]  # [n]: where each window begins
    length: int
    stored: dict[str, Array]  # the targets that are kept as they are
    following: str | None = None  # the target that holds the next token at each place; None: there is none
    parts: Array | None = None  # uint8 [n], where the source has parted them itself: 0 train, 1 validation, 2 test

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def targets(self) -> dict[str, Array]:
        """What is to be answered, by name; the tokens at each place are unsigned integers [n, length]."""
        return self.stored | ({self.following: self._rows(1)} if self.following else {})

    def take(self, indices: NDArray[np.int64]) -> "Tokens":
        """The examples at `indices`, in that order; no token is read."""
        stored = {name: array[indices] for name, array in self.stored.items()}
        parts = None if self.parts is None else self.parts[indices]
        return replace(self, starts=self.starts[indices], stored=stored, parts=parts)

    def also(self, targets: dict[str, Array]) -> "Tokens":
        """The same examples with further targets."""
        return replace(self, stored=self.stored | targets)

    def arrays(self) -> Arrays:
        """All of them in memory: the input is int32 [n, length]."""
        return Arrays({self.name: self._rows(0).astype(np.int32)}, self.targets)

    def _rows(self, shift: int) -> Array:
        """The tokens so many places behind those of the windows, [n, length]: where these lie in a row, no copy."""
        if len(self) and (np.diff(self.starts) == self.length).all():
            begin = int(self.starts[0]) + shift
            rows: Array = self.ids[begin : begin + len(self) * self.length].reshape(-1, self.length)
        else:
            rows = self.ids[self.starts[:, None] + np.arange(shift, shift + self.length)]
        return rows


def windows(name: str, ids: Array, length: int, target: str) -> Tokens:
    """Windows that follow one another without a gap, each with the token behind it, int64 [n], as the target.

    Tokens at the end that fill no window, or have none behind it, are left out.
    """
    starts = np.arange(0, len(ids) - length, length, dtype=np.int64)
    return Tokens(name, ids, starts, length, {target: ids[starts + length].astype(np.int64)})


def every_place(name: str, ids: Array, length: int, target: str, sizes: dict[str, Array]) -> Tokens:
    """The same windows, with the next token at each place as the target, unsigned integers [n, length].

    Args:
        name: of the input.
        ids: the tokens.
        length: of a window.
        target: its name.
        sizes: further targets, by name the size of each token there may be, integers [vocabulary]: what is told of
            a window is the sum of the sizes of its target, int64 [n].
    """
    starts = np.arange(0, len(ids) - length, length, dtype=np.int64)
    found = Tokens(name, ids, starts, length, {}, target)
    told = found.targets[target]
    return found.also({name: size[told].sum(axis=1, dtype=np.int64) for name, size in sizes.items()})


def smallest(count: int) -> type[np.unsignedinteger[Any]]:
    """The smallest numbers that tell so many tokens apart."""
    return next(kind for kind in SMALLEST if count <= np.iinfo(kind).max)


def counts(tokens: Array, size: int) -> NDArray[np.int64]:
    """How often each token from 0 to `size` - 1 is there: [size]."""
    row, found = tokens.ravel(), np.zeros(size, np.int64)
    for start in range(0, len(row), COUNTED):
        found += np.bincount(row[start : start + COUNTED], minlength=size)
    return found


def save(folder: Path, tokens: Tokens) -> None:
    """Write the tokens of the windows, and where each of those begins: a part of a text, or a few pieces of it."""
    piece = tokens.length + bool(tokens.following)  # the last target lies behind the window
    begin, end = int(tokens.starts.min()), int(tokens.starts.max()) + piece
    ids, starts = tokens.ids[begin:end], tokens.starts - begin
    if len(starts) * piece < len(ids):
        ids = tokens.ids[tokens.starts[:, None] + np.arange(piece)].ravel()
        starts = np.arange(len(starts), dtype=np.int64) * piece
    np.save(folder / IDS.format(tokens.name), ids, allow_pickle=False)
    np.save(folder / STARTS.format(tokens.name), starts, allow_pickle=False)


def load(folder: Path, name: str, length: int, targets: dict[str, Array], following: str | None = None) -> Tokens:
    """What `save` wrote, the tokens mapped into memory.

    Raises:
        FileNotFoundError, ValueError: a file is not there, or not whole.
    """
    ids = np.load(folder / IDS.format(name), mmap_mode="r", allow_pickle=False)
    starts = np.load(folder / STARTS.format(name), allow_pickle=False)
    return Tokens(name, ids, starts, length, targets, following)
