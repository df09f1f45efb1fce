"""Shipping what is signed: a device that trusts a key takes nothing else, and never goes back to what was revoked."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tasks import paths
from tasks.errors import ShippingError, SigningError
from tasks.ship import delivery
from tasks.ship.delivery import Cargo
from tasks.ship.targets import Target
from tasks.sign import fleet, signature
from tasks.sign.device import verify
from tests.shipping import NEW, OLD, folder_of, loaded

UNSIGNED, CHANGED, OLDER, REVOKED = (
    verify.Refusal.UNSIGNED,
    verify.Refusal.CHANGED,
    verify.Refusal.OLDER,
    verify.Refusal.REVOKED_KEY,
)


@dataclass(frozen=True)
class Project:
    """A project with keys, two and a device that runs the old one."""

    folder: Path  # of the bundles
    target: Target
    root: ec.EllipticCurvePrivateKey
    release: ec.EllipticCurvePrivateKey

    def signed(self, variant: str, by: ec.EllipticCurvePrivateKey | None = None) -> Cargo:
        """A bundle, as the newest that the device may run."""
        loaded(self.folder / variant)
        key = by or self.release
        fleet.publish(paths.FLEET, {"host-cpu": signature.sign(paths.bundle("host-cpu"), key)}, key)
        cargo = delivery.cargo("host-cpu", signed=True)
        own = {name: self.folder / variant / name for name, piece in cargo.bundle.items() if isinstance(piece, Path)}
        return replace(cargo, bundle={**cargo.bundle, **own})

    def refused(self, cargo: Cargo) -> int:
        """Why the device does not take a bundle, in a code; it runs what it ran."""
        before = delivery.status(self.target)["current"]
        with pytest.raises(ShippingError, match=rf"^{self.target.name}: .*; it runs {OLD} \({before}\)$") as raised:
            delivery.ship(self.target, cargo)
        after = delivery.status(self.target)
        assert (after["current"], after["health"]) == (before, None)
        return raised.value.code


@pytest.fixture
def begun(project: Path, cargoes: dict[str, Cargo], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose device runs a signed bundle."""
    monkeypatch.setattr(delivery, "WINDOW_S", 0.0)
    root, release = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    fleet.create(paths.FLEET, root, release)
    target = Target("host-cpu", None, str(project / "store"), sys.executable, keep=2, tolerance=1.5)
    found = Project(folder_of(cargoes[OLD]).parent, target, root, release)
    done = delivery.ship(target, found.signed(OLD))
    assert done.proof is not None
    return found


def test_what_is_signed_is_verified_there_and_nothing_else_is_taken(begun: Project) -> None:
    store = Path(begun.target.folder)
    assert (store / "current" / "model.sig").read_bytes() == fleet.signature(paths.FLEET, "host-cpu")
    assert (store / "trust" / "root.json").read_bytes() == (paths.FLEET / "metadata" / "1.root.json").read_bytes()
    old, new = delivery.status(begun.target)["current"], begun.signed(NEW)
    flipped = bytearray(Path(str(new.bundle["model.tflite"])).read_bytes())
    flipped[7] ^= 1
    damaged = replace(new, bundle={**new.bundle, "model.tflite": bytes(flipped)})
    assert begun.refused(damaged) == CHANGED
    unsigned = loaded(begun.folder / NEW)
    assert begun.refused(unsigned) == UNSIGNED
    assert begun.refused(replace(unsigned, metadata=new.metadata)) == UNSIGNED  # though the fleet's word comes with it
    assert delivery.ship(begun.target, new).before == old
    assert delivery.back(begun.target).id == old  # by hand, an older one may run again


@pytest.mark.slow
def test_an_older_bundle_is_refused_and_one_whose_key_was_revoked_never_runs_again(begun: Project) -> None:
    older = delivery.cargo("host-cpu", signed=True)
    kept = {name: Path(str(piece)).read_bytes() for name, piece in (older.metadata or {}).items()}
    second = ec.generate_private_key(ec.SECP256R1())
    fleet.rotate(paths.FLEET, begun.root, second)
    new = begun.signed(NEW, by=second)
    delivery.ship(begun.target, new)
    with pytest.raises(ShippingError, match=f"it runs {NEW} ") as raised:
        delivery.ship(begun.target, replace(older, metadata=dict(kept)))
    assert raised.value.code == OLDER
    fleet.revoke(paths.FLEET, verify.fingerprint(begun.release.public_key()), begun.root, second)
    again = begun.signed(OLD, by=second)  # brings the word of it
    delivery.ship(begun.target, again)
    assert delivery.back(begun.target).id == new.id
    with pytest.raises(ShippingError, match=f"which was revoked; it runs {NEW} ") as raised:
        delivery.back(begun.target)
    assert raised.value.code == REVOKED


def test_what_has_to_be_signed_and_is_not_is_told_before_anything_is_sent(begun: Project) -> None:
    (paths.FLEET / "metadata").rename("elsewhere")
    with pytest.raises(SigningError, match="`tercet keys new`"):
        delivery.cargo("host-cpu", signed=True)
