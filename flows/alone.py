"""Who is at work in a project: one `tercet run` or `tercet search` at a time, and none beside `dvc repro`."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from secrets import token_hex

import psutil  # type: ignore[import-untyped]  # it has no types

from tasks import paths
from tasks.errors import TercetError

LOCK = paths.STATE / "run.lock"
DVC_HOLDERS = Path(".dvc/tmp/rwlock")  # the paths that DVC's commands work on, and which process each of them is
_held = False


@contextmanager
def alone(command: str) -> Iterator[None]:
    """Hold the project for a command; the kernel frees it when this process ends, however it ends.

    Raises:
        TercetError: at once, where another process is at work in it; nothing has been changed then.
    """
    global _held  # the lock is the process's, and a flow may be started by a command or by a worker
    if _held:
        yield
        return
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TercetError(_busy(*_holder())) from None
        if found := _dvc():
            raise TercetError(_busy(*found))
        file.truncate(0)
        who = {"pid": os.getpid(), "command": command, "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        json.dump(who | {"id": token_hex(8)}, file)  # of all projects on all machines
        file.flush()
        _held = True
        try:
            yield
        finally:
            _held = False


def is_over(pid: int, written: float) -> bool:
    """Whether the process that wrote its number then has ended, even if another one has the number now.

    Args:
        pid: the number.
        written: when, in seconds since the epoch.
    """
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() > written or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _busy(command: str, pid: int | str, since: str) -> str:
    return (
        f"another `{command}` (PID {pid}, since {since}) is at work in {Path.cwd()}; "
        "wait for it, or end it: nothing was changed"
    )


def _holder() -> tuple[str, int | str, str]:
    try:
        found = json.loads(LOCK.read_text(encoding="utf-8"))
        return str(found["command"]), int(found["pid"]), str(found["since"])
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun
        return "tercet", "not known", "this moment"


def _dvc() -> tuple[str, int, str] | None:
    """A living command of DVC that works on paths of this project; a broken file tells of none, and is mended later."""
    try:
        written = DVC_HOLDERS.stat().st_mtime
        found = json.loads(DVC_HOLDERS.read_text(encoding="utf-8"))
        infos = [*found["write"].values(), *(info for infos in found["read"].values() for info in infos)]
        for info in infos:
            if not is_over(info["pid"], written):
                began = datetime.fromtimestamp(psutil.Process(info["pid"]).create_time())
                words = [Path(word).name if place == 0 else word for place, word in enumerate(info["cmd"].split())]
                return " ".join(words), int(info["pid"]), f"{began:%Y-%m-%d %H:%M:%S}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, psutil.Error):
        pass
    return None
