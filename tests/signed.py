"""Bundles to sign, and a fleet that a device belongs to."""

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from tasks.sign import signature
from tasks.sign.device import verify

FILES = {"classify.py": b"print(1)\n", "labels.txt": b"north\neast\n", "model.tflite": bytes(range(256)) * 20}
FILES |= {"runner/arrays.py": b'"""Arrays."""\n', "runner/litert.py": b'"""LiteRT."""\n'}


@dataclass(frozen=True)
class World:
    """Folders that a test may change, and keys."""

    bundle: Path  # that pi4 shall run now
    old: Path  # that it ran before
    other: Path  # that pi5 shall run
    fleet: Path
    old_fleet: Path  # as it was with `old`
    store: Path  # of pi4
    root: ec.EllipticCurvePrivateKey
    release: ec.EllipticCurvePrivateKey

    def take(self, source: Path | None = None, metadata: Path | None = None) -> list[str]:
        """The command line by which pi4 takes a bundle."""
        return ["take", *map(str, (source or self.bundle, self.store)), "pi4", str(metadata or self.fleet / "metadata")]


def key():
    return ec.generate_private_key(ec.SECP256R1())


def make_bundle(folder, **changes):
    """A folder of files, with the manifest that lists them."""
    content = FILES | {name.replace("__", "."): text for name, text in changes.items()}
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    told = {name: {"sha256": verify.digest(folder / name), "bytes": len(text)} for name, text in content.items()}
    manifest = {"variant": "int8", "files": told}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def sign(folder, by):
    content = signature.sign(folder, by)
    (folder / verify.SIGNATURE).write_bytes(content)
    return content
