"""`tercet keys`: the keys that sign what is shipped, made, rotated, revoked and shown."""

from collections.abc import Iterator

from tasks import files, paths
from tasks.errors import SigningError, WordsError
from tasks.sign import fleet, keys
from tasks.sign.device.verify import fingerprint
from tasks.sign.keys import SHOWN

LEAST = 4  # digits that name a key


def new() -> str:
    """Make the keys of a project that has none.

    Raises:
        SigningError: it has some, or private keys may not lie where they would.
    """
    with files.locked(fleet.LOCK):
        if fleet.is_begun(paths.FLEET):
            raise SigningError(f"{paths.FLEET}: the project has keys; `tercet keys rotate` makes a new one")
        root, release = keys.make(), keys.make()
        fleet.create(paths.FLEET, root, release)
    names = [fingerprint(key.public_key())[:SHOWN] for key in (root, release)]
    return f"root {names[0]} and release {names[1]}: {_told()}; commit {paths.FLEET}/ and keep a copy of the keys apart"


def rotate(which: str | None) -> str:
    """Make a new release key, which signs from now on, or put another root key in the place of the present one.

    Raises:
        WordsError: `which` is something else than `root`, `release` or null.
        SigningError: the root key is not here.
    """
    if which not in (None, "release", "root"):
        raise WordsError(f"root or release expected; received {which!r}")
    with files.locked(fleet.LOCK):
        root = fleet.root_key(paths.FLEET)
        made = keys.make()
        name = fingerprint(made.public_key())[:SHOWN]
        if which == "root":
            fleet.rotate_root(paths.FLEET, root, made)
            return f"root {name} in the place of {fingerprint(root.public_key())[:SHOWN]}: {_told()}"
        before = ", ".join(key[:SHOWN] for key in fleet.release_keys(paths.FLEET))
        fleet.rotate(paths.FLEET, root, made)
    return f"release {name}: {_told()}; `tercet sign` signs by it; until they are revoked {before} count as well"


def revoke(named: str | None) -> str:
    """Have a release key count no longer, by the first digits of its name, nor what it has signed.

    Raises:
        WordsError: no key, or several, begin so.
        SigningError: the root key is not here, or no other key may sign.
    """
    with files.locked(fleet.LOCK):
        known = fleet.release_keys(paths.FLEET)
        found = [key for key in known if named and len(named) >= LEAST and key.startswith(named.lower())]
        if len(found) != 1:
            allowed = ", ".join(key[:SHOWN] for key in known)
            received = repr(named) if named else "nothing"
            raise WordsError(f"the first digits of a release key expected; received {received}; allowed: {allowed}")
        root, release = fleet.root_key(paths.FLEET), fleet.release_key(paths.FLEET, but=found[0])
        again = fleet.revoke(paths.FLEET, found[0], root, release)
    sign = f"; to be signed again: `tercet sign {' '.join(again)}`" if again else ""
    return f"revoked {found[0][:SHOWN]}: no device takes what it has signed once it has seen this{sign}"


def show() -> Iterator[str]:
    """A line for each key, whether its private half is here, and until when the metadata are good.

    Raises:
        SigningError: the project has no keys.
    """
    root, state = fleet.current_root(paths.FLEET), fleet.timestamp(paths.FLEET)
    rows = [("root", key) for key in root.roles[fleet.ROOT].keyids]
    rows += [("release", key) for key in fleet.release_keys(paths.FLEET)]
    for role, key in rows:
        yield f"{role:8} {key[:SHOWN]}  {keys.path_of(key) if keys.path_of(key).exists() else 'not on this machine'}"
    for key in fleet.revoked_keys(paths.FLEET):
        yield f"{'revoked':8} {key[:SHOWN]}"
    yield f"state {state.version}: good until {state.expires:%Y-%m-%d}, the keys until {root.expires:%Y-%m-%d}"


def _told() -> str:
    how = "encrypted" if keys.encrypts() else f"not encrypted, as {keys.PASSPHRASE} is not set"
    return f"in {keys.folder()}, {how}"
