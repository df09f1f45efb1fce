"""Private keys: each a file (PEM, PKCS#8) that only its owner may read, in a folder that no project can carry away.

The folder is named by `TERCET_KEYS`; without it, it is `tercet/keys` in the user's own configuration. Where
`TERCET_KEYS_PASSPHRASE` is set, or `TERCET_KEYS_PASSPHRASE_FILE` names a file that holds it, new keys are encrypted by
it, and encrypted ones are opened. A key is called by its fingerprint, the SHA-256 of the PEM of its public half.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tasks import files
from tasks.errors import SigningError
from tasks.sign.device.verify import HASHES, fingerprint

PrivateKey = ec.EllipticCurvePrivateKey
FOLDER, PASSPHRASE, PASSPHRASE_FILE = "TERCET_KEYS", "TERCET_KEYS_PASSPHRASE", "TERCET_KEYS_PASSPHRASE_FILE"
PROJECT = (".git", ".dvc", "dvc.yaml")  # what lies in a folder that is committed, pushed and copied
SHOWN = 16  # digits of a fingerprint that name a key to people
OTHERS = 0o077  # the rights of everybody else


def folder() -> Path:
    """Where private keys lie.

    Raises:
        SigningError: that is in a project or a git work tree.
    """
    place = Path(os.environ.get(FOLDER) or Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config", "tercet", "keys"))
    place = place.expanduser().resolve()
    for above in (place, *place.parents):
        if found := next((mark for mark in PROJECT if (above / mark).exists()), None):
            raise SigningError(
                f"{place}: no place for private keys: {above} holds {found}, so they could be committed or copied with "
                f"it; name a folder outside by {FOLDER}"
            )
    return place


def make() -> PrivateKey:
    """A new key on P-256, written.

    Raises:
        SigningError: its folder lies in a project, or is open to others.
    """
    place, words = folder(), _passphrase()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_closed(place, "700")
    key = ec.generate_private_key(ec.SECP256R1())
    how = serialization.BestAvailableEncryption(words) if words else serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    with files.replaced(path_of(fingerprint(key.public_key()))) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    return key


def path_of(name: str) -> Path:
    """The file of the private key with such a fingerprint."""
    return folder() / f"{name[:SHOWN]}.pem"


def load(name: str) -> PrivateKey:
    """The private key with such a fingerprint.

    Raises:
        SigningError: it is not here, open to others, damaged, or encrypted by another passphrase.
    """
    path = path_of(name)
    if not path.exists():
        raise SigningError(f"{path}: the private key is not on this machine; bring it, or name its folder by {FOLDER}")
    _check_closed(path, "600")
    content = path.read_bytes()
    words = _passphrase() if b"ENCRYPTED" in content else None
    try:
        key = serialization.load_pem_private_key(content, words)
    except TypeError:
        raise SigningError(f"{path}: encrypted; set {PASSPHRASE} or {PASSPHRASE_FILE}") from None
    except ValueError:  # its message is left out: it is about what was read
        raise SigningError(f"{path}: no private key, or encrypted by another passphrase than {PASSPHRASE}'s") from None
    if not isinstance(key, PrivateKey) or key.curve.name not in HASHES or fingerprint(key.public_key()) != name:
        raise SigningError(f"{path}: holds another key than its name says; put the right one there")
    return key


def encrypts() -> bool:
    """Whether new keys are encrypted."""
    return _passphrase() is not None


def _passphrase() -> bytes | None:
    words = os.environ.get(PASSPHRASE)
    path = os.environ.get(PASSPHRASE_FILE)
    if words is None and path:
        words = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    if words == "":
        raise SigningError(
            f"the passphrase of {PASSPHRASE_FILE if path else PASSPHRASE} is empty; unset it, or say one"
        )
    return words.encode() if words else None


def _check_closed(path: Path, wanted: str) -> None:
    if path.stat().st_mode & OTHERS:
        raise SigningError(f"{path}: open to others than its owner; `chmod {wanted} {path}`")
