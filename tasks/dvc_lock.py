"""`dvc.lock` after a kill or a full disk in the middle of writing it: DVC truncates it first. A copy stands by."""

import re
import subprocess
from pathlib import Path

import yaml

from tasks import files, paths

LOCK = Path("dvc.lock")
LOCKS = (LOCK, paths.SEEDS / LOCK)
LAST = paths.STATE / "dvc.lock.last"  # the last that was whole
BROKEN = paths.STATE / "dvc.lock.broken"
GIT_S = 10.0
MARKERS = re.compile(r"^(<<<<<<<|=======|>>>>>>>)( |$)", re.MULTILINE)  # git's, and the user's to settle
ENTRY = re.compile(r"^(?=  [^ \n])", re.MULTILINE)  # where a stage's begins


def keep() -> None:
    """Copy each dvc.lock, if it is whole, for `restore`."""
    for lock in LOCKS:
        _keep(lock)


def _keep(lock: Path) -> None:
    text, last = _read(lock), _read(_copy(LAST, lock))
    if text and text != last and not cut(text, last):
        files.write_text(_copy(LAST, lock), text)


def forget(lock: Path) -> None:
    """Remove a dvc.lock of no further use."""
    for each in (lock, _copy(LAST, lock)):
        each.unlink(missing_ok=True)


def restore() -> str | None:
    """Put each dvc.lock that was cut short right, from the copy or from git, or without either remove it.

    Whoever calls it holds DVC's lock, so that nobody is writing. What is missing then, DVC's run cache restores.

    Returns:
        What was done, in a line; None where nothing was wrong.
    """
    return "; ".join(filter(None, map(_restore, LOCKS))) or None


def _restore(lock: Path) -> str | None:
    text, last, broken = _read(lock), _read(_copy(LAST, lock)), _copy(BROKEN, lock)
    if text is None or text == last:
        return None
    if not cut(text, last) or text == _git("", lock):  # an earlier one, as git has it, may be shorter
        _keep(lock)
        return None
    files.write_text(broken, text)
    for what, whole in (("the last whole one", last), ("git's", _git("HEAD", lock))):
        if whole and not cut(whole, None):
            files.write_text(lock, whole)
            return f"{lock} was cut short by a kill or a full disk: it is {what} again; {broken} is what there was"
    lock.unlink()
    return f"{lock} was cut short by a kill or a full disk, and is made anew; {broken} is what there was"


def _copy(of: Path, lock: Path) -> Path:
    """Where the copy of a lock stands: one beside the other."""
    return of.with_name("-".join((*lock.parent.parts, of.name)))


def cut(text: str, last: str | None) -> bool:
    """Whether this is the beginning of a dvc.lock: also one that reads well, but ends before where `last` does."""
    if MARKERS.search(text):
        return False
    if not text.endswith("\n") or "\0" in text:
        return True
    try:
        value = yaml.load(text, yaml.CSafeLoader)  # the safe one, in C
        whole = bool(value["schema"]) and all(stage["cmd"] for stage in value["stages"].values())
    except (yaml.YAMLError, LookupError, TypeError, AttributeError):
        return True
    return not whole or (last is not None and _ends_before(text, last))


def _ends_before(text: str, last: str) -> bool:
    """DVC keeps the order of the stages and adds new ones at the end, so a beginning of it has a beginning of them."""
    stages, were = ENTRY.split(text)[1:], ENTRY.split(last)[1:]
    names = [[entry.partition("\n")[0] for entry in each] for each in (stages, were)]
    if names[0] != names[1][: len(stages)]:
        return False
    return len(stages) < len(were) or (stages[-1] != were[-1] and were[-1].startswith(stages[-1]))


def _read(path: Path) -> str | None:
    """The text; None where there is none, or none that is text, of which DVC itself has a line to say."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _git(revision: str, lock: Path) -> str | None:
    """The file as git has it at a revision, or in its index."""
    command = ["git", "show", f"{revision}:./{lock}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_S, check=True)
        return done.stdout.decode()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):  # no git, no repository, no such file in it
        return None
