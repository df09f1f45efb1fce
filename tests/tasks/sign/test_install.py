"""A device's store: what is in it is whole, whatever happens to who fills it."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.sign import fleet
from tasks.sign.device import install, verify
from tasks.sign.device.verify import Refusal
from tests.signed import key

GOLDEN = Path(__file__).resolve().parents[2] / "golden/signed"
# runs the device's side in a process of its own, and ends it as a kill would at the nth of its changes to the disk
KILLED = """
import os, runpy, sys
changes, last = 0, int(sys.argv.pop(1))
def ended(event, arguments):
    global changes
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate"):
        changes += 1
        if changes == last:
            os.kill(os.getpid(), 9)
import tuf.ngclient
sys.path.insert(0, os.getcwd())
sys.addaudithook(ended)
sys.argv[0] = "device.install"
runpy.run_module("device.install", run_name="__main__")
"""


@pytest.fixture
def device(tmp_path):
    """A function that starts the device's side where it lies alone, under another name than here."""
    home = tmp_path / "home"
    shutil.copytree(Path(install.__file__).parent, home / "device")

    def start(*words, python=("-m", "device.install")):
        command = [sys.executable, "-E", "-s", *python, *map(str, words)]
        return subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def ends(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def keys_of(world):
    return [verify.pem(world.release.public_key())]


def whole(world):
    """The bundles in the store; each of them is whole."""
    found = [path for path in (world.store / "bundles").iterdir() if not path.name.startswith(".")]
    for path in found:
        verify.verify(path, keys_of(world))
    return {path.name for path in found}


def test_it_runs_alone(world, device):
    code, _, err = ends(device("take", world.old, world.store, "pi4", world.fleet / "metadata"))
    assert (code, len(err.splitlines())) == (Refusal.OLDER, 1)
    code, out, _ = ends(device(*world.take()))
    assert code == 0
    verify.verify(Path(out.strip()), keys_of(world))
    assert ends(device("take"))[0] == 2
    assert ends(device("take", world.bundle, world.store.with_name("new"), "pi4", world.fleet))[0] == 1


def test_what_model_signing_has_signed_is_taken(world):
    """Its key is one that may sign in the fleet, whose metadata another key has signed."""
    public = verify.public((GOLDEN / "release.pub").read_bytes())
    fleet.rotate(world.fleet, world.root, SimpleNamespace(public_key=lambda: public))
    fleet.publish(world.fleet, {"pi4": (GOLDEN / "bundle/model.sig").read_bytes()}, world.release)
    taken = install.install(GOLDEN / "bundle", world.store, "pi4", world.fleet / "metadata")
    assert (taken / "model.tflite").read_bytes() == (GOLDEN / "bundle/model.tflite").read_bytes()


def test_two_at_once_take_turns(world, device):
    both = [device(*world.take()) for _ in range(2)]
    (one, *_), (other, *_) = told = [ends(process) for process in both]
    assert (one, other) == (0, 0), told
    assert told[0][1] == told[1][1]
    assert len(whole(world)) == 2


def test_a_kill_at_any_step_leaves_whole_bundles(world, device):
    """And what comes after it takes the new one, and leaves nothing of the killed one behind."""
    kept, (before,) = shutil.copytree(world.store, world.store.with_name("kept"), symlinks=True), whole(world)
    codes = []
    for last in range(1, 100, 4):
        code, _, err = ends(device(last, *world.take(), python=("-c", KILLED)))
        codes.append(code)
        assert code in (0, -9), err
        assert before in whole(world)
        assert install.main(world.take()) == 0
        assert len(whole(world)) == 2
        assert len(list((world.store / "bundles").iterdir())) == 2
        shutil.rmtree(world.store)
        shutil.copytree(kept, world.store, symlinks=True)
        if code == 0:
            break
    assert codes[-1] == 0
    assert len(codes) > 8, "at least eight steps were tried"


def test_a_full_disk_leaves_what_was_there(world, capsys, monkeypatch):
    before = whole(world)
    write = install._write

    def full(path, content):
        if path.name == "model.tflite":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(install, "_write", full)
        assert install.main(world.take()) == 30
    assert "No space left on device" in capsys.readouterr().err
    assert whole(world) == before
    assert {path.name for path in (world.store / "bundles").iterdir()} == before
    assert install.main(world.take()) == 0


def test_a_bundle_that_was_damaged_in_the_store_is_replaced(world):
    folder = install.install(world.bundle, world.store, "pi4", world.fleet / "metadata")
    (folder / "labels.txt").write_text("damaged")
    (folder / "more").symlink_to("labels.txt")
    assert install.install(world.bundle, world.store, "pi4", world.fleet / "metadata") == folder
    verify.verify(folder, keys_of(world))


def test_what_a_kill_has_left_of_another_bundle_is_cleared(world):
    left = world.store / "bundles/.0123456789abcdef.new.tmp"
    left.mkdir()
    (left / "model.tflite").write_text("half")
    install.install(world.bundle, world.store, "pi4", world.fleet / "metadata")
    assert not left.exists()


def test_a_source_that_changes_while_it_is_copied(world, capsys, monkeypatch):
    write = install._write

    def changed(path, content):
        if path.name == "model.tflite":
            (world.bundle / "runner/arrays.py").write_bytes(b'"""Hostile"""\n')
        write(path, content)

    before = whole(world)
    monkeypatch.setattr(install, "_write", changed)
    assert install.main(world.take()) == Refusal.CHANGED
    assert whole(world) == before


def test_trust_is_given_once(world, tmp_path):
    first = (world.fleet / "metadata/1.root.json").read_bytes()
    install.trust(world.store, first)
    fleet.create(tmp_path / "strange", key(), key())
    strange = (tmp_path / "strange/metadata/1.root.json").read_bytes()
    with pytest.raises(verify.RefusedError, match="another root is trusted here"):
        install.trust(world.store, strange)
    assert (world.store / "trust/root.json").read_bytes() == first
    with pytest.raises(verify.RefusedError, match="no root"):
        install.trust(tmp_path / "new", strange.replace(b'"version":1', b'"version":2'))
    with pytest.raises(verify.RefusedError, match="no root"):
        install.trust(tmp_path / "new", (world.fleet / "metadata/timestamp.json").read_bytes())
    assert not (tmp_path / "new/trust/root.json").exists()


def test_a_later_root_can_be_trusted_first(world, tmp_path):
    fleet.rotate_root(world.fleet, world.root, key())
    install.trust(tmp_path / "new", (world.fleet / "metadata/2.root.json").read_bytes())
    assert install.install(world.bundle, tmp_path / "new", "pi4", world.fleet / "metadata").is_dir()
