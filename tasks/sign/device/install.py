"""Bringing a bundle into a device's store, if it is what the device shall run now. It needs `cryptography` and `tuf`.

python -m PACKAGE.install trust STORE ROOT.json             once, by a way that is trusted: whose word counts there
python -m PACKAGE.install check STORE BUNDLE                whether one in the store may run: its key counts
python -m PACKAGE.install take SOURCE STORE DEVICE FLEET    says where the bundle now lies, or why it is refused

PACKAGE is the folder of this file, which `verify.py` lies in, too. SOURCE is a bundle with its signature, FLEET the
folder of the fleet's metadata (The Update Framework, TUF 1.0) that came with it; both may come from anybody. A refusal
has its own exit code, see `verify.Refusal`; 30 is a full disk, 2 a wrong command line, 1 a file that cannot be read or
written.

    STORE/trust/root.json    the root that was trusted first
    STORE/trust/metadata/    what was seen since: nothing older is taken
    STORE/bundles/<id>/      bundles, each whole and checked where it lies; <id> begins the SHA-256 of its signature

Which of them runs is decided elsewhere. After a kill, a full disk or a power cut the store holds what it held, or the
new bundle as well. Two at once take turns. Whether a timestamp has expired is known by the device's own clock.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient import FetcherInterface, Updater

from . import verify
from .verify import Refusal, RefusedError, Signed, told

SUFFIX = ".sig"  # of a target: what the signature of a device's bundle is called
SHOWN = 16  # digits of a digest that name a bundle
URL = "fleet:///"  # what the updater calls the folder
PIECE = 2**20  # bytes
FULL, NO_ROOM = 30, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WHY = (  # the first that an error is one of counts
    (
        exceptions.ExpiredMetadataError,
        Refusal.FROZEN,
        "expired, so what is newer may be hidden: `tercet sign` renews it",
    ),
    (exceptions.BadVersionNumberError, Refusal.OLDER, "older than what was seen here"),
    (exceptions.LengthOrHashMismatchError, Refusal.MIXED, "of several states"),
    (exceptions.DownloadLengthMismatchError, Refusal.MIXED, "of several states"),
    (exceptions.DownloadError, Refusal.CUT, "not whole: bring them again"),
    (exceptions.RepositoryError, Refusal.METADATA, "damaged: bring them again"),
)


@dataclass(frozen=True)
class Trust:
    """Whose word counts on a device now."""

    keys: list[bytes]  # that sign bundles, as PEM
    known: frozenset[str]  # fingerprints of all keys that count
    revoked: frozenset[str]  # of those that once did


def trust(store: Path, root: bytes) -> None:
    """Have the keys of a root, and those that they name later, count on this device.

    Raises:
        RefusedError: it is no root that its own keys have signed, or another one is trusted here.
    """
    try:
        _check_root(Metadata[Root].from_bytes(root))
    except exceptions.RepositoryError as error:
        raise RefusedError(Refusal.METADATA, f"no root that its own keys have signed: {error}") from None
    path = store / "trust" / "root.json"
    with _locked(store):
        if path.exists() and path.read_bytes() != root:
            line = f"{store}: another root is trusted here; to begin anew, take {path.parent} away on the device"
            raise RefusedError(Refusal.WRONG_KEY, line)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        _write(temporary, root)
        temporary.replace(path)
        _sync(path.parent)


def _check_root(metadata: Metadata[Root]) -> None:
    if metadata.signed.type != Root.type:
        raise exceptions.RepositoryError(f"it is of the type {metadata.signed.type}")
    metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)


def install(source: Path, store: Path, device: str, fleet: Path) -> Path:
    """Bring a bundle into the store, and make sure of it there.

    Args:
        source: the bundle, with its signature in it.
        store: the device's folder, with a root that is trusted.
        device: what the fleet calls it.
        fleet: the folder of the fleet's metadata.

    Returns:
        The bundle's folder in the store; the same one where it was there.

    Raises:
        RefusedError: it is not what the device shall run now.
        OSError: a file cannot be read or written, or no root is trusted yet.
    """
    with _locked(store):
        target, targets = _refreshed(store / "trust", device, fleet)
        trusted = _trust(store / "trust" / "metadata")
        signed = verify.verify(source, trusted.keys, trusted.revoked)
        _check_now(signed, source, device, target, targets)
        folder = store / "bundles" / hashlib.sha256(signed.content).hexdigest()[:SHOWN]
        if not _is_whole(folder, trusted):
            _fill(folder, source, signed, trusted)
        return folder


def check(store: Path, name: str) -> None:
    """Make sure that a bundle of the store is whole, and was signed by a key that counts by all that was seen here.

    It need not be the newest: by this a device goes back to what it ran before.

    Raises:
        RefusedError: it is not.
        OSError: a file cannot be read, or no root is trusted.
    """
    with _locked(store):
        trusted = _trust(store / "trust" / "metadata")
        verify.verify(store / "bundles" / name, trusted.keys, trusted.revoked)


def _refreshed(trusted: Path, device: str, fleet: Path) -> tuple[TargetFile, dict[str, TargetFile]]:
    """The signature that the device's bundle must have, and all others, as the newest metadata say."""
    seen = trusted / "metadata"
    first = (trusted / "root.json").read_bytes()
    seen.mkdir(exist_ok=True)
    for left in seen.glob("tmp*"):  # of an update that was killed
        left.unlink()
    try:
        updater = Updater(str(seen), URL, fetcher=_Folder(fleet), bootstrap=first)
        updater.refresh()
        target = updater.get_targetinfo(f"{device}{SUFFIX}")
    except exceptions.UnsignedMetadataError as error:
        raise _unsigned(_trust(seen), fleet, error) from None
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        refusal, why = next((refusal, why) for kind, refusal, why in WHY if isinstance(error, kind))
        raise RefusedError(refusal, f"{fleet}: metadata {why} ({error})") from None
    for folder in (seen / "root_history", seen):
        _sync(folder)
    targets = Metadata[Targets].from_file(str(seen / "targets.json")).signed.targets
    if target is None:
        known = told([name.removesuffix(SUFFIX) for name in targets]) or "none"
        raise RefusedError(Refusal.UNKNOWN, f"{fleet}: no bundle for {device}; there are some for: {known}")
    return target, targets


