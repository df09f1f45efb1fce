"""Shipping a bundle to one target: it is brought there, made sure of there, and runs, or the target says why not."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tasks import files, paths, records
from tasks.bench import devices
from tasks.bench.kinds import KINDS
from tasks.bench.kinds import ssh as kind
from tasks.bench.locks import hold
from tasks.bench.ssh import Host
from tasks.errors import DataError, DeviceError, ShippingError, SigningError
from tasks.ship import classify
from tasks.ship.link import Link, LostError, Piece, runs, size
from tasks.ship.manifest import Manifest, Program
from tasks.ship.targets import Target
from tasks.sign import fleet, signature
from tasks.sign.device import verify

JUDGES = ("cryptography", "tuf")  # what needs to be there to judge a signature
WINDOW_S = 0.1  # of the timing there
TAKE_S, BACK_S, SETTLE_S, AGAIN_S = 2700.0, 1500.0, 120.0, 1.0  # more than all that is done there may take
Told = Callable[[str], None]


@dataclass(frozen=True)
class Cargo:
    """A bundle, ready to be shipped."""

    device: str
    id: str  # what it is called there
    about: dict[str, Any]  # what is remembered of it there
    bundle: dict[str, Piece]  # by the names of its files
    metadata: dict[str, bytes] | None  # of the fleet, likewise; None: it is not signed
    packages: tuple[str, ...]  # that must be there
    pinned: Path | None  # has their versions, where Tercet's lock has not


@dataclass(frozen=True)
class Delivered:
    """What a target runs after all."""

    id: str
    about: dict[str, Any]  # `device`, `variant`, `bundle_sha256`: of the list of its files
    before: str | None  # what it ran
    seconds: float
    proof: dict[str, Any] | None  # what was found of it there; None: it ran there already
    settled: str | None = None  # of a former shipment that was interrupted


def held(device: str, place: Path) -> Path:
    """A copy of a device's bundle: what a whole fleet gets, though a run makes the bundle anew meanwhile.

    Raises:
        DataError: there is none, or it is empty, or it is not as its list of files says.
    """
    origin, folder = paths.bundle(device), place / device  # what was signed names it
    _filled(device, origin)
    try:
        shutil.copytree(origin, folder)
        listed = classify.sums(folder / classify.SUMS)
        wrong = [name for name, digest in listed.items() if files.sha256(folder / name) != digest]
    except (FileNotFoundError, shutil.Error, classify.UserError):  # a run has put another one in its place
        wrong = [classify.SUMS]
    if wrong:
        line = f"{device}: {origin} is not as {classify.SUMS} says: {', '.join(wrong)}; `tercet run`, or wait for one"
        raise DataError(line)
    return folder


def cargo(device: str, folder: Path, *, signed: bool) -> Cargo:
    """The bundle of a device, which lies in a folder that stays as it is until all have got it.

    Raises:
        DataError: there is none, or it is empty: the line says why.
        SigningError: it has to be signed and is not, or it is not what was signed.
    """
    variant, program = _filled(device, folder)
    bundle: dict[str, Piece] = {path.relative_to(folder).as_posix(): path for path in files.below(folder)}
    name = files.sha256(folder / classify.SUMS)
    about = {"device": device, "variant": variant, "bundle_sha256": name}
    metadata: dict[str, bytes] | None = None
    packages = ["numpy", *(Requirement(each).name for each in program.requires)]
    if signed:
        with files.locked(fleet.LOCK):  # of one state, though it is signed again before all have got it
            bundle[verify.SIGNATURE] = content = _signature(device, folder)
            metadata = fleet.metadata(paths.FLEET)
        name = sha256(content).hexdigest()
        packages += JUDGES
    described = devices.load(device)
    pinned = KINDS.load(getattr(described, "runtime", described.kind)).pinned
    return Cargo(device, name[:16], about, bundle, metadata, tuple(packages), pinned)


def _filled(device: str, folder: Path) -> tuple[str, Program]:
    """The variant of a bundle, and its program."""
    manifest = records.read(Manifest, folder / classify.MANIFEST)
    if manifest.variant is None or manifest.program is None:
        raise DataError(f"{device}: nothing to ship: {manifest.reason}")
    return manifest.variant, manifest.program


def _signature(device: str, folder: Path) -> bytes:
    """The signature of a device's bundle, which is still what was signed."""
    content = fleet.signature(paths.FLEET, device)
    try:
        signed, _, _ = verify.unpacked(content, folder / verify.SIGNATURE)
    except verify.RefusedError as error:
        raise SigningError(str(error)) from None
    if signed != signature.statement(folder):
        raise SigningError(f"{device}: its bundle is not the one that was signed: `tercet sign {device}`")
    return content


