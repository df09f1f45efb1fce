"""Memory in pages of 2 MB, which glibc asks the kernel for where a program is started with a tunable.

XLA takes what a call needs besides from the system and gives it back after each call. A decoder in 16 bits needs some
500 MB for a token: 130,000 pages of 4 kB, which the kernel empties one by one, in four fifths of the token's time.
(https://sourceware.org/glibc/manual/latest/html_node/Memory-Allocation-Tunables.html)
"""

import os
import platform
import sys
from contextlib import suppress
from typing import Any

TUNABLES, HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"  # glibc 2.35 or later; others leave it unread


def worth(options: dict[str, Any]) -> bool:
    """Whether a runtime of such options gains by it: XLA on a processor."""
    return options.get("platform") == "cpu"


def huge() -> bool:
    """Whether this program was started so; what the kernel gives is its own affair."""
    return HUGE in os.environ.get(TUNABLES, "").split(":")


def start_again(stdin: bytes | None = None) -> None:
    """Start this program once more with the tunable, in the same process; return where it was, or where none can be.

    Args:
        stdin: what it has read there; None: nothing.
    """
    if huge() or sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    given = ":".join(filter(None, (os.environ.get(TUNABLES), HUGE)))
    with suppress(OSError):  # an emulator's program is none that this kernel can start
        if stdin is not None:
            again = os.memfd_create("stdin")
            with os.fdopen(os.dup(again), "wb") as file:
                file.write(stdin)
            os.lseek(again, 0, os.SEEK_SET)
            os.dup2(again, 0)
        os.execve(sys.executable, sys.orig_argv, {**os.environ, TUNABLES: given})  # noqa: S606 - itself, no shell
