"""Whether a bundle is what somebody has signed. It needs Python 3.11 and `cryptography`, and nothing of Tercet.

python verify.py BUNDLE KEY.pub...    says whose signature holds, or in one line why the bundle is refused

A refusal has its own exit code, see `Refusal`; 2 is a wrong command line, 1 a file that cannot be read.

The signature is `model.sig` in the folder, as `model_signing sign key` of sigstore's model-signing 1.1 writes it: a
sigstore bundle (JSON, v0.3) around a DSSE envelope around an in-toto statement with the predicate
https://model_signing/signature/v1.0, signed with ECDSA by a bare key on P-256, P-384 or P-521. It names every file
with its SHA-256. Where the predicate has `sizes`, which that format has others ignore, a file that was cut short is
told from one that was changed.

All that is read may be hostile. Nothing is read through a link, a device or a pipe, and a signature that is not byte
for byte as its signer writes it (a blank, a base64 digit that says nothing) is refused.
"""

import base64
import hashlib
import json
import os
import stat
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from io import BufferedReader
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SIGNATURE = "model.sig"  # the name that model_signing gives it
MANIFEST = "manifest.json"  # Tercet's own; a bundle of others has none
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
HASHES: dict[str, hashes.HashAlgorithm] = {  # of sigstore, by curve
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
LARGEST = 2**24  # bytes of a signature: 100,000 files


class Refusal(IntEnum):
    """Why a bundle is refused, and the exit code that says so."""

    UNSIGNED = 10  # there is no signature
    DAMAGED = 11  # the signature is no file of the format, or signs no statement of the format
    FORGED = 12  # the key that it names has not signed this
    WRONG_KEY = 13  # signed by a key that was never trusted here
    REVOKED_KEY = 14  # signed by a key that no longer is
    OUTSIDE = 15  # a name leads out of the bundle, or stands twice
    NO_FILE = 16  # a link, a device, a pipe or a socket lies in it
    CHANGED = 17  # a file has another content
    SWAPPED = 18  # the contents are there, under each other's names
    CUT = 19  # a file is missing, or shorter than it was
    STRANGE = 20  # a file lies there that was not signed
    OLDER = 21  # a newer version was seen here, or is known to be out
    FROZEN = 22  # what says that nothing newer is out has expired
    MIXED = 23  # parts of several versions, or the bundle of another device
    UNKNOWN = 24  # the fleet has no bundle for this device
    METADATA = 25  # the fleet's metadata are damaged


class RefusedError(Exception):
    """Shown as one line."""

    def __init__(self, refusal: Refusal, line: str) -> None:
        super().__init__(line)
        self.refusal = refusal


@dataclass(frozen=True)
class Signed:
    """What was found to be signed."""

    key: str  # the fingerprint of the key that signed it
    files: dict[str, str]  # SHA-256, in hex, of every file by its name
    content: bytes  # of the signature


def verify(folder: Path, keys: Collection[bytes], revoked: Collection[str] = ()) -> Signed:
    """Make sure that a folder holds what one of the keys has signed, and nothing else.

    Args:
        folder: the bundle, with its signature in it.
        keys: public keys that are trusted, as PEM.
        revoked: fingerprints of keys that once were; they are refused even among `keys`.

    Raises:
        RefusedError: it does not.
        OSError: it cannot be read.
        ValueError: one of `keys` is no such key.
    """
    path = folder / SIGNATURE
    content = signature_in(folder)
    payload, signed, hint = unpacked(content, path)
    trusted = {fingerprint(key): key for key in map(public, keys)}
    if hint in revoked:
        raise RefusedError(Refusal.REVOKED_KEY, f"{path}: signed by the key {told([hint])}, which was revoked")
    if hint not in trusted:
        known = told(trusted) or "none"
        raise RefusedError(Refusal.WRONG_KEY, f"{path}: signed by the key {told([hint])}; trusted here: {known}")
    try:
        trusted[hint].verify(signed, encoded(payload), algorithm(trusted[hint]))
    except InvalidSignature:
        line = f"{path}: the key {hint} has not signed this: damaged or forged"
        raise RefusedError(Refusal.FORGED, line) from None
    listed, sizes = _read_statement(payload, path)
    _compare(folder, listed, sizes)
    if MANIFEST in listed:
        _check_manifest(folder / MANIFEST)
    return Signed(hint, listed, content)


def signature_in(folder: Path) -> bytes:
    """The content of a bundle's signature.

    Raises:
        RefusedError: there is none.
    """
    try:
        with plain(folder / SIGNATURE) as file:
            return file.read(LARGEST)
    except FileNotFoundError:
        raise RefusedError(Refusal.UNSIGNED, f"{folder}: not signed: there is no {SIGNATURE}") from None


def public(key: bytes) -> ec.EllipticCurvePublicKey:
    """A public key from its PEM.

    Raises:
        ValueError: it is none, or on none of the curves.
    """
    try:
        loaded = serialization.load_pem_public_key(key)
    except (ValueError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or loaded.curve.name not in HASHES:
        raise ValueError("a public key (PEM) on P-256, P-384 or P-521 expected")
    return loaded


def pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key in the one form that its fingerprint is of."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """What a public key is called: the SHA-256, in hex, of its PEM, as model-signing hints at it."""
    return hashlib.sha256(pem(key)).hexdigest()


def algorithm(key: ec.EllipticCurvePublicKey) -> ec.ECDSA:
    """How a key of its curve signs."""
    return ec.ECDSA(HASHES[key.curve.name])


def encoded(payload: bytes) -> bytes:
    """What is signed of a payload: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def envelope(payload: bytes, signed: bytes, hint: str) -> bytes:
    """The content of a signature's file, byte for byte as model-signing 1.1 writes it.

    Args:
        payload: the statement.
        signed: the ECDSA signature of its encoding, in DER.
        hint: the fingerprint of the key.
    """
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    signatures = [{"sig": base64.b64encode(signed).decode(), "keyid": ""}]
    dsse = {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    whole = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": dsse}
    return json.dumps(whole, separators=(",", ":")).encode()


def unpacked(content: bytes, path: Path) -> tuple[bytes, bytes, str]:
    """The payload, its signature and the fingerprint of the key, as a signature's file claims them.

    Raises:
        RefusedError: it is not as `envelope` writes it.
    """
    try:
        whole = json.loads(content)
        dsse, hint = whole["dsseEnvelope"], str(whole["verificationMaterial"]["publicKey"]["hint"])
        payload, signed = (base64.b64decode(part) for part in (dsse["payload"], dsse["signatures"][0]["sig"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise RefusedError(Refusal.DAMAGED, f"{path}: no signature in the format of model-signing") from None
    if envelope(payload, signed, hint) != content:
        raise RefusedError(Refusal.DAMAGED, f"{path}: not as a key's signature is written by model-signing 1.1")
    return payload, signed, hint


def _read_statement(payload: bytes, path: Path) -> tuple[dict[str, str], dict[str, int]]:
    """The digest of each file by its name, and the sizes that it tells."""
    try:
        statement = json.loads(payload)
        predicate, (subject,) = statement["predicate"], statement["subject"]
        how, resources = predicate["serialization"], predicate["resources"]
        kind = (statement["_type"], statement["predicateType"], how["method"])
        kinds = {kind, *((*kind[:2], each["algorithm"]) for each in resources)}
        named = [(str(each["name"]), str(each["digest"])) for each in resources]
        root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in named)).hexdigest()
        sizes = {str(name): int(size) for name, size in predicate.get("sizes", {}).items()}
        whole = root == subject["digest"]["sha256"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RefusedError(Refusal.DAMAGED, f"{path}: its statement is not one of model-signing") from None
    if not whole or kinds - {(STATEMENT, PREDICATE, "files"), (STATEMENT, PREDICATE, "sha256")}:
        line = f"{path}: a statement {PREDICATE} with the SHA-256 of each whole file expected"
        raise RefusedError(Refusal.DAMAGED, line)
    check_names([name for name, _ in named], path)
    return dict(named), sizes


def check_names(names: Sequence[str], path: Path) -> None:
    """Make sure that each is the name of one file in the bundle; `path` is what has told them.

    Raises:
        RefusedError: one leads elsewhere, or stands twice.
    """
    for name in names:
        odd = not name.isprintable() or "\\" in name or name == SIGNATURE
        if odd or any(part in ("", ".", "..") for part in name.split("/")):
            raise RefusedError(Refusal.OUTSIDE, f"{path}: {name!a} is no name of a file in the bundle")
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise RefusedError(Refusal.OUTSIDE, f"{path}: twice among its names: {told(twice)}")


def _check_manifest(path: Path) -> None:
    """What was signed may have been written by somebody careless: nothing shall go by such a name."""
    try:
        with plain(path) as file:
            pairs = json.load(file, object_pairs_hook=list)  # a dict would hide what stands twice
        names = [str(name) for key, value in pairs if key == "files" for name, _ in value]
    except (ValueError, TypeError, RecursionError):
        raise RefusedError(Refusal.DAMAGED, f"{path}: no manifest, though signed; make the bundle again") from None
    check_names(names, path)


def _compare(folder: Path, listed: dict[str, str], sizes: dict[str, int]) -> None:
    found = {name: size for name, size in below(folder) if name != SIGNATURE}
    if strange := found.keys() - listed.keys():
        raise RefusedError(Refusal.STRANGE, f"{folder}: not part of what was signed: {told(strange)}")
    if missing := listed.keys() - found.keys():
        raise RefusedError(Refusal.CUT, f"{folder}: missing: {told(missing)}; bring it again")
    if short := [name for name in found if found[name] < sizes.get(name, 0)]:
        raise RefusedError(Refusal.CUT, f"{folder}: cut short: {told(short)}; bring it again")
    digests = {name: digest(folder / name) for name in found if found[name] == sizes.get(name, found[name])}
    changed = [name for name in listed if digests.get(name) != listed[name]]
    if changed and sorted(digests.values()) == sorted(listed.values()):
        raise RefusedError(Refusal.SWAPPED, f"{folder}: under each other's names: {told(changed)}; bring it again")
    if changed:
        raise RefusedError(Refusal.CHANGED, f"{folder}: not as signed: {told(changed)}; bring it again")


def below(folder: Path) -> Iterator[tuple[str, int]]:
    """The name and size, bytes, of every file in a folder and the folders in it.

    Raises:
        RefusedError: something there is neither.
    """
    left = [""]
    while left:
        here = left.pop()
        with os.scandir(folder / here) as entries:
            for entry in entries:
                name, about = f"{here}{entry.name}", entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    left.append(f"{name}/")
                elif stat.S_ISREG(about.st_mode):
                    yield name, about.st_size
                else:
                    line = f"{folder}: no plain file: {told([name])}; a bundle has no links or devices"
                    raise RefusedError(Refusal.NO_FILE, line)


def plain(path: Path) -> BufferedReader:
    """A plain file for reading: no link is followed, and no pipe waited for.

    Raises:
        RefusedError: it is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        if path.is_symlink() or path.is_socket():
            raise RefusedError(Refusal.NO_FILE, f"{path}: a plain file expected") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError(Refusal.NO_FILE, f"{path}: a plain file expected")
    return os.fdopen(descriptor, "rb")


def digest(path: Path) -> str:
    """The SHA-256 of a plain file, in hex."""
    with plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told(names: Collection[str]) -> str:
    """The first of the names, so that no terminal is at their mercy."""
    shown = [name if name.isprintable() else ascii(name) for name in sorted(names)[:3]]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def main(words: Sequence[str]) -> int:
    """Serve the command line; 0, or the code of what was told in one line."""
    if not words[1:]:
        print(__doc__)
        return 0 if words and words[0] in ("-h", "--help") else 2
    try:
        signed = verify(Path(words[0]), [Path(key).read_bytes() for key in words[1:]])
    except RefusedError as error:
        print(f"verify.py: {error}", file=sys.stderr)
        return error.refusal
    except (OSError, ValueError) as error:  # a file that cannot be read, or is no key
        print(f"verify.py: {error}", file=sys.stderr)
        return 1
    print(f"{words[0]}: {len(signed.files)} files, as the key {signed.key} has signed them")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
