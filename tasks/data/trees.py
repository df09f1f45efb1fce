"""The files below a folder, or in an archive of one: which there are, and what is in them.

An archive (tar, however it is compressed, or ZIP) is read once from its begin to its end, and nothing of it is unpacked
under a name: what is asked for goes into one unnamed file.
"""

import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from tasks.data import sizes
from tasks.errors import DataError
from tasks.examples.stores import DISK, Store, Unnamed
from tasks.files import below

BROKEN = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip
HIDDEN = (".", "__MACOSX")  # how the names of files begin that systems put beside a user's
Member = tuple[str, int, Callable[[], bytes]]  # its name, its bytes, and what reads it


class Tree(Protocol):
    """Files by their paths, in the order of their names."""

    root: Path
    store: Store

    def files(self, folder: Path) -> Iterable[Path]:
        """All below a folder."""

    def folders(self, folder: Path) -> list[Path]:
        """Those that lie in a folder."""


class Folder:
    """Files on the disk."""

    store: Store = DISK

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self, folder: Path) -> Iterable[Path]:
        """All below a folder; links are followed."""
        return below(folder) if folder.is_dir() else ()

    def folders(self, folder: Path) -> list[Path]:
        """Those that lie in a folder."""
        return sorted(path for path in folder.iterdir() if path.is_dir())


class Archive:
    """Files of an archive; one folder around all others is no part of their paths.

    Args:
        path: of the archive.
        wanted: of which names the bytes are kept.

    Raises:
        DataError: it is no whole archive, or would fill the memory or the disk.
    """

    def __init__(self, path: Path, wanted: Callable[[Path], bool]) -> None:
        store = Unnamed(tempfile.TemporaryFile())  # noqa: SIM115 - it lives as long as its images
        found: set[Path] = set()
        total, stored = 0, path.stat().st_size
        for name, size, read in _members(path):
            parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
            place = path.joinpath(*parts)
            if any(part.startswith(HIDDEN) for part in parts) or place in found:
                continue
            found.add(place)
            if wanted(place):
                total += size
                sizes.check(f"{path}: {name}", size)
                sizes.check_growth(str(path), total, stored)
                with _whole(path):
                    content = read()
                store.add(place.as_posix(), content)
        self._paths, self.root = sorted(found), path
        self.store: Store = store
        while len(inside := self.folders(self.root)) == 1 and inside[0].name != "train":
            self.root = inside[0]

    def files(self, folder: Path) -> Iterable[Path]:
        """All below a folder."""
        return (path for path in self._paths if path.is_relative_to(folder))

    def folders(self, folder: Path) -> list[Path]:
        """Those that lie in a folder."""
        depth = len(folder.parts)
        return sorted({Path(*path.parts[: depth + 1]) for path in self.files(folder) if len(path.parts) > depth + 1})


def is_archive(path: Path) -> bool:
    """Whether a file is an archive that `Archive` reads."""
    return path.is_file() and (tarfile.is_tarfile(path) or zipfile.is_zipfile(path))


def _members(path: Path) -> Iterator[Member]:
    """The files of an archive, one after the other: each is read before the next one is asked for."""
    with _whole(path):
        yield from (_of_zip if zipfile.is_zipfile(path) else _of_tar)(path)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise DataError(f"{path}: not a whole archive: {' '.join(str(error).split())}; fetch it again") from None


def _of_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isreg():
                file = archive.extractfile(member)
                assert file is not None, member.name  # of a regular file there is one
                yield member.name, member.size, file.read
        # tarfile takes an end that comes too early for the end; a whole archive ends in a block of zeros, which it read
        assert archive.fileobj is not None, path  # it is open
        if archive.fileobj.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise EOFError("it ends too early")


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, info.file_size, partial(archive.read, info)
