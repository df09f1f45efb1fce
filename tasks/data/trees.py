"""The files below a folder, or in an archive of one: which there are, and what is in them.

An archive (tar, however it is compressed, or ZIP) is read from its begin to its end, and nothing of it is unpacked
under a name: what is asked for goes into one unnamed file. Links in it are followed to what is in it; only where they
lead to files that are called otherwise than what is asked for is it read once more.
"""

import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from tasks.data import links, sizes
from tasks.errors import DataError
from tasks.examples.stores import DISK, Store, Unnamed
from tasks.files import below

BROKEN = (
    OSError, EOFError, RuntimeError, NotImplementedError, ValueError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError,
)  # fmt: skip
LONGEST = 4096  # characters of a name, or of where a link leads, as Linux has them


class Member(NamedTuple):
    """A file or a link of an archive."""

    name: str  # from the top, without what would lead above it
    size: int  # in bytes
    read: Callable[[], bytes]
    leads: str | None = None  # of a link: where to, from the top


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
        entries = _kept(path, store, lambda name: wanted(Path(name)) and not _is_hidden(name))
        try:
            found = dict(links.followed(entries))
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None
        asked = {shown: own for shown, own in found.items() if wanted(Path(shown))}
        if absent := asked.values() - store.places.keys():
            _kept(path, store, absent.__contains__)
        store.places = {path.joinpath(shown).as_posix(): store.places[own] for shown, own in asked.items()}
        self._paths, self.root = sorted(path / shown for shown in found), path
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


def contents(path: Path, wanted: Callable[[Path], bool]) -> Iterator[tuple[Path, bytes]]:
    """The files of an archive by their paths in it, in its own order, without links: for a look at the first of them.

    Args:
        path: of the archive.
        wanted: of which names the bytes are read.

    Raises:
        DataError: as far as was asked for, it is no whole archive, or a file in it would fill the memory.
    """
    for member in _members(path):
        if member.leads is None and wanted(Path(member.name)) and not _is_hidden(member.name):
            sizes.check(f"{path}: {member.name}", member.size)
            with _whole(path):
                content = member.read()
            yield path / member.name, content


def _is_hidden(name: str) -> bool:
    return any(part.startswith(links.HIDDEN) for part in name.split("/"))


def _kept(path: Path, store: Unnamed, keep: Callable[[str], bool]) -> dict[str, str | None]:
    """Put the files that are to be kept into a store, by their names; what is in the archive, see `links.Entries`.

    Raises:
        DataError: see `Archive`.
    """
    entries: dict[str, str | None] = {}
    total, stored = 0, path.stat().st_size
    for member in _members(path):
        if len(member.name) > LONGEST:
            raise DataError(f"{path}: a name of at most {LONGEST} characters expected; received {len(member.name)}")
        if not member.name or member.name in entries:
            continue
        entries[member.name] = member.leads
        if member.leads is None and keep(member.name):
            total += member.size
            sizes.check(f"{path}: {member.name}", member.size)
            sizes.check_growth(str(path), total, stored)
            with _whole(path):
                content = member.read()
            store.add(member.name, content)
    return entries


def _members(path: Path) -> Iterator[Member]:
    """The files and links of an archive, one after the other: each is read before the next one is asked for."""
    with _whole(path):
        yield from (_of_zip if zipfile.is_zipfile(path) else _of_tar)(path)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise DataError(f"{path}: not a whole archive: {' '.join(str(error).split())}; fetch it again") from None


def _own(name: str) -> str:
    """The name of a file within the archive, whatever would lead out of it."""
    return "/".join(part for part in PurePosixPath(name).parts if part not in ("/", ".."))


def _of_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            name = _own(member.name)
            if member.isreg():
                file = archive.extractfile(member)
                assert file is not None, member.name  # of a regular file there is one
                yield Member(name, member.size, file.read)
            elif member.islnk() or member.issym():
                leads = _own(member.linkname) if member.islnk() else links.target(name, member.linkname)
                yield Member(name, 0, bytes, leads)
        # tarfile takes an end that comes too early for the end; a whole archive ends in a block of zeros, which it read
        assert archive.fileobj is not None, path  # it is open
        if archive.fileobj.tell() != archive.offset + tarfile.BLOCKSIZE:
            raise EOFError("it ends too early")


def _of_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _own(info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):  # its content is where it leads
                with archive.open(info) as file:
                    written = file.read(LONGEST).decode(errors="surrogateescape")
                yield Member(name, 0, bytes, links.target(name, written))
            elif not info.is_dir():
                yield Member(name, info.file_size, partial(archive.read, info))
