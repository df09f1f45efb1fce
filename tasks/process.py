"""Running another program: it has a time limit, and ends with all that it has started."""

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tasks.errors import DeviceError, TercetError
from tasks.scratch import unplaced

LINE = 300  # characters of a program's last words


@dataclass(frozen=True)
class Told:
    """What a program wrote, and its exit code; that of a signal is below 0."""

    code: int
    out: str
    err: str

    @property
    def last_words(self) -> str:
        """The last line of its complaints, else of its output: the one that says what failed, as a rule."""
        lines = [line.strip() for text in (self.out, self.err) for line in text.splitlines() if line.strip()]
        return unplaced((lines or ["it said nothing"])[-1])[:LINE]


def told(
    command: Sequence[str],
    *,
    timeout_s: float,
    what: str,
    error: type[TercetError] = DeviceError,
    environment: Mapping[str, str] | None = None,
) -> Told:
    """Run a program to its end; a code that is not 0 is the caller's to judge.

    Args:
        command: the program and its arguments.
        timeout_s: when it is killed.
        what: it is called in errors.
        error: what is raised.
        environment: all of its variables; this process's if not given.

    Raises:
        TercetError: of the kind `error`: it does not start, or did not end in time.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as reason:  # not there, not allowed, no memory; or a NUL in a word
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        raise error(f"{what}: {command[0]} does not start: {said}") from None
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise error(f"{what} did not end within {timeout_s:g} s and was ended") from None
    finally:
        kill(process)
    return Told(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def ready(descriptor: int, timeout_s: float, *, to_take: bool = False) -> bool:
    """Whether something can be read within so many seconds, the end too.

    Not by `select`, which knows no number above 1,023.

    Args:
        descriptor: of a pipe.
        timeout_s: less than 0 is 0.
        to_take: whether it takes something in, instead.
    """
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT if to_take else select.POLLIN)
    return bool(waiting.poll(1e3 * max(0.0, timeout_s)))


def close(process: "subprocess.Popen[bytes]", limit_s: float) -> None:
    """End a process's input and give it some time to end by that; then it is killed, and the group that it leads."""
    assert process.stdin
    with suppress(BrokenPipeError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(limit_s)
    kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and the group that it leads: harmless where it has ended by itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()
