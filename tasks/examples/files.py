"""Images that stay encoded: an index of paths and digests, decoded a few at a time."""

import csv
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.examples import Array, Arrays, Examples, preprocess, stores
from tasks.examples.images import decode

COLUMNS = ("sha256", "path")
HELD = 2**29  # bytes of pixels: so many are decoded once, where they are asked for again and again


@dataclass(frozen=True)
class Files:
    """Examples of one input, an image in a file of its own, or in a shard of many."""

    name: str  # of the input
    index: NDArray[np.object_]  # [n, 2]: the SHA-256 of an image's bytes, and its path as seen from the project
    shape: tuple[int, ...]  # height, width, channels: what an image is resized to
    targets: dict[str, Array]
    entry: dict[str, Any] | None = None  # what preprocess.json says of the input; None: pixels as they are, uint8
    store: stores.Store = stores.DISK
    packed: bool = False  # they are written into shards, not as an index of where they lie

    def __len__(self) -> int:
        return len(self.index)

    def take(self, indices: NDArray[np.int64]) -> "Files":
        """The examples at `indices`, in that order; no file is opened."""
        targets = {name: array[indices] for name, array in self.targets.items()}
        return replace(self, index=self.index[indices], targets=targets)

    def also(self, targets: dict[str, Array]) -> "Files":
        """The same examples with further targets."""
        return replace(self, targets=self.targets | targets)

    def ready(self, entry: dict[str, Any]) -> "Files":
        """The same examples, preprocessed as their entry of preprocess.json says."""
        return replace(self, entry=entry)

    def read(self, path: str, digest: str) -> bytes:
        """The bytes of an image.

        Raises:
            DataError: it is not there, or not what `prepare` saw.
        """
        try:
            content = self.store.read(path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; it was there when `prepare` ran: put it back") from None
        if sha256(content).hexdigest() != digest:
            raise DataError(f"{path}: changed since `prepare` read it; `tercet run` prepares the data anew")
        return content

    def pixels(self) -> NDArray[np.uint8]:
        """All of them decoded: uint8 [n, height, width, channels].

        Raises:
            DataError: as `read`.
        """
        pixels = np.empty((len(self), *self.shape), np.uint8)
        for place, (digest, path) in zip(pixels, self.index, strict=True):
            place[:] = decode(self.read(path, digest), self.shape)
        return pixels

    def arrays(self) -> Arrays:
        """All of them in memory.

        Raises:
            DataError: as `read`.
        """
        return Arrays({self.name: _ready(self.entry, self.pixels())}, self.targets)

    def held(self) -> "Files | Decoded":
        """The same examples, decoded once where their pixels take no more than `HELD` bytes."""
        size = len(self) * int(np.prod(self.shape))
        return Decoded(self.name, self.pixels(), self.targets, self.entry) if size <= HELD else self


@dataclass(frozen=True)
class Decoded:
    """Examples of one input whose pixels are in memory as bytes, a quarter of what they take when they are ready."""

    name: str  # of the input
    pixels: NDArray[np.uint8]  # [n, height, width, channels]
    targets: dict[str, Array]
    entry: dict[str, Any] | None  # see `Files`

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, indices: NDArray[np.int64]) -> "Decoded":
        """The examples at `indices`, in that order."""
        targets = {name: array[indices] for name, array in self.targets.items()}
        return replace(self, pixels=self.pixels[indices], targets=targets)

    def also(self, targets: dict[str, Array]) -> "Decoded":
        """The same examples with further targets."""
        return replace(self, targets=self.targets | targets)

    def arrays(self) -> Arrays:
        """All of them made ready."""
        return Arrays({self.name: _ready(self.entry, self.pixels)}, self.targets)


def held(examples: Examples) -> Examples:
    """Examples that are asked for again and again: see `Files.held`."""
    return examples.held() if isinstance(examples, Files) else examples


def _ready(entry: dict[str, Any] | None, pixels: Array) -> Array:
    return preprocess.apply(entry, pixels) if entry else pixels


def save_index(path: Path, files: Files) -> None:
    """Write where the images are and what is in them, as CSV."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(files.index)


def load_index(path: Path) -> NDArray[np.object_]:
    """What `save_index` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such index.
    """
    return np.array(list(stores.table(path, COLUMNS)), object).reshape(-1, len(COLUMNS))
