"""`tercet sign`: sign the bundles of a project for its fleet. What is in `out/` stays as it is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks import files, paths
from tasks.errors import SigningError, WordsError, suggest
from tasks.ship import classify
from tasks.sign import fleet, signature
from tasks.sign.device.verify import fingerprint
from tasks.sign.keys import SHOWN


def sign(devices: Sequence[str]) -> Iterator[str]:
    """Sign what is made for these devices, or for all, as the newest that there is; a line of each.

    Raises:
        WordsError: nothing is made for one of them.
        SigningError: the project has no keys, none is here, or a bundle is damaged.
    """
    key = fleet.release_key(paths.FLEET)
    made = {path.parent.name: path.parent for path in sorted(paths.BUNDLES.glob(f"*/{classify.MANIFEST}"))}
    for device in devices:
        if device not in made:
            raise WordsError(f"no bundle is made for {device!r} (`tercet run`); {suggest(device, made)}")
    manifests = {device: _manifest(made[device]) for device in devices or made}
    signed = {device: signature.sign(made[device], key) for device, about in manifests.items() if about["variant"]}
    with files.locked(fleet.LOCK):
        number = fleet.publish(paths.FLEET, signed, key)
    name = fingerprint(key.public_key())[:SHOWN]
    for device, about in manifests.items():
        told = f"{about['variant']}, signed by {name}" if device in signed else f"nothing to sign: {about['reason']}"
        yield f"{device}: {told}"
    until = fleet.timestamp(paths.FLEET).expires
    yield f"state {number}, good until {until:%Y-%m-%d}; commit {paths.FLEET}/"


def _manifest(folder: Path) -> dict[str, Any]:
    """What a bundle's manifest says, once its files are as they were made."""
    about: dict[str, Any] = files.read_json(folder / classify.MANIFEST) or {"variant": None, "reason": "no manifest"}
    if about["variant"]:
        try:
            classify.checked(folder)
        except classify.UserError as error:
            raise SigningError(f"{error} (`tercet run` makes it)") from None
    return about
