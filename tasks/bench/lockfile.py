"""The lock files of a machine: by nothing but Python's own library, for a device runs this file too.

They lie in a fixed folder that every user may write to, not in TMPDIR, of which services and users have their own.
The environment variable TERCET_LOCKS names another one, for tests and for containers that share a machine.

    python lockfile.py RESOURCE WHO

holds a lock exclusively until its input ends, and prints a line when it has it; before, one for each holder that it
waits for.
"""

import fcntl
import json
import os
import select
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "TERCET_LOCKS"
PLACES = ("/run/lock", "/tmp")  # noqa: S108 - the first that is open to all; the files hold no secret and follow no link
FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a link or a pipe that somebody has planted is not opened
POLL_S = 0.2
HELD, WAITS = "held", "waits: "  # what the lines begin with


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


def opened(path: Path) -> int:
    """The file's descriptor; it is made if it is not there, open to every user. It is never deleted: others may wait.

    Raises:
        OSError: it cannot be opened; ValueError: it is no plain file.
    """
    descriptor = _opened(path)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path}: the lock must be a plain file; remove what is there")
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


def taken(descriptor: int, *, exclusive: bool) -> bool:
    """Take the lock if it is free; the kernel frees it when the holder ends, however it ends."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        return True
    return False


def sign(descriptor: int, who: str) -> None:
    """Say who holds it, for those who wait: of several who share it, the last one."""
    own = {"pid": os.getpid(), "folder": who, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):  # opened for reading alone
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(own).encode(), 0)


def erase(descriptor: int) -> None:
    """Take the own name out of the file, unless another one that shares it has signed since."""
    with suppress(OSError):
        if _signed(descriptor).get("pid") == os.getpid():
            os.ftruncate(descriptor, 0)


def _signed(descriptor: int) -> "dict[str, object]":
    try:
        found = json.loads(os.pread(descriptor, 8192, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def holder(descriptor: int) -> str:
    """Who holds it, as far as is known."""
    found = _signed(descriptor)
    pid, where, since = (found.get(key) for key in ("pid", "folder", "since"))
    state = _state(pid) if isinstance(pid, int) else None
    if state is None:  # it was killed, and another one that shared the lock with it goes on
        return "another process holds it"
    who = f"process {pid} of {where} holds it since {since}"
    if state in "Tt":
        return f"{who} and is stopped: `kill -CONT {pid}` lets it go on, `kill {pid}` ends it"
    return who


def _state(pid: int) -> "str | None":
    """A process's state in one letter; null where there is no such process, or it is dead."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    return None if letter in "ZX" else letter


def main(resource: str, who: str) -> None:
    """Hold a lock for whoever is at the other end of the input, and no longer than he is there."""
    descriptor, told = opened(folder() / f"tercet-{resource}.lock"), ""
    while not taken(descriptor, exclusive=True):
        if (found := holder(descriptor)) != told:
            told = found
            print(f"{WAITS}{told}", flush=True)  # noqa: T201 - the answer
        if select.select([sys.stdin], [], [], POLL_S)[0]:  # nothing is ever sent: it has ended
            return
    sign(descriptor, who)
    print(HELD, flush=True)  # noqa: T201 - likewise
    sys.stdin.read()
    erase(descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
