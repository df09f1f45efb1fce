"""Where the bytes of images lie: in files of their own, in packed shards beside an index, or in an unnamed file.

Shards are ZIP archives without compression, which any tool opens. They are few, however many images there are, so that
a large set travels as few objects; whoever reads one image reads nothing else of its shard.
"""

import csv
import os
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO, Protocol
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError

MOST = 32  # shards of a split
LEAST = 4096  # images of a shard, where there are as many
COLUMNS = ("sha256", "path", "shard", "member")
Index = NDArray[np.object_]  # [n, 2]: the SHA-256 of an image's bytes, and its path


class Store(Protocol):
    """What gives the bytes of an image by the path that an index names."""

    def read(self, path: str) -> bytes:
        """The bytes of one image.

        Raises:
            OSError: its file is not there, or cannot be read.
            DataError: its shard is not whole.
        """


class Disk:
    """Each image in a file of its own."""

    def read(self, path: str) -> bytes:
        """The bytes of one image."""
        return Path(path).read_bytes()


DISK = Disk()


@dataclass
class Unnamed:
    """Images in one file without a name, which the system takes away with the process, however that ends."""

    file: BinaryIO
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # where an image begins, and its bytes

    def __post_init__(self) -> None:
        """Close the file when nobody needs its images any more."""
        weakref.finalize(self, self.file.close)

    def add(self, path: str, content: bytes) -> None:
        """Take in one more image."""
        self.places[path] = (self.file.tell(), len(content))
        self.file.write(content)

    def read(self, path: str) -> bytes:
        """The bytes of one image."""
        start, size = self.places[path]
        self.file.flush()
        return os.pread(self.file.fileno(), size, start)


@dataclass(frozen=True)
class Shards:
    """Images in the archives of a folder."""

    folder: Path
    places: dict[str, tuple[str, str]]  # the shard, and the member of it
    opened: dict[str, ZipFile] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        """The bytes of one image."""
        shard, member = self.places[path]
        try:
            if shard not in self.opened:
                self.opened[shard] = ZipFile(self.folder / shard)
            return self.opened[shard].read(member)
        except (OSError, KeyError, ValueError, EOFError, NotImplementedError, BadZipFile, zlib.error) as error:
            told = f"{self.folder / shard}: {member} cannot be read: {' '.join(str(error).split())}"
            raise DataError(f"{told}; delete out/data and run `tercet run`") from None


def pack(folder: Path, index_file: str, shard: str, index: Index, read: Callable[[str, str], bytes]) -> None:
    """Write images to shards, and what lies where as CSV.

    The same images give the same bytes.

    Args:
        folder: where to.
        index_file: the name of the CSV file.
        shard: the names of the shards, with `{}` for their numbers.
        index: the images.
        read: gives the bytes of an image by its path and its SHA-256.
    """
    each = max(LEAST, -(-len(index) // MOST))
    with (folder / index_file).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for start in range(0, len(index), each):
            name = shard.format(f"{start // each:03}")
            with ZipFile(folder / name, "w") as archive:
                for number, (digest, path) in enumerate(index[start : start + each], start):
                    member = f"{number:08}{PurePath(path).suffix.lower()}"
                    archive.writestr(ZipInfo(member), read(path, digest))
                    writer.writerow((digest, path, name, member))


def unpacked(folder: Path, index_file: str) -> tuple[Index, Shards]:
    """The index that `pack` wrote, and what gives its images.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such index.
    """
    rows = list(table(folder / index_file, COLUMNS))
    index = np.array([row[:2] for row in rows], object).reshape(-1, 2)
    return index, Shards(folder, {path: (shard, member) for _, path, shard, member in rows})


def table(path: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """The rows of a CSV file of these columns.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its columns are others.
    """
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        if tuple(next(rows, ())) != columns:
            raise ValueError(f"the columns {', '.join(columns)} expected")
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"the columns {', '.join(columns)} expected")
            yield row
