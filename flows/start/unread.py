"""What a command prints when nobody reads it any more: `tercet run | head`, or a terminal that was closed meanwhile."""

import errno
import io
import os
import sys
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe; a terminal


class _Heedless(io.FileIO):
    """A descriptor that leads nowhere once its reader has gone, for who writes past Python as well."""

    bars = True

    def isatty(self) -> bool:
        return self.bars and super().isatty()

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return len(data)


def stand_in() -> None:
    """Open what the caller has closed (`>&-`), before another file takes its number and what is printed there."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it has the lowest number that is free
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def heedless(descriptor: int, like: TextIO, *, bars: bool = True) -> TextIO:
    """A text stream, by lines and encoded like another one, that a reader who has had enough does not break.

    Args:
        descriptor: where it leads.
        like: the other one.
        bars: whether it may say that it is a terminal.
    """
    raw = _Heedless(descriptor, "w", closefd=False)
    raw.bars = bars
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=like.encoding, errors=like.errors, line_buffering=True)
