"""What a kill in the middle of DVC's writing leaves broken, put right before DVC is asked."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, RWLockFileCorruptedError, RWLockFileFormatError, _edit_rwlock

from flows.alone import is_over
from tasks import dvc_lock

FREE = ("{}", '{"write": {}, "read": {}}', '{"read": {}, "write": {}}')
HALF = ".tmp"  # of what is being written into DVC's run cache
log = logging.getLogger(__name__)


def mend(repo: Any) -> None:
    """Put DVC's lock of paths, its run cache and dvc.lock right, each under DVC's own lock of it."""
    _mend_paths(repo)
    with repo.lock:
        _mend_run_cache(Path(repo.stage_cache.cache_dir))
        if done := dvc_lock.restore():
            log.warning("%s", done)


def release(repo: Any, pid: int) -> None:
    """Take what a process holds out of DVC's lock of paths."""
    _drop(repo, lambda holder: holder == pid)


def _mend_paths(repo: Any) -> None:
    """DVC writes this file in place, several times a stage: broken, it would stop every later command for good."""
    path = Path(repo.tmp_dir) / RWLOCK_FILE
    try:
        written = path.stat().st_mtime
        if path.read_text(encoding="utf-8", errors="replace") in FREE:
            return
        _drop(repo, lambda pid: is_over(pid, written))
    except FileNotFoundError:
        return
    except (RWLockFileCorruptedError, RWLockFileFormatError):
        with make_lock(str(path.with_name(RWLOCK_LOCK)), tmp_dir=repo.tmp_dir, hardlink_lock=_hardlink(repo)):
            path.unlink(missing_ok=True)


def _mend_run_cache(folder: Path) -> None:
    """DVC makes an entry's folder, then writes the entry under another name, and renames it.

    An empty folder would stop its stage for good, with a TypeError, and half an entry would be taken for one.
    """
    for entries in folder.glob("*/*"):
        left = list(entries.iterdir())
        for path in (path for path in left if path.name.endswith(HALF)):
            path.unlink()
        if all(path.name.endswith(HALF) for path in left):
            entries.rmdir()


def _drop(repo: Any, over: Callable[[int], bool]) -> None:
    with _edit_rwlock(repo.tmp_dir, repo.fs, _hardlink(repo)) as lock:
        for path, info in list(lock["write"].items()):
            if over(info["pid"]):
                del lock["write"][path]
        for path, infos in list(lock["read"].items()):
            lock["read"][path] = [info for info in infos if not over(info["pid"])]
            if not lock["read"][path]:
                del lock["read"][path]


def _hardlink(repo: Any) -> bool:
    return bool(repo.config["core"].get("hardlink_lock", False))
