"""Keeps a device's champion, there: takes a new one in, makes sure of it, switches to it, goes back.

Requests are lines of JSON, `do` and what that needs; so are the answers. An answer with `step` tells how far a request
is and is not its last; one with `failed` is a line for the user with a `code`. A request that was begun is brought to
its end though nobody listens any more, so that the device has one complete champion, the old or the new, and
`journal.json` says which.

Where the device's owner has put a program STORE/restart, it is run after each switch, forth or back: it has what serves
the bundle take up the current one, and ends with another code than 0 where that fails.
"""

import errno
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from .child import FAILED, FULL, HELD, NOTHING, OUTSIDE, PROOF, RESTART, UNSIGNED, FailedError, child, run
from .incoming import SILENT_S, FullError, Incoming, OutsideError, digest
from .store import BACK, NEXT, TURNING, HeldError, Store, remove, sync

SUMS, INSTALL = "SHA256SUMS", "sign.install"
DO = ("hello", "put", "take", "renew", "back", "status")  # what may be asked for
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROOF_S, INSTALL_S, RESTART_S = 300.0, 600.0, 60.0


class Keeper:
    """One conversation."""

    def __init__(self, store: Store, by: str) -> None:
        self.store, self.by = store, by
        self.incoming = Incoming(store)

    def settle(self) -> str | None:
        """Go back where a shipment was interrupted after it began to switch; what is said of it."""
        journal = self.store.journal
        if journal["step"] not in TURNING:
            return None
        why = f"interrupted when it was {journal['step']}"
        self.store.lay(journal["from"], BACK)
        self._return(why)
        return f"a shipment of {journal['to']} was {why}: {journal['from'] or 'nothing'} runs again"

    def hello(self, request: dict[str, Any]) -> dict[str, Any]:
        """What is here: the machine, and what was installed."""
        machine = import_module(f"{__name__.partition('.')[0]}.runner.machine")
        return {
            "host": {
                "system": platform.system(),
                "machine": platform.machine(),
                "python": platform.python_version(),
                "libc": " ".join(platform.libc_ver()),
                "cpus": machine.cpus_allowed(),
                "load1": os.getloadavg()[0],
                "free_bytes": shutil.disk_usage(self._nearest()).free,
                "emulated": machine.emulated(),
                "installed": {name: machine.installed(name) for name in request["packages"]},
            },
            "current": self.store.current,
        }

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take files in: first it tells what has come of each before, then their rest follows."""
        wanted: dict[str, int] = request["files"]
        found = self.incoming.there(wanted)
        self._note(
            "uploading", **{"from": self.store.current, "to": request["id"], "leaves": None}, why=None, by=self.by
        )
        say({"have": found})
        return {"again": self.incoming.take(wanted, found, sys.stdin.buffer)}

    def take(self, request: dict[str, Any]) -> dict[str, Any]:
        """Verify what has come, make sure of it, and switch to it."""
        try:
            self._note("uploaded")
            packages = self.incoming.unpack(request["site"]) if request["site"] else None
            name = self._installed(request, [str(packages)] if packages else [])
        finally:
            self.incoming.clear()
        if packages:
            self.store.give(name, packages)
        self._note("installed", to=name)
        others = [each for each in self.store.journal["champions"] if each["id"] != name]
        try:
            found = self._turn(name, request["about"], others, request)
        except Exception:
            if name != self.store.current and not self.store.champion(name):
                remove(self.store.bundle(name))
            raise
        with suppress(OSError):  # what is left over goes the next time
            self.store.lay(None, BACK)
            self.store.prune(request["keep"])
            self.store.write_script()
        return found

    def renew(self, request: dict[str, Any]) -> dict[str, Any]:
        """Learn what the fleet's newest metadata say, and judge by them what runs here; it is not touched."""
        current = str(self.store.current)
        try:
            self._judged(self.store.bundle(current), request, self.store.site(current))
        finally:
            self.incoming.clear()
        self._note("confirmed", why=None)
        return {"current": current}

    def back(self, request: dict[str, Any]) -> dict[str, Any]:
        """Switch to the bundle that ran before the current one, which is withdrawn by that.

        Nothing is done where none of those runs that are to be left: it never came, or has gone, as by `settle`.
        """
        current = self.store.current
        if current not in request["leave"] and (champion := self.store.champion(current)):
            return {"current": current, "about": champion, "proof": None}
        former = self.store.former()
        if former is None:
            raise FailedError("no bundle is here that ran before", NOTHING)
        names = [each["id"] for each in self.store.journal["champions"]]
        others = self.store.journal["champions"][: names.index(former)]
        about = self.store.champion(former) or {}
        self._check(former)  # an older one may run again, but none whose key was revoked since
        self._note("installed", **{"from": current, "to": former, "leaves": current}, why=None, by=self.by)
        return self._turn(former, about, others, request)

    def status(self, request: dict[str, Any]) -> dict[str, Any]:
        """What runs here, since when, and if it is asked for whether its examples come out as expected now."""
        current, journal = self.store.current, self.store.journal
        champion = self.store.champion(current)
        found: dict[str, Any] = {"current": current, "champion": champion, "holder": self.store.holder()}
        found |= {"step": journal["step"], "why": journal["why"], "turning": journal["step"] in TURNING}
        found["age_s"] = time.time() - champion["at"] if champion else None
        found["leaves"] = leaves = self.store.leaves
        found["before"] = [each["id"] for each in journal["champions"] if each["id"] != leaves]
        found["health"] = None
        if current and request["prove"]:
            try:
                self._check(current)
                self._proof(current, 1.0, 0.0)  # nothing is timed: what runs may be at work
            except FailedError as error:
                found["health"] = str(error)
        return found

    def _installed(self, request: dict[str, Any], site: list[str]) -> str:
        """Bring the bundle into the store where it is what it should be; its name there."""
        source = self.incoming.lay_out("bundle", request["bundle"])
        if request["fleet"] is None:
            if self._trusts():
                raise FailedError("not signed, and this device takes what is signed alone", UNSIGNED)
            return self._placed(source, request["bundle"])
        return self._judged(source, request, site)

    def _judged(self, source: Path, request: dict[str, Any], site: list[str]) -> str:
        """Have a signed bundle in the store, if it is what the fleet's metadata want; its name there."""
        fleet = self.incoming.lay_out("metadata", request["fleet"])
        if not self._trusts():
            child(INSTALL, ["trust", str(self.store.folder), str(fleet / "1.root.json")], site, INSTALL_S)
        words = ["take", str(source), str(self.store.folder), request["device"], str(fleet)]
        return Path(child(INSTALL, words, site, INSTALL_S)).name

    def _check(self, name: str) -> None:
        """Make sure that a bundle of the store is as one has signed it whose key counts, where only such may run."""
        if self._trusts():
            child(INSTALL, ["check", str(self.store.folder), name], self.store.site(name), INSTALL_S)

    def _trusts(self) -> bool:
        """Whether what is signed alone may run here."""
        return (self.store.folder / "trust" / "root.json").exists()

    def _placed(self, source: Path, digests: dict[str, str]) -> str:
        """Move a bundle into the store, whose files are as they were sent; the proof compares them with its sums."""
        name = digests[SUMS][:16]
        folder = self.store.bundle(name)
        folder.parent.mkdir(exist_ok=True)
        if _holds(folder) != digests:
            for each in (source, *(path for path in source.rglob("*") if path.is_dir())):
                sync(each)
            damaged = folder.with_name(f".{name}.old")
            remove(damaged)
            if folder.exists():
                folder.rename(damaged)
            source.rename(folder)
            sync(folder.parent)
            remove(damaged)
        return name

    def _turn(
        self, name: str, about: dict[str, Any], others: list[dict[str, Any]], request: dict[str, Any]
    ) -> dict[str, Any]:
        """Make sure of a bundle, switch to it, make sure of it where it runs; go back if that fails."""
        self._proof(name, request["tolerance"], request["seconds"])
        self._note("checked")
        self.store.lay(self.store.current, BACK)
        self.store.lay(name, NEXT)
        self._note("switching", **{"from": self.store.current, "to": name})
        try:
            self.store.turn(NEXT)
            self._note("switched")
            self._restart()
            self._note("restarted")
            proof = self._proof(name, request["tolerance"], request["seconds"])
            self.store.confirm({**about, "id": name, "at": time.time(), "by": self.by, "proof": proof}, others)
        except Exception as error:  # whatever it is, no bundle stays that was not confirmed
            self._return(_line(error))
            raise
        say({"step": "confirmed"})
        return {"current": name, "about": about, "proof": proof}

    def _return(self, why: str) -> None:
        """Run again what ran before; where the disk is full the link alone says so."""
        with suppress(OSError):
            self._note("returning", why=why)
        self.store.turn(BACK)
        with suppress(FailedError, OSError):
            self._restart()
        with suppress(OSError):
            self._note("returned")

    def _proof(self, name: str, tolerance: float, seconds: float) -> dict[str, Any]:
        """What a process of its own has found of a bundle.

        Raises:
            FailedError: it is not as it should be.
        """
        words = [str(self.store.bundle(name)), str(tolerance), str(seconds)]
        found: dict[str, Any] = json.loads(child("ship.prove", words, self.store.site(name), PROOF_S))
        if found["why"]:
            raise FailedError(found["why"], PROOF)
        return found

    def _restart(self) -> None:
        program = self.store.folder / "restart"
        if os.access(program, os.X_OK):
            try:
                run([str(program)], b"", RESTART_S, str(program))
            except FailedError as error:
                raise FailedError(f"{program}: {error}", RESTART) from None

    def _note(self, step: str, **more: Any) -> None:
        self.store.note(step, **more)
        say({"step": step})

    def _nearest(self) -> Path:
        """The store, or the folder that it will be in."""
        folder = self.store.folder.absolute()
        return next(each for each in (folder, *folder.parents) if each.exists())


