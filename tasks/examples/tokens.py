"""Windows of a long row of tokens, looked up by their position when they are asked for."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.examples import Array, Arrays

IDS, STARTS = "inputs.{}.ids.npy", "inputs.{}.starts.npy"


@dataclass(frozen=True)
class Tokens:
    """Examples of one input: `length` tokens in a row."""

    name: str  # of the input
    ids: Array  # unsigned integers [tokens], mapped into memory where they are from a file
    starts: NDArray[np.int64]  # [n]: where each window begins
    length: int
    targets: dict[str, Array]

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, indices: NDArray[np.int64]) -> "Tokens":
        """The examples at `indices`, in that order; no token is read."""
        targets = {name: array[indices] for name, array in self.targets.items()}
        return replace(self, starts=self.starts[indices], targets=targets)

    def also(self, targets: dict[str, Array]) -> "Tokens":
        """The same examples with further targets."""
        return replace(self, targets=self.targets | targets)

    def arrays(self) -> Arrays:
        """All of them in memory: the input is int32 [n, length]."""
        windows = self.ids[self.starts[:, None] + np.arange(self.length)]
        return Arrays({self.name: windows.astype(np.int32)}, self.targets)


def windows(name: str, ids: Array, length: int, target: str) -> Tokens:
    """Windows that follow one another without a gap, each with the token behind it, int64 [n], as the target.

    Tokens at the end that fill no window, or have none behind it, are left out.
    """
    starts = np.arange(0, len(ids) - length, length, dtype=np.int64)
    return Tokens(name, ids, starts, length, {target: ids[starts + length].astype(np.int64)})


def save(folder: Path, tokens: Tokens) -> None:
    """Write the tokens of the windows, and where each of those begins: a part of a text, or a few pieces of it."""
    begin, end = int(tokens.starts.min()), int(tokens.starts.max()) + tokens.length
    ids, starts = tokens.ids[begin:end], tokens.starts - begin
    if len(starts) * tokens.length < len(ids):
        ids = tokens.ids[tokens.starts[:, None] + np.arange(tokens.length)].ravel()
        starts = np.arange(len(starts), dtype=np.int64) * tokens.length
    np.save(folder / IDS.format(tokens.name), ids, allow_pickle=False)
    np.save(folder / STARTS.format(tokens.name), starts, allow_pickle=False)


def load(folder: Path, name: str, length: int, targets: dict[str, Array]) -> Tokens:
    """What `save` wrote, the tokens mapped into memory.

    Raises:
        FileNotFoundError, ValueError: a file is not there, or not whole.
    """
    ids = np.load(folder / IDS.format(name), mmap_mode="r", allow_pickle=False)
    return Tokens(name, ids, np.load(folder / STARTS.format(name), allow_pickle=False), length, targets)
