"""Shipping what is signed: a device that trusts a key takes nothing else, and never goes back to what was revoked."""

import json
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tasks import files, paths
from tasks.errors import ShippingError, SigningError
from tasks.ship import delivery
from tasks.ship.delivery import Cargo
from tasks.ship.targets import Target
from tasks.sign import fleet, signature
from tasks.sign.device import verify
from tests.shipping import NEW, OLD, back, folder_of, loaded

UNSIGNED, CHANGED, OLDER, FROZEN, REVOKED = (
    verify.Refusal.UNSIGNED,
    verify.Refusal.CHANGED,
    verify.Refusal.OLDER,
    verify.Refusal.FROZEN,
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
        cargo = delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=True)
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
    assert back(begun.target).id == old  # by hand, an older one may run again


@pytest.mark.slow
def test_an_older_bundle_is_refused_and_one_whose_key_was_revoked_never_runs_again(begun: Project) -> None:
    older = delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=True)
    second = ec.generate_private_key(ec.SECP256R1())
    fleet.rotate(paths.FLEET, begun.root, second)
    new = begun.signed(NEW, by=second)
    delivery.ship(begun.target, new)
    with pytest.raises(ShippingError, match=f"it runs {NEW} ") as raised:
        delivery.ship(begun.target, older)
    assert raised.value.code == OLDER
    fleet.revoke(paths.FLEET, verify.fingerprint(begun.release.public_key()), begun.root, second)
    again = begun.signed(OLD, by=second)  # brings the word of it
    delivery.ship(begun.target, again)
    assert back(begun.target).id == new.id
    with pytest.raises(ShippingError, match=f"which was revoked; it runs {NEW} ") as raised:
        back(begun.target)
    assert raised.value.code == REVOKED


def test_a_device_that_runs_it_already_learns_which_keys_count_by_now(
    begun: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = ec.generate_private_key(ec.SECP256R1())
    fleet.rotate(paths.FLEET, begun.root, second)
    new = begun.signed(NEW, by=second)
    delivery.ship(begun.target, new)
    fleet.revoke(paths.FLEET, verify.fingerprint(begun.release.public_key()), begun.root, second)
    assert delivery.ship(begun.target, begun.signed(NEW, by=second)).proof is None  # the very same bundle
    with pytest.raises(ShippingError, match=f"which was revoked; it runs {NEW} ") as raised:
        back(begun.target)
    assert raised.value.code == REVOKED
    with monkeypatch.context() as patch:
        patch.setattr(fleet, "LASTS", fleet.LASTS | {"timestamp": timedelta(seconds=-1)})
        late = begun.signed(NEW, by=second)
    with pytest.raises(ShippingError, match=f"timestamp.json is expired.*; it runs {NEW} ") as raised:
        delivery.ship(begun.target, late)
    assert raised.value.code == FROZEN


def test_what_was_forged_in_the_bundle_that_runs_is_seen_and_goes_by_the_next_shipment(begun: Project) -> None:
    """Its own sums agree: only the signature tells."""
    place = (Path(begun.target.folder) / "current").resolve()
    manifest = json.loads((place / "manifest.json").read_text())
    before = manifest["files"]["README.txt"]["sha256"]
    (place / "README.txt").write_text("forged")
    manifest["files"]["README.txt"] |= {"sha256": files.sha256(place / "README.txt"), "bytes": 6}
    sums = (place / "SHA256SUMS").read_text().replace(before, files.sha256(place / "README.txt"))
    was = files.sha256(place / "manifest.json")
    files.write_json(place / "manifest.json", manifest)
    (place / "SHA256SUMS").write_text(sums.replace(was, files.sha256(place / "manifest.json")))
    assert "cut short: README.txt" in delivery.status(begun.target)["health"]
    assert (
        delivery.ship(begun.target, delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=True)).proof is not None
    )
    assert files.sha256(place / "README.txt") == before
    assert delivery.status(begun.target)["health"] is None


def test_what_is_signed_again_while_it_is_shipped_changes_nothing_of_that(begun: Project) -> None:
    """As by cron, while a large fleet gets its bundle."""
    new = begun.signed(NEW)
    for _ in range(2):
        fleet.publish(paths.FLEET, {}, begun.release)
    assert delivery.ship(begun.target, new).id == new.id
    assert delivery.ship(begun.target, delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=True)).proof is None


def test_a_bundle_made_anew_since_it_was_signed_is_told_before_anything_is_sent(begun: Project) -> None:
    loaded(begun.folder / NEW)
    with pytest.raises(SigningError, match=r"^host-cpu: its bundle is not the one that was signed: `tercet"):
        delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=True)


def test_what_has_to_be_signed_and_is_not_is_told_before_anything_is_sent(begun: Project) -> None:
    (paths.FLEET / "metadata").rename("elsewhere")
    with pytest.raises(SigningError, match="`tercet keys new`"):
        delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=True)
