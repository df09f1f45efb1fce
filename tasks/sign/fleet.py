"""Who may sign for a fleet, and what each device shall run: the metadata of The Update Framework (TUF 1.0).

`fleet/` is public and belongs under version control. `metadata/` holds every root (which keys count), and of the
present state `N.targets.json` (the signature of each device's bundle, by its SHA-256), `N.snapshot.json` and
`timestamp.json`; `targets/` the signatures themselves; `keys/` the public keys that sign bundles, for other tools.

There are two roles of keys. `root` says which keys count, and is used for nothing else, so it can lie offline;
`release` signs bundles and all other metadata. All three files of a state have its number, which only grows. A device
that has seen a state takes no older one; and none whose timestamp has expired, so nobody can hide a newer one from it
for longer. `device/install.py` is the device's side.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.exceptions import StorageError
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, T, TargetFile, Targets, Timestamp

from tasks import files, paths
from tasks.errors import SigningError
from tasks.sign import keys
from tasks.sign.device import verify
from tasks.sign.device.install import SUFFIX
from tasks.sign.keys import SHOWN, PrivateKey

LOCK = paths.STATE / "fleet"  # is held by who changes a fleet, and by who reads all of a state
ROOT, RELEASE = Root.type, (Targets.type, Snapshot.type, Timestamp.type)
LASTS = {  # how long each is good for
    Root.type: timedelta(days=5 * 365),
    Targets.type: timedelta(days=365),
    Snapshot.type: timedelta(days=365),
    Timestamp.type: timedelta(days=30),
}


def is_begun(fleet: Path) -> bool:
    """Whether a fleet is there."""
    return (fleet / "metadata").exists()


def create(fleet: Path, root: PrivateKey, release: PrivateKey) -> None:
    """Begin a fleet whose keys are these, and which has no bundle yet."""
    trust = Root(version=1, expires=_until(ROOT), consistent_snapshot=True)
    trust.add_key(_public(root), ROOT)
    _add_release(fleet, trust, release)
    with files.replaced_folder(fleet / "metadata") as folder:
        _write(folder / "1.root.json", trust, root)
        _write_state(folder, 1, {}, release)


def rotate(fleet: Path, root: PrivateKey, release: PrivateKey) -> None:
    """Let another key sign from now on; those before it count until they are revoked."""
    trust = current_root(fleet)
    _add_release(fleet, trust, release)
    _renew(fleet, trust, root)


def rotate_root(fleet: Path, root: PrivateKey, new: PrivateKey) -> None:
    """Put another root key in the place of the present one, whose last word that is."""
    trust = current_root(fleet)
    trust.revoke_key(verify.fingerprint(root.public_key()), ROOT)
    trust.add_key(_public(new), ROOT)
    _renew(fleet, trust, root, new)


def revoke(fleet: Path, key: str, root: PrivateKey, release: PrivateKey) -> list[str]:
    """Have a release key count no longer, nor any bundle that it has signed.

    Args:
        fleet: the folder.
        key: its fingerprint.
        root: the root key.
        release: another release key.

    Returns:
        The devices whose bundles must be signed again.
    """
    trust, targets = current_root(fleet), current_targets(fleet)
    kept = {name: target for name, target in targets.items() if _signer(fleet, name, target) != key}
    _write_state(fleet / "metadata", timestamp(fleet).version + 1, kept, release)  # good by the root before, too
    for role in RELEASE:
        trust.revoke_key(key, role)
    _renew(fleet, trust, root)
    _tidy(fleet, kept)
    (fleet / "keys" / f"{key[:SHOWN]}.pub").unlink(missing_ok=True)
    return [name.removesuffix(SUFFIX) for name in targets if name not in kept]


def publish(fleet: Path, signatures: Mapping[str, bytes], release: PrivateKey) -> int:
    """Say what devices shall run from now on, and that it is the newest there is.

    Args:
        fleet: the folder.
        signatures: the content of the signature of each device's bundle; other devices keep theirs.
        release: a release key.

    Returns:
        The number of the state.

    Raises:
        SigningError: there is no fleet, or the key does not count in it.
    """
    if (name := verify.fingerprint(release.public_key())) not in release_keys(fleet):
        known = ", ".join(each[:SHOWN] for each in release_keys(fleet))
        raise SigningError(f"{fleet}: the key {name[:SHOWN]} may not sign here; those that may: {known}")
    number, targets = timestamp(fleet).version + 1, current_targets(fleet)
    for device, content in signatures.items():
        target = TargetFile.from_data(target_of(device), content, ["sha256"])
        targets[target.path] = target
        with files.replaced(_place(fleet, target.path, target)) as temporary:
            temporary.write_bytes(content)
    _write_state(fleet / "metadata", number, targets, release)
    _tidy(fleet, targets)
    return number


def signature(fleet: Path, device: str) -> bytes:
    """The signature of the bundle that a device shall run: what is to lie there as `model.sig`.

    Raises:
        SigningError: none is signed.
    """
    targets = current_targets(fleet)
    if (name := target_of(device)) not in targets:
        raise SigningError(f"{device}: its bundle is not signed: `tercet sign {device}`")
    return _place(fleet, name, targets[name]).read_bytes()


def metadata(fleet: Path) -> dict[str, bytes]:
    """What a device needs of the present state to judge a bundle: every file of `metadata/` by its name."""
    folder = fleet / "metadata"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files.below(folder)}


def current_root(fleet: Path) -> Root:
    """Which keys count now.

    Raises:
        SigningError: there is no fleet, or its files are damaged.
    """
    return _read(_roots(fleet)[-1], Root)


def release_keys(fleet: Path) -> list[str]:
    """Fingerprints of the keys that may sign, the newest last."""
    return list(current_root(fleet).roles[Targets.type].keyids)


def revoked_keys(fleet: Path) -> list[str]:
    """Fingerprints of the keys that once counted, those of the first roots first."""
    roots = [_read(path, Root) for path in _roots(fleet)]
    return list(dict.fromkeys(name for root in roots for name in root.keys if name not in roots[-1].keys))


def root_key(fleet: Path) -> PrivateKey:
    """The private root key.

    Raises:
        SigningError: it is not here, or cannot be opened.
    """
    return keys.load(current_root(fleet).roles[ROOT].keyids[0])


def release_key(fleet: Path, but: str = "") -> PrivateKey:
    """The newest private release key of those that are here; `but` names one that is left out.

    Raises:
        SigningError: none is here, or it cannot be opened.
    """
    newest = [name for name in reversed(release_keys(fleet)) if name != but]
    if not newest:
        raise SigningError(f"{fleet}: no other key may sign: `tercet keys rotate` first")
    return keys.load(next((name for name in newest if keys.path_of(name).exists()), newest[0]))


def current_targets(fleet: Path) -> dict[str, TargetFile]:
    """The signatures of the present state, by their names.

    Raises:
        SigningError: there is no fleet, or its files are damaged.
    """
    path = fleet / "metadata" / f"{timestamp(fleet).version}.{Targets.type}.json"
    return dict(_read(path, Targets, current_root(fleet)).targets)


def timestamp(fleet: Path) -> Timestamp:
    """The number of the present state, and until when it is good."""
    return _read(fleet / "metadata" / f"{Timestamp.type}.json", Timestamp, current_root(fleet))


def target_of(device: str) -> str:
    """What TUF calls the signature of a device's bundle."""
    return f"{device}{SUFFIX}"


