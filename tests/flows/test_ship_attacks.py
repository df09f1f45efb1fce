"""What somebody between `tercet ship` and a device offers: it takes none, and the command's code says why.

The same attacks on a device's store by itself are in tests/tasks/sign/test_attacks.py.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from flows import cli, ship
from tasks import files, paths
from tasks.ship import delivery
from tasks.ship.delivery import Cargo
from tasks.sign import fleet, signature
from tasks.sign.device import verify
from tasks.sign.device.verify import Refusal
from tests.shipping import NEW, OLD, changed, folder_of, settings
from tests.signed import key

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "host-cpu"
TWINS = {"one.txt": b"left", "two.txt": b"rite"}  # of one size


@dataclass(frozen=True)
class Between:
    """What somebody has who sees all that goes to the device, and the keys of whoever is honest."""

    folder: Path  # of the bundles' files
    older: Cargo  # what the device ran before, as it was signed
    first: Path  # the fleet as it was when the first key counted
    good: Cargo  # what it shall run next
    stolen: ec.EllipticCurvePrivateKey  # which has been revoked since
    release: ec.EllipticCurvePrivateKey


def signed(folder: Path, by: ec.EllipticCurvePrivateKey) -> Cargo:
    """A bundle as the newest that the device shall run; its files stay in a folder of their own."""
    place = paths.bundle(DEVICE)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)
    fleet.publish(paths.FLEET, {DEVICE: signature.sign(place, by)}, by)
    return held(delivery.cargo(DEVICE, paths.bundle(DEVICE), signed=True))


def held(cargo: Cargo) -> Cargo:
    """The same by its content: nothing that happens to the project changes it."""
    content = {name: piece if isinstance(piece, bytes) else piece.read_bytes() for name, piece in cargo.bundle.items()}
    return replace(cargo, bundle=content, metadata=fleet.metadata(paths.FLEET))


@pytest.fixture(scope="module")
def begun(cargoes: dict[str, Cargo], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Between]:
    """A project whose device has seen a key revoked, then one bundle, then a newer one, which it runs."""
    home = tmp_path_factory.mktemp("between")
    with pytest.MonkeyPatch.context() as patch:
        (home / "project").mkdir()
        patch.chdir(home / "project")
        patch.setattr(delivery, "WINDOW_S", 0.0)
        shutil.copyfile(ROOT / "dvc.yaml", "dvc.yaml")
        Path("params.yaml").write_text(yaml.safe_dump(settings(**{DEVICE: {"folder": "store", "keep": 1}}).known()))
        old, new = (folder_of(cargoes[name]) for name in (OLD, NEW))
        root, stolen, release = key(), key(), key()
        fleet.create(paths.FLEET, root, stolen)
        signed(old, stolen)
        first = shutil.copytree(paths.FLEET, home / "first")
        fleet.rotate(paths.FLEET, root, release)
        fleet.revoke(paths.FLEET, verify.fingerprint(stolen.public_key()), root, release)
        older = signed(old, release)
        target = ship.targets.of(settings(**{DEVICE: {"folder": "store", "keep": 1}}), DEVICE)[0]
        delivery.ship(target, signed(new, release))
        next_one = shutil.copytree(old, home / "next")
        changed(next_one, lambda _: None, TWINS)
        good = signed(next_one, release)
    return home / "project", Between(home, older, first, good, stolen, release)


@pytest.fixture
def tercet(
    begun: tuple[Path, Between], project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Cargo], tuple[int, str]]:
    """The command, which brings what is put in the place of the bundle; its code, and what it says."""
    shutil.copytree(begun[0], project, symlinks=True, dirs_exist_ok=True)
    monkeypatch.setattr(delivery, "WINDOW_S", 0.0)
    monkeypatch.setattr(sys, "argv", ["tercet", "ship", DEVICE])

    def run(cargo: Cargo) -> tuple[int, str]:
        monkeypatch.setattr(delivery, "held", lambda *_: Path())  # whoever attacks does not ask this machine
        monkeypatch.setattr(delivery, "cargo", lambda *_, **__: cargo)
        code = cli.main()
        return code, capsys.readouterr().out

    return run


def with_file(cargo: Cargo, name: str, content: bytes) -> Cargo:
    return replace(cargo, bundle={**cargo.bundle, name: content})


def content(cargo: Cargo, name: str) -> bytes:
    piece = cargo.bundle[name]
    assert isinstance(piece, bytes)
    return piece


def flipped(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])


def swapped(it: Between) -> Cargo:
    one, two = TWINS
    return replace(it.good, bundle={**it.good.bundle, one: TWINS[two], two: TWINS[one]})


def frozen(it: Between) -> Cargo:
    """The newest, whose timestamp nobody has renewed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet, "LASTS", fleet.LASTS | {"timestamp": timedelta(seconds=-1)})
        fleet.publish(paths.FLEET, {}, it.release)
    return replace(it.good, metadata=fleet.metadata(paths.FLEET))


