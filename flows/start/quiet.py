"""What libraries write past Python, kept away from the terminal."""

import logging
import os
import sys
import traceback
from pathlib import Path

from flows.start.unread import heedless
from tasks import paths
from tasks.errors import TercetError


def quiet_libraries(log: Path = paths.CHATTER, *, bars: bool = True) -> None:
    """Send what libraries write past Python to standard error (TensorFlow: pages) to `.tercet/chatter.log`.

    Their own switches silence only some of it. Python's `sys.stderr` keeps the terminal, for as long as it is there.

    Args:
        log: another file for it.
        bars: whether standard error may say that it is a terminal, where it is one, so that bars are drawn on it.

    Raises:
        TercetError: the file cannot be written.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr.flush()
    try:
        log.parent.mkdir(exist_ok=True)
        chatter = log.open("ab")
    except OSError as error:
        raise TercetError(
            f"{error.filename}: {str(error.strerror).lower()}; what Tercet keeps of this project lies there, "
            "so it must be a folder that you may write to"
        ) from None
    terminal = os.dup(2)
    with chatter:
        os.dup2(chatter.fileno(), 2)
    sys.stderr = heedless(terminal, sys.stderr, bars=bars)


def noted(error: Exception) -> str:
    """One line for an error that nobody has foreseen, whose traceback goes where it is out of the way."""
    from tasks.records.failures import words

    try:
        with paths.CHATTER.open("a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
    except OSError:  # a full disk may be the very error
        return words(error)
    return f"{words(error)}; the traceback is in {paths.CHATTER}"