def _public(key: PrivateKey) -> SSlibKey:
    return SSlibKey.from_crypto(key.public_key(), keyid=verify.fingerprint(key.public_key()))


def _until(role: str) -> datetime:
    return datetime.now(UTC) + LASTS[role]


def _add_release(fleet: Path, trust: Root, release: PrivateKey) -> None:
    public = _public(release)
    for role in RELEASE:
        trust.add_key(public, role)
    files.write_text(fleet / "keys" / f"{public.keyid[:SHOWN]}.pub", verify.pem(release.public_key()).decode())


def _renew(fleet: Path, trust: Root, *keys: PrivateKey) -> None:
    """Write a root with the next number, signed by all of the keys."""
    trust.version, trust.expires = trust.version + 1, _until(ROOT)
    _write(fleet / "metadata" / f"{trust.version}.root.json", trust, *keys)


def _write(path: Path, signed: Signed, *keys: PrivateKey) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)  # of whatever it is given
    for key in keys:
        metadata.sign(CryptoSigner(key, _public(key)), append=True)
    content = metadata.to_bytes()
    with files.replaced(path) as temporary:
        temporary.write_bytes(content)
    return content


def _write_state(folder: Path, number: int, targets: dict[str, TargetFile], key: PrivateKey) -> None:
    """Write what is signed by a release key; the last file makes it the present state."""
    signed: Signed = Targets(version=number, expires=_until(Targets.type), targets=targets)
    content = _write(folder / f"{number}.{Targets.type}.json", signed, key)
    meta = MetaFile.from_data(number, content, ["sha256"])
    signed = Snapshot(version=number, expires=_until(Snapshot.type), meta={f"{Targets.type}.json": meta})
    content = _write(folder / f"{number}.{Snapshot.type}.json", signed, key)
    meta = MetaFile.from_data(number, content, ["sha256"])
    signed = Timestamp(version=number, expires=_until(Timestamp.type), snapshot_meta=meta)
    _write(folder / f"{Timestamp.type}.json", signed, key)


def _tidy(fleet: Path, targets: dict[str, TargetFile]) -> None:
    """Take away what is of former states."""
    number = timestamp(fleet).version
    kept = {_place(fleet, name, target) for name, target in targets.items()}
    old = [path for path in (fleet / "targets").glob(f"*{SUFFIX}") if path not in kept]
    for role in (Targets.type, Snapshot.type):
        old += [path for path in (fleet / "metadata").glob(f"*.{role}.json") if path.name != f"{number}.{role}.json"]
    for path in old:
        path.unlink(missing_ok=True)


def _place(fleet: Path, name: str, target: TargetFile) -> Path:
    return fleet / "targets" / f"{target.hashes['sha256']}.{name}"


def _signer(fleet: Path, name: str, target: TargetFile) -> str:
    """The fingerprint of the key that has signed a bundle."""
    path = _place(fleet, name, target)
    return verify.unpacked(path.read_bytes(), path)[2]


def _roots(fleet: Path) -> list[Path]:
    found = sorted((fleet / "metadata").glob("*.root.json"), key=lambda path: int(path.name.split(".")[0]))
    if not found:
        raise SigningError(f"{fleet}: no keys sign for this project yet: `tercet keys new`")
    return found


def _read(path: Path, kind: type[T], trust: Root | None = None) -> T:
    """What a file of the metadata says; with `trust`, which one of its keys must have signed."""
    try:
        metadata = Metadata[T].from_file(str(path))
        if trust is not None:
            trust.verify_delegate(kind.type, metadata.signed_bytes, metadata.signatures)
    except (OSError, RepositoryError, StorageError) as error:
        raise SigningError(f"{path}: damaged: {error}; take it back from version control") from None
    if not isinstance(metadata.signed, kind):
        raise SigningError(f"{path}: damaged: a {kind.type} expected; take it back from version control")
    return metadata.signed
