"""Writing so that a kill or a full disk leaves either the old output or the new one, never a half."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` to write a file or a folder to; move it into place if all went well.

    The sibling is hidden, ends in `.tmp` (which git and DVC ignore) and carries the process's number, so that
    the next writer of the same path clears away what a killed one left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        if not _alive(int(left.name.split(".")[-2])):
            _remove(left)
    temporary, old = (path.with_name(f".{path.name}.{what}.{os.getpid()}.tmp") for what in ("new", "old"))
    try:
        yield temporary
        if path.is_dir():
            path.replace(old)
        temporary.replace(path)
    finally:
        _remove(temporary)
        _remove(old)


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


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is somebody else's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
