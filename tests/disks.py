"""A file system of a size that a test chooses, for the tests that fill it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HELD_S = 3000
MOUNT = f'mount -t tmpfs -o size="$1"k none "$0" && echo mounted && exec sleep {HELD_S}'


@contextmanager
def disk(folder: Path, kib: int) -> Iterator[tuple[list[str], Path]]:
    """One in the place of a folder, for those who enter its namespace; how a command does, and where we see it."""
    command = ["unshare", "--mount", "sh", "-c", MOUNT, str(folder), str(kib)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "mounted\n":
                pytest.skip("no hardware: the kernel lets nobody mount here")
            enter = ["nsenter", "--mount", f"--target={holder.pid}", "sh", "-c", 'cd "$0" && exec "$@"', str(folder)]
            yield enter, Path(f"/proc/{holder.pid}/root{folder}")
        finally:
            holder.kill()


def resize(enter: list[str], folder: Path, kib: int) -> None:
    """Have it hold that much from now on; what it holds must fit."""
    subprocess.run([*enter, "mount", "-o", f"remount,size={kib}k", folder], check=True, timeout=60)
