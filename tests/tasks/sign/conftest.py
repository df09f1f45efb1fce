"""A fleet of two devices whose first bundle was followed by a second one, and a device that has seen the first."""

import shutil
from pathlib import Path

import pytest

from tasks.sign import fleet
from tasks.sign.device import install
from tests.signed import World, key, make_bundle, sign


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> World:
    """Made once; nobody changes it."""
    home, root, release = tmp_path_factory.mktemp("fleet"), key(), key()
    old, bundle, other = (home / name for name in ("old", "bundle", "other"))
    world = World(bundle, old, other, home / "fleet", home / "old_fleet", home / "store", root, release)
    fleet.create(world.fleet, root, release)
    install.trust(world.store, (world.fleet / "metadata/1.root.json").read_bytes())
    signed = {"pi4": sign(make_bundle(old, labels__txt=b"up\ndown\n"), release)}
    fleet.publish(world.fleet, signed | {"pi5": sign(make_bundle(other, labels__txt=b"left\n"), release)}, release)
    shutil.copytree(world.fleet, world.old_fleet)
    install.install(old, world.store, "pi4", world.fleet / "metadata")
    fleet.publish(world.fleet, {"pi4": sign(make_bundle(bundle), release)}, release)
    return world


@pytest.fixture
def world(made, tmp_path) -> World:
    folders = {name: tmp_path / path.name for name, path in vars(made).items() if isinstance(path, Path)}
    for name, path in folders.items():
        shutil.copytree(getattr(made, name), path, symlinks=True)
    return World(**folders, root=made.root, release=made.release)
