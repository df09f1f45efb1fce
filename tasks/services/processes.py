"""A service as a process that outlives its starter: started, asked whether it is ready, ended with all it has started.

Its number stands in a file before its program begins, so whatever kills the starter, the next command finds it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types

from tasks.errors import TercetError
from tasks.process import LINE, told

BEGIN_S = 10.0
STOP_S = 30.0
LOOK_S = 0.2
MOST_BYTES = 2**26  # of a log that is written on
CLOCK_S = 2.0  # by which a file's time and a process's may differ
MARK = "TERCET_SERVICE"  # a variable that all that a service starts inherits, whatever session it makes itself
NUMBERED = 'echo $$ > "$0" && exec "$@"'  # a shell writes its own number, which the program then has


@dataclass(frozen=True)
class Service:
    """How a service is run.

    Args:
        name: names its folder, too.
        argv: its program and arguments, which every user of the machine can read: no secret.
        folder: its number, its log and its data.
        ready: whether it answers; called until it does.
        environment: all of its variables.
        ends: the signal that ends it in order.
        limit_s: within which it must be ready; one that has ended is told at once, so a busy machine is given its time.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(repr=False)
    ends: signal.Signals = signal.SIGTERM
    limit_s: float = 600.0

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "log"

    @property
    def number(self) -> Path:
        """The file of its process's number."""
        return self.folder / "pid"


def start(service: Service) -> bool:
    """Start it unless it runs, and return when it is ready; whether it was started.

    Raises:
        TercetError: it ended, or was not ready in time; its last words are told.
    """
    begun = running(service) is None
    if begun:
        _launch(service)
    end = time.monotonic() + service.limit_s
    while not service.ready():
        if running(service) is None:
            raise TercetError(f"{service.name} ended while it started: {last_words(service)} ({service.log})")
        if time.monotonic() > end:
            raise TercetError(
                f"{service.name} was not ready within {service.limit_s:g} s: {last_words(service)} ({service.log})"
            )
        time.sleep(LOOK_S)
    return begun


def _launch(service: Service) -> None:
    service.folder.mkdir(parents=True, exist_ok=True)
    service.number.unlink(missing_ok=True)
    if service.log.exists() and service.log.stat().st_size > MOST_BYTES:
        service.log.replace(service.log.with_name("log.1"))
    command = ["setsid", "--fork", "sh", "-c", NUMBERED, str(service.number), *service.argv]
    descriptor = os.open(service.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        subprocess.run(
            command, cwd=service.folder, env={**service.environment, MARK: str(service.folder)},
            stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, timeout=BEGIN_S, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise TercetError(f"{service.name}: setsid (of util-linux) does not start it: {error}") from None
    finally:
        os.close(descriptor)
    end = time.monotonic() + BEGIN_S
    while not _read(service.number) and time.monotonic() < end:
        time.sleep(LOOK_S / 10)


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def running(service: Service) -> psutil.Process | None:
    """Its process; null where it has ended, even if another one has the number now."""
    pid = _read(service.number)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        younger = process.create_time() > service.number.stat().st_mtime + CLOCK_S
        return None if younger or process.status() == psutil.STATUS_ZOMBIE else process
    except (psutil.NoSuchProcess, OSError):
        return None


def stop(service: Service) -> bool:
    """End it in order, or after some time anyhow, and whatever it has started; whether it ran."""
    process = running(service)
    family = _family(service)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(service.ends)
        end = time.monotonic() + STOP_S
        while running(service) is not None and time.monotonic() < end:
            time.sleep(LOOK_S / 4)
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    service.number.unlink(missing_ok=True)
    return process is not None


def _family(service: Service) -> list[psutil.Process]:
    """It, what hangs from it, and what is left of it where it was killed: all bear its mark."""
    process, mark = running(service), str(service.folder)
    found = {each.pid: each for each in process.children(recursive=True)} | {process.pid: process} if process else {}
    for each in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if each.environ().get(MARK) == mark:
                found[each.pid] = each
    return list(found.values())


def last_words(service: Service) -> str:
    """The last line of its log."""
    try:
        said = service.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        said = []
    return next((line.strip()[:LINE] for line in reversed(said) if line.strip()), "it said nothing")


def checked(command: list[str], environment: Mapping[str, str], what: str, timeout_s: float) -> str:
    """Run a program of a service to its end; what it wrote.

    Raises:
        TercetError: it failed, in its last words.
    """
    found = told(command, timeout_s=timeout_s, what=what, error=TercetError, environment=environment)
    if found.code:
        raise TercetError(f"{what} failed: {found.last_words}")
    return found.out
