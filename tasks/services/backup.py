"""All that the services keep, in one file: both databases and every object of the S3 store.

It is a tar whose first member lists all others with the SHA-256 of each: Python's `tarfile` takes an archive that ends
between two members, or in a header, for a whole one, and what is not in it would be taken away.
"""

import io
import json
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tasks import files
from tasks.errors import DataError, TercetError
from tasks.scratch import scratch
from tasks.services import postgres, s3, stack
from tasks.services.place import HOME, Place, known, made
from tasks.services.processes import running, stop

DUMPS = tuple(f"{name}.dump" for name in postgres.DATABASES)
OBJECTS = "objects"
LIST = "list.json"
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
)  # it may have been compressed


def backup(path: Path) -> int:
    """Write the file, while all works on; how many objects are in it.

    The databases come first: what they name of the store is there before they name it, and nothing there changes.

    Raises:
        TercetError: the services do not run.
    """
    place = known()
    if idle := [each.name for each in stack.stores(place) if running(each) is None]:
        raise TercetError(f"{', '.join(idle)} of {place.home} do not run: `tercet up` first")
    with scratch("backup") as folder:
        for database, dump in zip(postgres.DATABASES, DUMPS, strict=True):
            postgres.dump(place, database, folder / dump)
        count = s3.fetch(place, folder / OBJECTS)
        with files.replaced(path) as temporary:
            temporary.touch(mode=0o600)  # experiments may be nobody else's business
            pack(folder, temporary)
    return count


def restore(path: Path) -> int:
    """Have databases and store hold what a file of `backup` says, instead of what they hold; how many objects.

    Raises:
        DataError: the file is none of `backup`; nothing was changed.
        TercetError: the services run.
    """
    place = made()
    stack.must_rest(place, stack.every(place), "what they hold is about to be replaced")
    with files.locked(HOME / "up"), scratch("restore") as folder:
        unpack(path, folder)
        try:
            for _ in stack.start_stores(place):
                pass
            return _fill(place, folder)
        finally:
            for service in stack.stores(place):
                stop(service)


def _fill(place: Place, folder: Path) -> int:
    for database, dump in zip(postgres.DATABASES, DUMPS, strict=True):
        postgres.load(place, database, folder / dump)
    return s3.fill(place, folder / OBJECTS)


def pack(folder: Path, path: Path) -> None:
    """Write the files of a folder to an archive, the list of them first."""
    names = [each.relative_to(folder).as_posix() for each in files.below(folder)]
    content = json.dumps({name: files.sha256(folder / name) for name in names}, indent=1).encode()
    head = tarfile.TarInfo(LIST)
    head.size = len(content)
    with tarfile.open(path, "w") as archive:
        archive.addfile(head, io.BytesIO(content))
        for name in names:
            archive.add(folder / name, name)


def unpack(path: Path, folder: Path) -> None:
    """Write what `pack` has written to a folder again.

    Raises:
        DataError: it is no such file, or not all of it is there as it was.
    """
    try:
        with tarfile.open(path) as archive:
            _extract(archive, folder)
            ends = _ends(archive)
        wrong = _wrong(folder)
    except BROKEN as error:
        raise DataError(f"{path}: cannot be unpacked: {error}; a file of `tercet backup` is expected") from None
    if wrong or not ends:
        what = f"{len(wrong)} files are not as its list says, such as {wrong[0]}" if wrong else "it ends too early"
        raise DataError(f"{path}: not whole: {what}; nothing was changed, so take another copy of it")
    if missing := [name for name in DUMPS if not (folder / name).is_file()]:
        raise DataError(f"{path}: {', '.join(missing)} is missing in it; a file of `tercet backup` is expected")


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Write its files, if no name and no link leads out of the folder: Python's own filter came with 3.11.4.

    Raises:
        ValueError: one does.
    """
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
            raise ValueError(f"{member.name!r} is neither a file nor a folder within it")
        place = folder / path if member.isdir() else folder / path.parent
        place.mkdir(parents=True, exist_ok=True)
        if content := archive.extractfile(member):  # of a folder there is none
            with content, (folder / path).open("wb") as file:
                shutil.copyfileobj(content, file)


def _ends(archive: tarfile.TarFile) -> bool:
    """Whether what was read last is the block of zeros that a whole archive ends in, and no broken header."""
    assert archive.fileobj is not None  # it is open
    archive.fileobj.seek(archive.offset)
    return archive.fileobj.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE


def _wrong(folder: Path) -> list[str]:
    """The files that are not as the list says; none where there is no list, as in files of former versions."""
    place = folder / LIST
    if not place.exists():
        return []
    listed = json.loads(place.read_text(encoding="utf-8"))
    if not isinstance(listed, dict):
        raise TypeError(f"{LIST} in it is none of ours")
    place.unlink()
    found = {path.relative_to(folder).as_posix(): files.sha256(path) for path in files.below(folder)}
    return sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name))
