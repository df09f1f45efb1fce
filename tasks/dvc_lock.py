"""`dvc.lock` after a kill or a full disk in the middle of writing it: DVC truncates it first. A copy stands by."""

import re
import subprocess
from pathlib import Path

import yaml

from tasks import files, paths

LOCK = Path("dvc.lock")
LAST = paths.STATE / "dvc.lock.last"  # the last that was whole
BROKEN = paths.STATE / "dvc.lock.broken"
GIT_S = 10.0
MARKERS = re.compile(r"^(<<<<<<<|=======|>>>>>>>)( |$)", re.MULTILINE)  # git's, and the user's to settle
ENTRY = re.compile(r"^(?=  [^ \n])", re.MULTILINE)  # where a stage's begins


def keep() -> None:
    """Copy dvc.lock, if it is whole, for `restore`."""
    text, last = _read(LOCK), _read(LAST)
    if text and text != last and not cut(text, last):
        files.write_text(LAST, text)


def restore() -> str | None:
    """Put a dvc.lock that was cut short right, from the copy or from git, or without either remove it.

    Whoever calls it holds DVC's lock, so that nobody is writing. What is missing then, DVC's run cache restores.

    Returns:
        What was done, in a line; None where nothing was wrong.
    """
    text, last = _read(LOCK), _read(LAST)
    if text is None or text == last:
        return None
    if not cut(text, last) or text == _git(""):  # an earlier one, as git has it, may be shorter
        keep()
        return None
    files.write_text(BROKEN, text)
    for what, whole in (("the last whole one", last), ("git's", _git("HEAD"))):
        if whole and not cut(whole, None):
            files.write_text(LOCK, whole)
            return f"{LOCK} was cut short by a kill or a full disk: it is {what} again; {BROKEN} is what there was"
    LOCK.unlink()
    return f"{LOCK} was cut short by a kill or a full disk, and is made anew; {BROKEN} is what there was"


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


def _git(revision: str) -> str | None:
    """The file as git has it at a revision, or in its index."""
    command = ["git", "show", f"{revision}:./{LOCK}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_S, check=True)
        return done.stdout.decode()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):  # no git, no repository, no such file in it
        return None
