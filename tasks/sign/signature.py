"""Signing a folder, so that `device/verify.py` and `model_signing verify key` of sigstore accept it."""

import hashlib
import json
from pathlib import Path, PurePosixPath

from cryptography.hazmat.primitives.asymmetric import ec

from tasks.errors import SigningError
from tasks.sign.device import verify

IGNORED = [verify.SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore"]  # as model_signing's command has it


def sign(folder: Path, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The content of the `model.sig` of a folder; the same folder and key give the same bytes (RFC 6979).

    Raises:
        SigningError: a link or a device lies in it, or a file whose name would be refused.
    """
    payload = statement(folder)
    how = ec.ECDSA(verify.algorithm(key.public_key()).algorithm, deterministic_signing=True)
    return verify.envelope(payload, key.sign(verify.encoded(payload), how), verify.fingerprint(key.public_key()))


def statement(folder: Path) -> bytes:
    """What is signed of a folder: the in-toto statement that names each file with its SHA-256 and its size, bytes."""
    try:
        found = {name: size for name, size in verify.below(folder) if name != verify.SIGNATURE}
        verify.check_names(list(found), folder)
    except verify.RefusedError as error:
        raise SigningError(str(error)) from None
    names = sorted(found, key=PurePosixPath)
    if hidden := [name for name in names if name.split("/")[0] in IGNORED]:
        raise SigningError(f"{folder}: model_signing leaves {', '.join(hidden)} unsigned; move it elsewhere")
    digests = {name: verify.digest(folder / name) for name in names}
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests.values())).hexdigest()
    how = {"method": "files", "allow_symlinks": False, "hash_type": "sha256", "ignore_paths": IGNORED}
    resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in digests.items()]
    whole = {
        "_type": verify.STATEMENT,
        "subject": [{"name": folder.resolve().name, "digest": {"sha256": root}}],
        "predicateType": verify.PREDICATE,
        "predicate": {"serialization": how, "resources": resources, "sizes": {name: found[name] for name in names}},
    }
    return json.dumps(whole, indent=2).encode()
