"""All that the services keep, in one file: both databases and every object of the S3 store."""

import tarfile
from contextlib import suppress
from pathlib import Path

from tasks import files
from tasks.errors import DataError, TercetError
from tasks.scratch import scratch
from tasks.services import postgres, s3, stack
from tasks.services.place import HOME, Place, known, made
from tasks.services.processes import running, stop

DUMPS = tuple(f"{name}.dump" for name in postgres.DATABASES)
OBJECTS = "objects"


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
            with tarfile.open(temporary, "w") as archive:
                for name in (*DUMPS, OBJECTS):
                    with suppress(FileNotFoundError):  # a store without any object
                        archive.add(folder / name, name)
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
        _unpack(path, folder)
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


def _unpack(path: Path, folder: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")  # no link and no name leads out of the folder
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}; a file of `tercet backup` is expected") from None
    if missing := [name for name in DUMPS if not (folder / name).is_file()]:
        raise DataError(f"{path}: {', '.join(missing)} is missing in it; a file of `tercet backup` is expected")