def _trust(seen: Path) -> Trust:
    root = Metadata[Root].from_file(str(seen / "root.json")).signed
    former = [Metadata[Root].from_file(str(path)).signed for path in (seen / "root_history").glob("*.root.json")]
    keys = [root.keys[name].keyval["public"].encode() for name in root.roles[Targets.type].keyids]
    return Trust(
        keys, frozenset(root.keys), frozenset(name for each in former for name in each.keys) - root.keys.keys()
    )


def _unsigned(trusted: Trust, fleet: Path, error: Exception) -> RefusedError:
    """Whose signature it is that does not count, by what the timestamp claims."""
    try:
        with verify.plain(fleet / "timestamp.json") as file:
            claimed = {str(each["keyid"]) for each in json.load(file)["signatures"]}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        claimed = set()
    if gone := claimed & trusted.revoked:
        return RefusedError(Refusal.REVOKED_KEY, f"{fleet}: metadata signed by the key {told(gone)}, which was revoked")
    if claimed & trusted.known:
        return RefusedError(Refusal.FORGED, f"{fleet}: metadata damaged or forged ({error})")
    line = f"{fleet}: metadata signed by {told(claimed) or 'no key'}; trusted here: {told(trusted.known)}"
    return RefusedError(Refusal.WRONG_KEY, line)


def _check_now(signed: Signed, source: Path, device: str, target: TargetFile, targets: dict[str, TargetFile]) -> None:
    """Make sure that a bundle which somebody has signed is the one that the device shall run now."""
    found = hashlib.sha256(signed.content).hexdigest()
    if target.hashes.get("sha256") == found:
        return
    if others := [name.removesuffix(SUFFIX) for name, each in targets.items() if each.hashes.get("sha256") == found]:
        raise RefusedError(Refusal.MIXED, f"{source}: the bundle of {told(others)}, and not of {device}")
    raise RefusedError(Refusal.OLDER, f"{source}: once signed, but not what {device} shall run now: bring the newest")


def _is_whole(folder: Path, trusted: Trust) -> bool:
    try:
        verify.verify(folder, trusted.keys, trusted.revoked)
    except (RefusedError, FileNotFoundError):
        return False
    return True


def _fill(folder: Path, source: Path, signed: Signed, trusted: Trust) -> None:
    """Copy what is signed, and nothing else, and check the copy where nobody else writes."""
    folder.parent.mkdir(exist_ok=True)
    for left in folder.parent.glob(".*.tmp"):
        shutil.rmtree(left)
    temporary, damaged = (folder.with_name(f".{folder.name}.{what}.tmp") for what in ("new", "old"))
    try:
        for name in signed.files:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            with verify.plain(source / name) as file:
                _write(temporary / name, file)
        _write(temporary / verify.SIGNATURE, signed.content)
        verify.verify(temporary, trusted.keys, trusted.revoked)
        for each in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
            _sync(each)
        if folder.exists():
            folder.rename(damaged)
        temporary.rename(folder)
        _sync(folder.parent)
    finally:
        for left in (temporary, damaged):
            shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, content: bytes | BufferedReader) -> None:
    """Write a file, and have the disk hold it."""
    with path.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            shutil.copyfileobj(content, file, PIECE)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the disk hold a folder's names, and the files in it."""
    for path in (*(path for path in folder.iterdir() if path.is_file()), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """Hold the store against others that bring something; the kernel frees it, however its holder ends."""
    store.mkdir(parents=True, exist_ok=True)
    with (store / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Folder(FetcherInterface):
    """Metadata that lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self.folder / url.removeprefix(URL)
        try:
            return _pieces(verify.plain(path))
        except FileNotFoundError:
            raise exceptions.DownloadHTTPError(f"{path}: not there", 404) from None


def _pieces(file: BufferedReader) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


def main(words: Sequence[str]) -> int:
    """Serve the command line; 0, or the code of what was told in one line."""
    try:
        match words:
            case ["trust", store, root]:
                trust(Path(store), Path(root).read_bytes())
                print(f"{store}: the keys of {root} count here")
            case ["check", store, name]:
                check(Path(store), name)
                print(f"{name}: signed, and whole")
            case ["take", source, store, device, fleet]:
                print(install(Path(source), Path(store), device, Path(fleet)))
            case _:
                print(__doc__)
                return 0 if words[:1] in (["-h"], ["--help"]) else 2
    except RefusedError as error:
        print(f"install: {error}", file=sys.stderr)
        return error.refusal
    except (OSError, ValueError) as error:
        full = isinstance(error, OSError) and error.errno in NO_ROOM
        print(f"install: {'the disk is full there: ' if full else ''}{error}", file=sys.stderr)
        return FULL if full else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
