"""Compiled modules beside their sources: whole, or not there.

Where the disk is full, Python before 3.12.8 leaves half of one under its name, and all who import that module from then
on fail: "EOFError: marshal data too short" (https://github.com/python/cpython/issues/126606).
"""

import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path

MENDED = (3, 12, 8)
_given = SourceFileLoader.set_data


def keep_whole() -> None:
    """Have this process take away what it could not write whole."""
    if sys.version_info < MENDED:
        SourceFileLoader.set_data = _set_data  # type: ignore[method-assign, assignment]  # `self`, by another name


def _set_data(loader: SourceFileLoader, path: str, data: bytes, *, _mode: int = 0o666) -> None:
    _given(loader, path, data, _mode=_mode)
    written = Path(path)
    with suppress(OSError):  # there may be none: a folder that nobody can write to
        if written.stat().st_size < len(data):
            written.unlink()
