"""What each server is known to have, so that a run with nothing new asks nobody, and who may publish at the moment."""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress

from tasks import files, paths, redact
from tasks.errors import TrackingError
from tasks.track import server
from tasks.track.entries import Entry

LEDGER = paths.STATE / "published.json"
LATEST = paths.STATE / "published.jsonl"  # an entry a line, as they were sent, until they stand in the ledger
LOCK = paths.STATE / "publish.lock"
LOCK_S = 120.0
Ledger = dict[str, dict[str, str]]  # by server, by an entry's key: the digest of what it was sent


def unknown(uri: str, everything: Iterable[Entry]) -> list[Entry]:
    """The entries that the server is not known to have as they are now."""
    file = server.database(uri)
    gone = file is not None and not server.there(file)
    known = {} if gone or "?" in uri else _read().get(redact.shown(uri), {})  # what is not shown may name another store
    return [entry for entry in everything if known.get(entry.key) != entry.digest]


def remember(uri: str, entry: Entry) -> None:
    """Note that the server has an entry, in a line of its own: the ledger, written whole for each, may be long."""
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    with LATEST.open("a", encoding="utf-8") as file:
        file.write(json.dumps([redact.shown(uri), entry.key, entry.digest]) + "\n")


def gather() -> None:
    """Take what was noted into the ledger."""
    if LATEST.exists():
        files.write_json(LEDGER, _read())
        LATEST.unlink()


def forget(uri: str) -> None:
    """Note that the server has nothing: it is new."""
    ledger = _read()
    if ledger.pop(redact.shown(uri), None) is not None:
        LATEST.unlink(missing_ok=True)  # before: what is not known to be there is asked for
        files.write_json(LEDGER, ledger)


def left(uri: str, experiment: str, keys: Collection[str]) -> dict[str, str]:
    """What this project has sent of an experiment that has none of these keys: its digests by their keys."""
    known = _read().get(redact.shown(uri), {})
    return {key: digest for key, digest in known.items() if key.startswith(f"{experiment}: ") and key not in keys}


def drop(uri: str, keys: Collection[str]) -> None:
    """Forget what was sent by these keys, so that what comes back is sent anew."""
    if keys:
        ledger = _read()
        for key in keys:
            ledger.get(redact.shown(uri), {}).pop(key, None)
        LATEST.unlink(missing_ok=True)  # before: what is not known to be there is asked for
        files.write_json(LEDGER, ledger)


def _read() -> Ledger:
    """The ledger and what was noted since, each server as it may be shown; what is no ledger is an empty one."""
    try:
        written = json.loads(LEDGER.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        written = {}
    ledger: Ledger = {}
    for uri, known in written.items() if isinstance(written, dict) else ():
        if isinstance(known, dict):
            ledger.setdefault(redact.shown(uri), {}).update({k: v for k, v in known.items() if isinstance(v, str)})
    for uri, key, digest in _latest():
        ledger.setdefault(redact.shown(uri), {})[key] = digest
    return ledger


def _latest() -> Iterator[list[str]]:
    """What was sent since: uri, key and digest; a line that a kill has cut is left out."""
    try:
        lines = LATEST.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return
    for line in lines:
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, list) and len(found) == 3 and all(isinstance(word, str) for word in found):
                yield found


@contextmanager
def single_publisher() -> Iterator[None]:
    """Hold the project's lock on publishing.

    Raises:
        TrackingError: somebody else holds it for long.
    """
    from filelock import FileLock, Timeout

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(LOCK, timeout=LOCK_S):
            yield
    except Timeout:
        raise TrackingError(
            f"{LOCK}: held by another publisher for {LOCK_S:.0f} s; try `tercet publish` later"
        ) from None