def _holds(folder: Path) -> dict[str, str | None]:
    """The SHA-256 of each file of a folder, by its name; null of what is none."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix(): None if path.is_symlink() else digest(path) for path in found}


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"


def say(answer: dict[str, Any]) -> None:
    """Answer, if somebody listens."""
    with suppress(OSError):
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def requests() -> Iterator[dict[str, Any]]:
    """What is asked for, until nobody asks any more."""
    while True:
        signal.alarm(SILENT_S)
        line = sys.stdin.buffer.readline()
        signal.alarm(0)
        if not line.endswith(b"\n"):
            return
        yield json.loads(line)


def answered(keeper: Keeper, request: dict[str, Any]) -> dict[str, Any]:
    """What a request comes to; of a failure also what runs now."""
    if request["do"] not in DO:
        return {"failed": f"received {request['do']!r}; allowed: {', '.join(DO)}", "code": FAILED}
    do: Callable[[dict[str, Any]], dict[str, Any]] = getattr(keeper, request["do"])
    try:
        return do(request)
    except FailedError as error:
        failed, code = str(error), error.code
    except FullError as error:
        failed, code = str(error), FULL
    except OutsideError as error:
        failed, code = str(error), OUTSIDE
    except OSError as error:
        failed, code = f"{error.filename or keeper.store.folder}: {error.strerror or error}", FAILED
        if error.errno in NO_ROOM:
            free = shutil.disk_usage(keeper.store.folder).free
            keeper.incoming.clear()
            failed, code = f"the disk is full there: {free >> 10} KiB were free", FULL
    current = keeper.store.current
    return {"failed": failed, "code": code, "current": current, "champion": keeper.store.champion(current)}


def main(words: Sequence[str]) -> int:
    """Serve one conversation; with the word `hold`, nobody else may ship meanwhile."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what was begun is brought to its end
    place, by, how = words
    store = Store(Path(place))
    keeper = Keeper(store, by)
    try:
        with store.held(by) if how == "hold" else nullcontext():
            say({"settled": keeper.settle() if how == "hold" else None})
            for request in requests():
                answer = answered(keeper, request)
                say(answer)
                if "failed" in answer:  # what else comes may be the rest of a file
                    break
    except HeldError as error:
        say({"failed": str(error), "code": HELD})
    except EOFError:  # in the middle of a file, which goes on from there
        return 1
    except OSError as error:
        say({"failed": f"{error.filename or place}: {error.strerror or error}", "code": FAILED})
    return 0