def ship(target: Target, what: Cargo, told: Told = lambda _: None) -> Delivered:
    """Have a target run a bundle.

    Args:
        target: where.
        what: the bundle.
        told: is called with a line for each thing that is worth one on the way.

    Raises:
        ShippingError: the target runs what it ran before, for the reason that is told.
        DeviceError: it cannot be reached, or nobody knows what it runs now.
    """
    begun = time.monotonic()
    with Link(target, hold=False) as link:  # what is to be sent may have to be fetched first, which takes its time
        here = link.ask("hello", packages=what.packages)
    load = _load(what, kind.lacking(Host(**here["host"]), target.name, what.packages, what.pinned))
    try:
        with hold(target.lock, exclusive=False), Link(target, hold=True) as link:  # what is measured is not disturbed
            before, settled = link.ask("hello", packages=[])["current"], link.settled
            found = None
            if before == what.id and _is_well(link):
                _renew(link, what, load)
            else:
                found = _deliver(link, what, load, told)
    except LostError as error:
        after = settle(target)
        if after["current"] != what.id or after["turning"]:
            raise ShippingError(f"{error}{runs(after)}") from None
        before, found, settled = here["current"], (after["champion"] or {}).get("proof"), str(error)
    return Delivered(what.id, what.about, before, time.monotonic() - begun, found, settled)


def back(target: Target, leave: Collection[str]) -> Delivered:
    """Have a target run again what it ran before, where it runs one of the bundles that are to be left.

    Where it does not, that is what it is found to run, with no proof; to settle a shipment of one was the step back.

    Raises:
        ShippingError: nothing is there that it ran before, or it fails there now: the target runs what it ran.
        DeviceError: it cannot be reached, or nobody knows what it runs now.
    """
    begun = time.monotonic()
    try:
        with hold(target.lock, exclusive=False), Link(target, hold=True) as link:
            before = link.ask("hello", packages=[])["current"]
            words = {"leave": sorted(leave), "tolerance": target.tolerance, "seconds": WINDOW_S}
            done = link.ask("back", timeout_s=BACK_S, **words)
            return Delivered(
                done["current"], done["about"], before, time.monotonic() - begun, done["proof"], link.settled
            )
    except LostError as error:
        raise ShippingError(f"{error}{runs(settle(target))}") from None


def status(target: Target, *, prove: bool = True) -> dict[str, Any]:
    """What a target runs, as it says: `current`, `champion`, `health` (null: well), `age_s`, `holder`, `turning`.

    `leaves` is the bundle that a step back would leave, also an unconfirmed one, and `before` has those from before it.

    Raises:
        DeviceError: it cannot be reached.
    """
    with Link(target, hold=False) as link:
        return link.ask("status", timeout_s=BACK_S, prove=prove)


def settle(target: Target) -> dict[str, Any]:
    """What a target runs after the connection to it was lost: it finishes what it had begun, or goes back.

    As `status` has it, but for its health.

    Raises:
        DeviceError: it cannot be reached again.
    """
    end = time.monotonic() + SETTLE_S
    while True:
        try:
            with Link(target, hold=True) as link:
                return link.ask("status", prove=False) | {"settled": link.settled}
        except (ShippingError, DeviceError) as error:  # it is still at work on it, or away
            if time.monotonic() > end:
                line = f"{target.name}: what runs there is not known: {error}; `tercet ship --status {target.device}`"
                raise DeviceError(line) from None
        time.sleep(AGAIN_S)


def _is_well(link: Link) -> bool:
    """Whether what a target runs was confirmed, and still does as it should."""
    found = link.ask("status", timeout_s=BACK_S, prove=True)
    return found["health"] is None and found["champion"] is not None


@dataclass(frozen=True)
class Load:
    """What is sent of a cargo: every file once, and the digests of all by their names."""

    pieces: dict[str, Piece]
    bundle: dict[str, str]
    metadata: dict[str, str] | None
    site: str | None  # the archive of packages

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(size, self.pieces.values()))


def _load(what: Cargo, site: Path | None) -> Load:
    bundle, metadata = _digests(what.bundle), _digests(what.metadata or {})
    pieces = {digest: what.bundle[name] for name, digest in bundle.items()}
    pieces |= {digest: (what.metadata or {})[name] for name, digest in metadata.items()}
    packages = files.sha256(site) if site else None
    pieces |= {packages: site} if packages and site else {}
    return Load(pieces, bundle, metadata if what.metadata else None, packages)


def _renew(link: Link, what: Cargo, load: Load) -> None:
    """Have a target that runs a bundle already know what the fleet says by now: which keys count, and until when."""
    if load.metadata is not None:
        link.put(what.id, {digest: load.pieces[digest] for digest in load.metadata.values()})
        link.ask("renew", timeout_s=TAKE_S, device=what.device, fleet=load.metadata)


def _deliver(link: Link, what: Cargo, load: Load, told: Told) -> dict[str, Any]:
    """Bring a bundle there and have it taken; what was found of it there."""

    def went_on(there: int) -> None:
        if there:
            told(f"{link.target.name}: {there >> 10} of {load.size >> 10} KiB were there already")

    link.put(what.id, load.pieces, went_on)
    done = link.ask(
        "take",
        timeout_s=TAKE_S,
        device=what.device,
        about=what.about,
        bundle=load.bundle,
        fleet=load.metadata,
        site=load.site,
        tolerance=link.target.tolerance,
        seconds=WINDOW_S,
        keep=link.target.keep,
    )
    if done["current"] != what.id:
        raise ShippingError(
            f"{link.target.name}: runs {done['current']}, and {what.id} was shipped: what was sent changed"
        )
    return dict(done["proof"])


def _digests(pieces: Mapping[str, Piece]) -> dict[str, str]:
    return {
        name: sha256(piece).hexdigest() if isinstance(piece, bytes) else files.sha256(piece)
        for name, piece in pieces.items()
    }