def mixed(it: Between) -> Cargo:
    """The newest timestamp over the snapshot before it."""
    told, before = dict(it.good.metadata or {}), it.older.metadata or {}
    newest, old = (next(name for name in each if name.endswith(".snapshot.json")) for each in (told, before))
    return replace(it.good, metadata={**told, newest: before[old]})


def revoked(it: Between) -> Cargo:
    """What the thief of a key says is newer than all."""
    for _ in range(9):
        fleet.publish(it.first, {}, it.stolen)
    own = fleet.signature(it.first, DEVICE)
    return replace(it.older, bundle={**it.older.bundle, verify.SIGNATURE: own}, metadata=fleet.metadata(it.first))


def wrong_key(it: Between) -> Cargo:
    payload, _, _ = verify.unpacked(content(it.good, verify.SIGNATURE), Path(verify.SIGNATURE))
    stranger = key()
    own = stranger.sign(verify.encoded(payload), verify.algorithm(stranger.public_key()))
    sealed = verify.envelope(payload, own, verify.fingerprint(stranger.public_key()))
    return with_file(it.good, verify.SIGNATURE, sealed)


def unsigned(it: Between) -> Cargo:
    return replace(it.good, bundle={name: it.good.bundle[name] for name in it.good.bundle if name != verify.SIGNATURE})


def outside(it: Between) -> Cargo:
    """The right key has signed a manifest that nobody careful would write."""
    folder = Path("outside")
    for name in it.good.bundle.keys() - {verify.SIGNATURE}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content(it.good, name))
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(
        text.replace('"files": {', '"files": {"../../../outside": {"sha256": "00", "bytes": 1}, ', 1)
    )
    return signed(folder, it.release)


ATTACKS: dict[Refusal, Callable[[Between], Cargo]] = {
    Refusal.CHANGED: lambda it: with_file(it.good, "model.tflite", flipped(content(it.good, "model.tflite"))),
    Refusal.SWAPPED: swapped,
    Refusal.OLDER: lambda it: it.older,
    Refusal.FROZEN: frozen,
    Refusal.MIXED: mixed,
    Refusal.REVOKED_KEY: revoked,
    Refusal.WRONG_KEY: wrong_key,
    Refusal.UNSIGNED: unsigned,
    Refusal.CUT: lambda it: with_file(it.good, "model.tflite", content(it.good, "model.tflite")[:-1]),
    Refusal.OUTSIDE: outside,
}


def state(store: Path) -> tuple[str, dict[str, str]]:
    """What a device runs, and all that it would run."""
    return str((store / "current").readlink()), {
        path.relative_to(store).as_posix(): files.sha256(path) for path in files.below(store / "bundles")
    }


@pytest.mark.parametrize("refusal", ATTACKS, ids=lambda each: each.name)
def test_no_attack_is_taken_and_each_has_its_code(
    refusal: Refusal, begun: tuple[Path, Between], tercet: Callable[[Cargo], tuple[int, str]], project: Path
) -> None:
    before = state(project / "store")
    code, said = tercet(ATTACKS[refusal](begun[1]))
    assert code == refusal, said
    assert said.startswith(f"failed: {project}/store: ")
    assert len(said.splitlines()) == 1, "and no alias moves"
    assert f"; it runs {NEW} (" in said
    assert state(project / "store") == before


@pytest.mark.slow
def test_a_flipped_byte_in_any_file_is_not_taken_and_what_is_right_is(
    begun: tuple[Path, Between],
    tercet: Callable[[Cargo], tuple[int, str]],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, before = begun[1].good, state(project / "store")
    for name in good.bundle:
        code, said = tercet(with_file(good, name, flipped(content(good, name))))
        allowed = {Refusal.DAMAGED, Refusal.FORGED} if name == verify.SIGNATURE else {Refusal.CHANGED}
        assert code in allowed, said
        assert state(project / "store") == before
    assert len(good.bundle) > 10
    monkeypatch.setattr(ship, "_register", lambda _: None)
    code, said = tercet(good)
    assert code == 0, said
    assert f": runs {OLD} (" in said
    assert delivery.status(ship.targets.of(settings(**{DEVICE: {"folder": "store"}}), DEVICE)[0])["health"] is None
