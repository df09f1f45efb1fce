"""Whether a project is as it was when DVC last found nothing to do: then it need not be asked again.

DVC looks at each stage by itself, some milliseconds apiece: tens of thousands take minutes. What it would find hangs
from files alone: of an output it goes by inode, size and time, and so does this; what it reads itself is compared by
content. Of the cache the folders are compared: they tell what was added and removed. What is beside these (`dvc add` of
the user's own data) is no stage of a run: `out/sources` says what of it is read.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from flows.graph import GRAPH, is_ours
from tasks import files, paths
from tasks.dvc_lock import LOCK

KNOWN = paths.STATE / "seen.json"  # the digest of then
READ = (paths.PARAMS, GRAPH, LOCK, Path(".dvcignore"), Path(".dvc/config"), Path(".dvc/config.local"))
LOOKED_AT = (paths.SEEDS, paths.OUT)


def state(cache: Path) -> str | None:
    """A digest of all that DVC's answer hangs from; None where that is more than is known here: a graph of one's own.

    Args:
        cache: DVC's folder of objects.
    """
    if not LOCK.exists() or not is_ours():
        return None
    found = hashlib.sha256()
    for path in READ:
        found.update(files.sha256(path).encode() if path.is_file() else b"-")
    for place in LOOKED_AT:
        for line in _looks(os.fspath(place)):
            found.update(line)
    for folder in sorted(os.scandir(cache), key=lambda each: each.name) if cache.is_dir() else ():
        found.update(_line(folder.path, folder.stat()))
    return found.hexdigest()


def known() -> str | None:
    """The digest of when there was nothing to do."""
    said = files.read_json(KNOWN)
    return said if isinstance(said, str) else None


def keep(digest: str | None) -> None:
    """Remember that there is nothing to do as things are."""
    if digest:
        files.write_json(KNOWN, digest)


def _looks(place: str) -> Iterator[bytes]:
    """A line for each file, and for each folder its name: its own time changes with every temporary file."""
    try:
        about = os.stat(place)  # noqa: PTH116  # strings: paths take five times as long
        inside = sorted(os.listdir(place)) if stat.S_ISDIR(about.st_mode) else None  # noqa: PTH208  # likewise
    except OSError:  # it is not there, or may not be read, or is a link to nothing or to itself
        yield _line(place)
        return
    yield _line(place, about if inside is None else None)
    for name in inside or ():
        yield from _looks(f"{place}/{name}")


def _line(place: str, about: os.stat_result | None = None) -> bytes:
    return os.fsencode(f"{place}\0{about and (about.st_ino, about.st_size, about.st_mtime_ns)}\n")
