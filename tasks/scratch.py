"""Temporary folders that outlive no run for long: what a killed one has left, the next one removes."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

PREFIX = "tercet-scratch-"
YOUNG_S = 60.0  # a folder this old has its owner's lock, if it has an owner


@contextmanager
def scratch(what: str, parent: str | None = None) -> Iterator[Path]:
    """A folder for as long as the block runs.

    Its owner holds a lock on it, which the kernel frees however the owner ends: by that the next process that makes
    such a folder tells what is left over, whatever numbers processes have in this container or another one.

    Args:
        what: it is for; a part of its name.
        parent: where it is made; TMPDIR if not given.
    """
    _reap(parent or tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{what}-", dir=parent))
    owned = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(owned, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owned)


def unplaced(text: str) -> str:
    """Text that names what lay in such folders, without them: they are gone, and are nobody else's business."""
    temporary = re.escape(tempfile.gettempdir())
    return re.sub(rf"(?:{temporary}|/[^\s'\"]*)/{PREFIX}[\w-]*/?", "", text)


@cache
def _reap(parent: str) -> None:
    """Remove this user's folders that nobody owns any more; once in a process."""
    for folder in Path(parent).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process removes it, or it is another user's
            _remove(folder)


def _remove(folder: Path) -> None:
    found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(found)
        if about.st_uid == os.geteuid() and time.time() - about.st_mtime > YOUNG_S:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError, an OSError: it has an owner
            shutil.rmtree(folder)
    finally:
        os.close(found)
