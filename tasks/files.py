"""Writing so that a kill or a full disk leaves either the old output or the new one, never a half and never neither."""

import ctypes
import errno
import fcntl
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32] or "host"  # a shared disk has writers of other machines
NEARLY_FULL = 1 << 20  # bytes free, below which a program that writes a model has most likely failed by that
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
LEFT = re.compile(rf"\.(.+)\.(new|old)\.{HOST}\.(\d+)\.(\d+)\.tmp")  # a hidden sibling of what is being written
FEW = 256  # files of a folder that each write may look through
FIRST = time.time_ns()  # a process of the same number that ended before has lower ones
_numbers = itertools.count(FIRST)  # threads write side by side
_looked: dict[Path, tuple[int, int]] = {}  # by folder: writes since it was looked through, and the files there then
_moving = Lock()  # two renames of one thread must not meet those of another


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write a file or a folder to; move it into place if all went well.

    The sibling is hidden, ends in `.tmp` (which git and DVC ignore) and carries the machine's name and the process's
    number, so that the next writer of the same path clears away what a killed one left. Any number of threads and
    processes may write one path: each writes it whole, and the last one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    temporary = _sibling(path, "new")
    try:
        yield temporary
        _sync(temporary)
        with _moving:
            _move(temporary, path)
        _sync(path.parent, deep=False)
    finally:
        _remove(temporary)


def _sibling(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}.{HOST}.{os.getpid()}.{next(_numbers)}.tmp")


def _clear(path: Path) -> None:
    """Take away what dead writers have left here; an old folder of this path goes back if nothing took its place.

    A folder of many files is looked through once in as many writes: else n files would take n times n looks.
    """
    folder = path.parent.absolute()
    left_out, there = _looked.get(folder, (0, 0))
    if left_out < there - FEW:
        _looked[folder] = left_out + 1, there
        return
    there = 0
    for left in folder.iterdir():
        there += 1
        found = LEFT.fullmatch(left.name)
        if not found or _writes(int(found[3]), int(found[4])):
            continue
        with suppress(FileNotFoundError):  # another writer clears, too
            if found[2] == "new" or os.path.lexists(path.with_name(found[1])):
                _remove(left)
            elif found[1] == path.name:
                left.replace(path)
    _looked[folder] = 0, there


def _move(temporary: Path, path: Path) -> None:
    """Put what is whole into the place of what was; a folder cannot simply be renamed over another one."""
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
            raise
        if not _exchange(temporary, path):
            _swap(temporary, path)


def _swap(temporary: Path, path: Path) -> None:
    """As `_exchange`, in two renames; what was at `path` is gone afterwards."""
    old = _sibling(path, "old")
    try:
        path.replace(old)
        temporary.replace(path)
    finally:  # after an interrupt as well: between the two there must be something
        if os.path.lexists(path):
            _remove(old)
        elif os.path.lexists(old):
            old.replace(path)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths at once, where the system and the file system can; what was at `other` is then at `one`."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if not rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        return True
    if (code := ctypes.get_errno()) in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _sync(path: Path, *, deep: bool = True) -> None:
    """Have the disk hold what a rename is about to make valid: after a power cut a name without its bytes is worse."""
    if deep and path.is_dir():
        for child in path.iterdir():
            if not child.is_symlink():
                _sync(child)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems refuse it for a folder
            raise
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold what lies at `path` against the other threads and processes that make it or add to it.

    The lock is a hidden sibling, which stays; the kernel frees it when its holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(path: Path, make: Callable[[Path], None]) -> Path:
    """A file that is there for good when it is there: made at a temporary sibling by whoever needs it first."""
    if not path.exists():
        with locked(path):
            if not path.exists():
                with replaced(path) as temporary:
                    make(temporary)
    return path


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Like `replaced`, with the temporary sibling made as a folder."""
    with replaced(path) as temporary:
        temporary.mkdir()
        yield temporary


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole; the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def no_space(error: BaseException) -> str | None:
    """What to say of an error that a full disk has caused; None of every other.

    Libraries that write to the temporary folder may trip over half a file of their own and complain of that, so the
    folder itself is asked as well.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)
    if not full and free >= NEARLY_FULL:
        return None
    return f"no space left on the disk: {folder} has {free / 1024:.0f} kB free; free some, or set TMPDIR"


def below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in the order of their names; links are followed, but never in a circle."""
    return _below(folder, ())


def _below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _below(path, (*above, here))
        elif path.is_file() or path.is_symlink():  # a link to nothing is told by who opens it
            yield path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _writes(pid: int, number: int) -> bool:
    """Whether the writer of such a sibling is at work."""
    if pid == os.getpid():
        return number >= FIRST
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is somebody else's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """What a file of JSON says; None where it is not there, or not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def hashes(paths: Iterable[Path], known: Path) -> dict[str, str]:
    """The SHA-256 of files, in hex, by their paths.

    Args:
        paths: files that are there.
        known: a file that keeps what was found, by size and times: large ones are not read on every look. The time of
            the last change counts as well, which nobody can set back, as archives and `cp -p` do the other one.
    """
    before: dict[str, list[Any]] = read_json(known) or {}
    new, found = {}, {}
    for path in sorted(paths):
        key, stat = str(path.resolve()), path.stat()
        now = [stat.st_mtime_ns, stat.st_ctime_ns]
        size, times, value = before.get(key, (None, None, None))
        if (size, times) != (stat.st_size, now):
            value = sha256(path)
            new[key] = [stat.st_size, now, value]
        found[path.as_posix()] = str(value)
    if new:
        with locked(known):  # others look side by side, and none may lose what another adds
            write_json(known, (read_json(known) or {}) | new)
    return found
