"""Ctrl-C, `kill` and a closed terminal: one line, no process left behind, and the prompt back at once.

Python's own way, an exception in the main thread, waits for what the other threads and their libraries have begun.
Nothing has to be waited for: outputs are moved into place when they are whole, and what is half made is made again.
"""

import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 3.0  # for all that has to be let go of
_taken: list[signal.Signals] = []
_before: list[Callable[[], None]] = []


def listen(who: str, then: str = "") -> None:
    """From now on a signal that ends this process prints one line and leaves nothing behind; a second one just ends it.

    Only the main thread may call it. What was ignored when the process began (`nohup`) stays ignored.

    Args:
        who: begins the line.
        then: ends it; what there is to do.
    """
    # a pipe that the interpreter writes each signal to: a handler would have to wait for the main thread
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # first: no signal is taken that nobody is told of
    _taken.extend(number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN)
    insist()
    Thread(target=_watch, args=(reader, who, then), name="signals", daemon=True).start()


def insist() -> None:
    """Where this process listens, take the signals back from a library that has set a handler of its own."""
    for number in _taken:
        signal.signal(number, lambda _number, _frame: None)


def before_end(step: Callable[[], None]) -> None:
    """Have a step taken before a signal ends this process: what a dead holder of would be in the way of the next."""
    _before.append(step)


def _watch(reader: int, who: str, then: str) -> None:
    first = _next(reader, None)
    what = "interrupted" if first == signal.SIGINT else f"ended by {signal.Signals(first).name}"
    Thread(target=_end, args=(first, "; ".join(filter(None, (f"{who}: {what}", then)))), daemon=True).start()
    _next(reader, PATIENCE_S)
    _leave(first)


def _next(reader: int, timeout_s: float | None) -> int:
    """The next of the signals that end a process; 0 where none came in time."""
    waiting = select.poll()
    waiting.register(reader, select.POLLIN)
    while waiting.poll(None if timeout_s is None else 1e3 * timeout_s):
        if (number := os.read(reader, 1)[0]) in ENDING:
            return number
    return 0


def _end(number: int, told: str) -> None:
    logging.disable()  # the stages whose processes end now have nothing to say about it
    with suppress(OSError, ValueError):  # the terminal is gone
        clear = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar, and the cursor that it hid
        print(f"{clear}{told}", file=sys.stderr, flush=True)  # noqa: T201  # what a command says
    for step in reversed(_before):
        with suppress(Exception):  # whatever it is, the process ends
            step()
    _leave(number)


def _leave(number: int) -> None:
    import psutil  # type: ignore[import-untyped]  # it has no types

    for _ in range(3):  # a thread may start one while the others end
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(128 + number)
