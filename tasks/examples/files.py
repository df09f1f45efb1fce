"""Images that stay in their files: an index of paths and digests, decoded a few at a time."""

import csv
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.examples import Array, Arrays, preprocess
from tasks.examples.images import decode

COLUMNS = ("sha256", "path")


@dataclass(frozen=True)
class Files:
    """Examples of one input, an image in a file of its own."""

    name: str  # of the input
    index: NDArray[np.object_]  # [n, 2]: the SHA-256 of a file, and its path as seen from the project
    shape: tuple[int, ...]  # height, width, channels: what an image is resized to
    targets: dict[str, Array]
    entry: dict[str, Any] | None = None  # what preprocess.json says of the input; None: pixels as they are, uint8

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

    def arrays(self) -> Arrays:
        """All of them in memory.

        Raises:
            DataError: a file is not there, or not what `prepare` saw.
        """
        pixels = np.empty((len(self), *self.shape), np.uint8)
        for place, (digest, path) in zip(pixels, self.index, strict=True):
            place[:] = decode(_read(path, digest), self.shape)
        return Arrays({self.name: preprocess.apply(self.entry, pixels) if self.entry else pixels}, self.targets)


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
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError(f"the columns {', '.join(COLUMNS)} expected")
    return np.array(rows, object).reshape(-1, len(COLUMNS))


def _read(path: str, digest: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; it was there when `prepare` ran: put it back") from None
    if sha256(content).hexdigest() != digest:
        raise DataError(f"{path}: changed since `prepare` read it; `tercet run` prepares the data anew")
    return content
