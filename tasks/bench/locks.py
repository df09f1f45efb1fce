"""Who may use a machine, or a device, at what time: one lock file for each, for all users and services here.

The files lie in a fixed folder that every user may write to, not in TMPDIR, of which services and users have their own.
The environment variable TERCET_LOCKS names another one, for tests and for containers that share a machine.
"""

import fcntl
import json
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from tasks.errors import DeviceError
from tasks.records import Record

VARIABLE = "TERCET_LOCKS"
PLACES = ("/run/lock", "/tmp")  # noqa: S108 - the first that is open to all; the files hold no secret and follow no link
SAY_AFTER_S = 2.0  # a shorter wait is not worth a line
SOON_S, LATER_S = 0.02, 0.2  # between two tries
FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a link or a pipe that somebody has planted is not opened
log = logging.getLogger(__name__)
_held: Counter[str] = Counter()  # by this process, which need not be told that it waits for itself


class Holder(Record):
    """What a holder writes into the file: of several who share it, the last one."""

    pid: int
    folder: str  # its project
    since: str


@contextmanager
def hold(resource: str, *, exclusive: bool) -> Iterator[None]:
    """Hold a lock, waiting for it: `exclusive` to measure, shared for what a measurement must not meet.

    The kernel frees it when the holder ends, however it ends. The file is never deleted: another process may wait on
    it. A wait is told, with who it is for.

    Raises:
        DeviceError: the lock file cannot be opened.
    """
    descriptor = _open(folder() / f"tercet-{resource}.lock")
    try:
        _wait(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, resource)
        _held[resource] += 1
        try:
            _sign(descriptor)
            yield
        finally:
            _held[resource] -= 1
            if not _held[resource]:
                _erase(descriptor)
    finally:
        os.close(descriptor)


def folder() -> Path:
    """Where lock files lie: the same for every user."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    return next((place for place in map(Path, PLACES) if _open_to_all(place)), Path(PLACES[-1]))


def _open_to_all(place: Path) -> bool:
    try:  # not whether this user may: root may everywhere
        return bool(place.stat().st_mode & stat.S_IWOTH) and not os.statvfs(place).f_flag & os.ST_RDONLY
    except OSError:
        return False


def _open(path: Path) -> int:
    """The file's descriptor; it is made if it is not there, open to every user."""
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise DeviceError(
            f"{path}: the lock cannot be opened: {error.strerror}; it must be a plain file, in a folder that all users "
            f"may write to ({VARIABLE} names another one)"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DeviceError(f"{path}: the lock must be a plain file; remove what is there")
    return descriptor


def _opened(path: Path) -> int:
    with suppress(FileExistsError):  # somebody else has just made it
        with suppress(FileNotFoundError):  # with O_CREAT the kernel refuses another user's file in a folder like /tmp
            return _existing(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o666)
        os.fchmod(descriptor, 0o666)  # past the umask; all of this machine may wait here  # nosec B103
        return descriptor
    return _existing(path)


def _existing(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | FLAGS)
    except PermissionError:  # made by a user who lets others only read it: that is enough for a lock
        return os.open(path, os.O_RDONLY | FLAGS)


def _wait(descriptor: int, kind: int, resource: str) -> None:
    begun, told = time.monotonic(), ""
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        late = time.monotonic() - begun > SAY_AFTER_S
        who = _holder(descriptor) if late and not _held[resource] else told
        if who != told:
            log.warning("waiting for %r: %s", resource, who)
            told = who
        time.sleep(LATER_S if late else SOON_S)


def _sign(descriptor: int) -> None:
    """Say who holds it, for those who wait."""
    own = Holder(pid=os.getpid(), folder=str(Path.cwd()), since=time.strftime("%Y-%m-%d %H:%M:%S"))
    with suppress(OSError):  # opened for reading alone
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(own.model_dump()).encode(), 0)


def _erase(descriptor: int) -> None:
    """Take the own name out of the file, unless another one that shares it has signed since."""
    with suppress(OSError, ValidationError):
        if _signed(descriptor).pid == os.getpid():
            os.ftruncate(descriptor, 0)


def _signed(descriptor: int) -> Holder:
    return Holder.model_validate_json(os.pread(descriptor, 8192, 0))


def _holder(descriptor: int) -> str:
    """Who holds it, as far as is known."""
    try:
        found = _signed(descriptor)
    except ValidationError:
        return "another process holds it"
    state = _state(found.pid)
    if state is None:  # it was killed, and another one that shared the lock with it goes on
        return "another process holds it"
    who = f"process {found.pid} of {found.folder} holds it since {found.since}"
    if state in "Tt":
        return f"{who} and is stopped: `kill -CONT {found.pid}` lets it go on, `kill {found.pid}` ends it"
    return who


def _state(pid: int) -> str | None:
    """A process's state in one letter; null where there is no such process, or it is dead."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    return None if letter in "ZX" else letter
