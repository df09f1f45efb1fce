"""What a command prints when nobody reads it any more: `tercet run | head`, or a terminal that was closed meanwhile."""

import errno
import io
import os
import sys
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe; a terminal


class _Heedless(io.FileIO):
    """A descriptor that leads nowhere once its reader has gone, for who writes past Python as well."""

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


def heedless(descriptor: int, like: TextIO) -> TextIO:
    """A text stream, by lines and encoded like another one, that a reader who has had enough does not break."""
    file = io.BufferedWriter(_Heedless(descriptor, "w", closefd=False))
    return io.TextIOWrapper(file, encoding=like.encoding, errors=like.errors, line_buffering=True)
