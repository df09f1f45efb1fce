"""The folder on a device that champions lie in. After a kill, a full disk or a power cut it holds a complete one.

STORE/current          a link to the bundle that runs now: the one thing that decides which
STORE/bundles/<id>/    bundles, each whole; <id> begins the SHA-256 of its signature, or of its SHA256SUMS
STORE/journal.json     how far the last shipment came, and which bundles were confirmed, the newest last
STORE/site/<id>        a link to the packages that were sent for a bundle, where some were
STORE/packages/<id>/   those packages, unpacked
STORE/incoming/        what is on its way: files by their SHA-256, each as far as it has come
STORE/classify         classifies by whatever runs now
STORE/restart          the device owner's own, where there is one: see `keeper`
STORE/trust/           whose signatures count, see `install`
"""

import fcntl
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CURRENT, NEXT, BACK = "current", ".next", ".back"  # links: what runs, and what a rename makes run
TURNING = ("switching", "switched", "restarted", "returning")  # steps that leave it open which bundle stays
CLASSIFY = """#!/bin/sh
# classifies raw inputs by the bundle that runs now; its README.txt says how
here=$(dirname "$(readlink -f "$0")") && there=$(readlink -f "$here/current") || exit 1
PYTHONPATH="$here/site/$(basename "$there")" exec {python} "$there/classify.py" "$@"
"""


class HeldError(Exception):
    """Somebody else ships to this device: the message says who."""


class Store:
    """The folder; `journal` is what its file says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = _journal(folder)

    @contextmanager
    def held(self, by: str) -> Iterator[None]:
        """Hold the device against other shipments; the kernel frees it, however its holder ends.

        Raises:
            HeldError: another one holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".ship.lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise HeldError(file.read(300).strip() or "somebody else ships to it") from None
            with suppress(OSError):  # a full disk: then nobody is told who holds it
                file.truncate(0)
                since = time.strftime("%H:%M:%S")
                print(f"{by} ships to it since {since}, by process {os.getpid()} there", file=file, flush=True)
            self.journal = _journal(self.folder)  # what the last holder has left
            yield
            with suppress(OSError):
                file.truncate(0)

    def holder(self) -> str | None:
        """Who ships to the device now."""
        with suppress(OSError), (self.folder / ".ship.lock").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(300).strip() or "somebody ships to it"
        return None

    def note(self, step: str, **more: Any) -> None:
        """Say in the journal how far a shipment is; on return the disk holds it."""
        journal = self.journal | {"step": step, "at": round(time.time(), 3), "pid": os.getpid()} | more
        path, temporary = self.folder / "journal.json", self.folder / ".journal.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(journal, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(self.folder)
        self.journal = journal

    @property
    def current(self) -> str | None:
        """The bundle that runs now."""
        try:
            return os.path.basename(os.readlink(self.folder / CURRENT))  # noqa: PTH115, PTH119 - it may lead nowhere
        except OSError:
            return None

    @property
    def leaves(self) -> str | None:
        """The bundle that a step back leaves: the one that runs, or that would if what was interrupted had ended."""
        if self.journal["step"] not in TURNING:
            return self.current
        return str(self.journal["leaves"] or self.journal["to"])  # of a step back that was itself interrupted

    def bundle(self, name: str) -> Path:
        """Where a bundle lies."""
        return self.folder / "bundles" / name

    def site(self, name: str) -> list[str]:
        """Where the packages lie that were sent for a bundle."""
        place = self.folder / "site" / name
        return [str(place.resolve())] if place.exists() else []

    def give(self, name: str, packages: Path) -> None:
        """Have a bundle run with packages that were sent for it; it is never without those that it had."""
        link, temporary = self.folder / "site" / name, self.folder / ".site"
        link.parent.mkdir(exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("..", "packages", packages.name))  # from where it will lie
        temporary.replace(link)
        sync(link.parent)

    def lay(self, name: str | None, link: str) -> None:
        """Make ready that a bundle runs, so that `turn` needs no room on the disk; None: that none does."""
        place = self.folder / link
        if name is not None and place.is_symlink() and place.readlink() == Path("bundles", name):
            return
        place.unlink(missing_ok=True)
        if name is not None:
            place.symlink_to(Path("bundles", name))

    def turn(self, link: str) -> None:
        """Make what `lay` has made ready run, at once."""
        if (self.folder / link).is_symlink():
            (self.folder / link).replace(self.folder / CURRENT)
        else:
            (self.folder / CURRENT).unlink(missing_ok=True)
        sync(self.folder)

    def confirm(self, champion: dict[str, Any], others: list[dict[str, Any]]) -> None:
        """Say that the bundle that runs now stays, and which others have before it."""
        self.note("confirmed", champions=[*others, champion], why=None)

    def champion(self, name: str | None) -> dict[str, Any] | None:
        """What was said of a bundle when it was confirmed."""
        return next((each for each in self.journal["champions"] if each["id"] == name), None)

    def former(self) -> str | None:
        """The bundle that was confirmed last before the one that runs now, and is still here."""
        names = [each["id"] for each in self.journal["champions"] if each["id"] != self.current]
        return next((name for name in reversed(names) if self.bundle(name).is_dir()), None)

    def prune(self, keep: int) -> None:
        """Take away all but the bundle that runs and so many that did before it, and what was sent for them alone."""
        names = [each["id"] for each in self.journal["champions"] if each["id"] != self.current]
        kept = {self.current, *(names[-keep:] if keep else [])}
        champions = [each for each in self.journal["champions"] if each["id"] in kept]
        if champions != self.journal["champions"]:
            self.note(self.journal["step"], champions=champions)  # first: what is half gone is not gone back to
        for place in (*self.folder.glob("bundles/*"), *self.folder.glob("site/*")):
            if place.name not in kept:
                remove(place)
        used = {Path(site).name for name in kept if name for site in self.site(name)}
        for place in self.folder.glob("packages/*"):
            if place.name not in used:
                remove(place)

    def write_script(self) -> None:
        """Write `classify`, for this Python."""
        path, text = self.folder / "classify", CLASSIFY.format(python=shlex.quote(sys.executable))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            temporary = self.folder / ".classify.tmp"
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(0o755)
            temporary.replace(path)


def _journal(folder: Path) -> dict[str, Any]:
    """What the journal says; nothing has happened where there is none."""
    found: dict[str, Any] = {"step": None, "from": None, "to": None, "leaves": None, "why": None, "champions": []}
    with suppress(OSError, ValueError):
        found |= json.loads((folder / "journal.json").read_text(encoding="utf-8"))
    return found


def remove(path: Path) -> None:
    """Take away a folder, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the disk hold a folder's names, or what is in a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
