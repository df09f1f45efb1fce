"""The metadata of a fleet through its life: what a device that missed some of it still takes."""

import json
import shutil
from itertools import pairwise

import pytest

from tasks.errors import SigningError
from tasks.sign import fleet
from tasks.sign.device import install, verify
from tests.signed import key, make_bundle, sign


def name_of(one):
    return verify.fingerprint(one.public_key())


def take(world):
    return install.install(world.bundle, world.store, "pi4", world.fleet / "metadata")


def test_a_device_that_slept_through_every_rotation_follows(world, tmp_path):
    roots, releases = [world.root, key(), key()], [world.release, key(), key()]
    for root, new in pairwise(roots):
        fleet.rotate_root(world.fleet, root, new)
    for new in releases[1:]:
        fleet.rotate(world.fleet, roots[-1], new)
    assert fleet.release_keys(world.fleet) == [name_of(each) for each in releases]
    fleet.publish(world.fleet, {"pi4": sign(world.bundle, releases[-1])}, releases[-1])
    fleet.revoke(world.fleet, name_of(releases[0]), roots[-1], releases[-1])
    new = tmp_path / "new"
    install.trust(new, (world.fleet / "metadata/1.root.json").read_bytes())
    for store in (world.store, new):
        taken = install.install(world.bundle, store, "pi4", world.fleet / "metadata")
        assert (taken / "labels.txt").read_bytes() == (world.bundle / "labels.txt").read_bytes()
    gone = [name_of(each) for each in (world.root, releases[0], roots[1])]
    assert sorted(fleet.revoked_keys(world.fleet)) == sorted(gone)


def test_who_has_an_old_root_key_cannot_name_keys(world):
    other = key()
    before = shutil.copytree(world.fleet, world.fleet.with_name("before"))
    fleet.rotate_root(world.fleet, world.root, other)
    take(world)
    fleet.rotate(before, world.root, key())  # the same number, by the former key
    fleet.rotate(before, world.root, key())
    fleet.publish(before, {}, world.release)
    with pytest.raises(verify.RefusedError, match="forged"):
        install.install(world.bundle, world.store, "pi4", before / "metadata")


def test_after_a_rotation_both_keys_count_until_one_is_revoked(world):
    new = key()
    fleet.rotate(world.fleet, world.root, new)
    take(world)
    content = sign(make_bundle(world.bundle, labels__txt=b"new\n"), new)
    fleet.publish(world.fleet, {"pi4": content}, new)
    take(world)
    assert fleet.revoke(world.fleet, name_of(world.release), world.root, new) == ["pi5"]
    take(world)
    assert fleet.signature(world.fleet, "pi4") == content
    with pytest.raises(SigningError, match="pi5: its bundle is not signed"):
        fleet.signature(world.fleet, "pi5")
    assert [path.name for path in (world.fleet / "keys").iterdir()] == [f"{name_of(new)[:16]}.pub"]
    assert (world.fleet / "keys" / f"{name_of(new)[:16]}.pub").read_bytes() == verify.pem(new.public_key())
    with pytest.raises(SigningError, match="may not sign here"):
        fleet.publish(world.fleet, {}, world.release)


def test_only_the_present_state_is_kept_and_every_root(world):
    for _ in range(2):
        fleet.publish(world.fleet, {"pi4": sign(world.bundle, world.release)}, world.release)
    names = {path.name for path in (world.fleet / "metadata").iterdir()}
    assert names == {"1.root.json", "5.snapshot.json", "5.targets.json", "timestamp.json"}
    assert len(list((world.fleet / "targets").iterdir())) == 2


def test_a_kill_while_it_is_published_leaves_the_state_before(world, monkeypatch):
    """Whatever file was the last to be written."""
    content = sign(make_bundle(world.bundle, labels__txt=b"new\n"), world.release)
    state = json.loads((world.fleet / "metadata/timestamp.json").read_text())
    for last in range(4):
        written = []

        def killed(path, signed, *by, write=fleet._write, last=last, written=written):
            if len(written) == last:
                raise KeyboardInterrupt
            written.append(path)
            return write(path, signed, *by)

        with monkeypatch.context() as patch:
            patch.setattr(fleet, "_write", killed)
            if last < 3:
                with pytest.raises(KeyboardInterrupt):
                    fleet.publish(world.fleet, {"pi4": content}, world.release)
                assert json.loads((world.fleet / "metadata/timestamp.json").read_text()) == state
                assert fleet.signature(world.fleet, "pi4") != content
            else:
                fleet.publish(world.fleet, {"pi4": content}, world.release)
    take(world)


def test_a_kill_while_a_key_is_revoked_can_be_made_good(world, monkeypatch):
    """Between the new state and the new root: devices still take what there is, and the key is revoked again."""
    new, old = key(), name_of(world.release)
    fleet.rotate(world.fleet, world.root, new)
    fleet.publish(world.fleet, {"pi4": sign(world.bundle, new)}, new)
    with monkeypatch.context() as patch:
        patch.setattr(fleet, "_renew", lambda *words: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fleet.revoke(world.fleet, old, world.root, new)
    take(world)
    fleet.revoke(world.fleet, old, world.root, new)
    assert fleet.release_keys(world.fleet) == [name_of(new)]
    take(world)


def test_damaged_files_are_told(world):
    path = world.fleet / "metadata/3.targets.json"
    path.write_text(path.read_text().replace('"length":', '"length":1'))
    with pytest.raises(SigningError, match=r"3.targets.json: damaged: .*; take it back from version control"):
        fleet.publish(world.fleet, {}, world.release)
    path.unlink()
    with pytest.raises(SigningError, match=r"3\.targets\.json: damaged"):
        fleet.signature(world.fleet, "pi4")
    (world.fleet / "metadata/1.root.json").write_text("{}")
    with pytest.raises(SigningError, match=r"1\.root\.json: damaged"):
        fleet.current_root(world.fleet)


def test_without_a_fleet(tmp_path):
    with pytest.raises(SigningError, match="`tercet keys new`"):
        fleet.release_key(tmp_path)
    assert not fleet.is_begun(tmp_path)
