"""Who may use a machine, or a device, at what time: one lock file for each, for all users and services here.

What is measured by ssh is held by the lock of its own machine too, see `Remote.hold`: measurements exclude each other
from whichever machine they are asked for.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.bench import lockfile
from tasks.bench.lockfile import VARIABLE
from tasks.errors import DeviceError

HERE = "local"  # the lock of a machine
SAY_AFTER_S = 2.0  # a shorter wait is not worth a line
SOON_S, LATER_S = 0.02, 0.2  # between two tries
log = logging.getLogger(__name__)
_held: Counter[str] = Counter()  # by this process, which need not be told that it waits for itself


@contextmanager
def hold(resource: str, *, exclusive: bool) -> Iterator[None]:
    """Hold a lock, waiting for it: `exclusive` to measure, shared for what a measurement must not meet.

    The kernel frees it when the holder ends, however it ends. The file is never deleted: another process may wait on
    it. A wait is told, with who it is for.

    Raises:
        DeviceError: the lock file cannot be opened.
    """
    descriptor = _open(lockfile.folder() / f"tercet-{resource}.lock")
    try:
        _wait(descriptor, resource, exclusive=exclusive)
        _held[resource] += 1
        try:
            lockfile.sign(descriptor, str(Path.cwd()))
            yield
        finally:
            _held[resource] -= 1
            if not _held[resource]:
                lockfile.erase(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return lockfile.opened(path)
    except OSError as error:
        raise DeviceError(
            f"{path}: the lock cannot be opened: {error.strerror}; it must be a plain file, in a folder that all users "
            f"may write to ({VARIABLE} names another one)"
        ) from None
    except ValueError as error:
        raise DeviceError(str(error)) from None


def _wait(descriptor: int, resource: str, *, exclusive: bool) -> None:
    begun, told = time.monotonic(), ""
    while not lockfile.taken(descriptor, exclusive=exclusive):
        late = time.monotonic() - begun > SAY_AFTER_S
        who = lockfile.holder(descriptor) if late and not _held[resource] else told
        if who != told:
            log.warning("waiting for %r: %s", resource, who)
            told = who
        time.sleep(LATER_S if late else SOON_S)
