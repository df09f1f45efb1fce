"""`tercet keys` and `tercet sign`, by what they print, make and refuse."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from flows import cli
from tasks import files, paths
from tasks.sign import fleet, keys
from tasks.sign.device import install, verify

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = {"module": "litert", "options": {}, "output": "scores", "serves": "model.tflite"}
WORDS = "correct horse battery staple"


@pytest.fixture
def place(project, tmp_path_factory, monkeypatch):
    """The folder of keys; the working directory is a project."""
    shutil.copyfile(ROOT / "dvc.yaml", "dvc.yaml")
    for name in (keys.PASSPHRASE, keys.PASSPHRASE_FILE):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path_factory.mktemp("config") / "keys"
    monkeypatch.setenv(keys.FOLDER, str(folder))
    return folder


@pytest.fixture
def tercet(place, monkeypatch, capsys):
    """The command in this process: the exit code, what it prints, what it says on standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tercet", *words])
        code = cli.main()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def bundle(device, text="one", **about):
    """A bundle as the stage leaves it."""
    folder = paths.bundle(device)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"variant": "int8", "program": PROGRAM, "reason": "least"} | about
    (folder / "model.tflite").write_text(text)
    listed = {"model.tflite": files.sha256(folder / "model.tflite")}
    told = {name: {"sha256": digest, "bytes": len(text)} for name, digest in listed.items()}
    (folder / "manifest.json").write_text(json.dumps(about | {"files": told}))
    listed = {"manifest.json": files.sha256(folder / "manifest.json")} | listed
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in listed.items()))
    return folder


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_from_no_key_to_a_device_that_takes_what_is_signed(tercet, place, tmp_path):
    code, out, err = tercet("keys", "new")
    assert (code, err) == (0, "")
    root, release = re.fullmatch(r"root (\w{16}) and release (\w{16}): in .*\n", out).groups()
    assert f"in {place}, not encrypted, as TERCET_KEYS_PASSPHRASE is not set; commit fleet/" in out
    made, before = bundle("pi4"), content_of(bundle("pi5"))
    bundle("mcu", variant=None, program=None, reason="nothing fits")
    code, out, err = tercet("sign")
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        "mcu: nothing to sign: nothing fits",
        f"pi4: int8, signed by {release}",
        f"pi5: int8, signed by {release}",
    ]
    assert re.fullmatch(r"state 2, good until \d{4}-\d\d-\d\d; commit fleet/", out.splitlines()[3])
    assert content_of(paths.bundle("pi5")) == before, "what a stage has made stays as it is"
    arrived = shutil.copytree(made, tmp_path / "arrived")
    (arrived / verify.SIGNATURE).write_bytes(fleet.signature(paths.FLEET, "pi4"))
    verify.verify(arrived, [(paths.FLEET / "keys" / f"{release}.pub").read_bytes()])
    install.trust(tmp_path / "store", (paths.FLEET / "metadata/1.root.json").read_bytes())
    assert install.install(arrived, tmp_path / "store", "pi4", paths.FLEET / "metadata").is_dir()
    code, out, _ = tercet("keys")
    assert (code, out.splitlines()[:2]) == (
        0,
        [f"root     {root}  {place}/{root}.pem", f"release  {release}  {place}/{release}.pem"],
    )


def test_a_key_is_rotated_and_revoked(tercet, place):
    tercet("keys", "new")
    bundle("pi4"), bundle("pi5")
    tercet("sign")
    (old,) = fleet.release_keys(paths.FLEET)
    assert tercet("keys", "revoke", old[:8])[2] == (
        "tercet: fleet: no other key may sign: `tercet keys rotate` first\n"
    )
    code, out, _ = tercet("keys", "rotate")
    assert (code, f"until they are revoked {old[:16]} count as well" in out) == (0, True)
    tercet("sign", "pi4")
    code, out, _ = tercet("keys", "revoke", old[:8].upper())
    assert (code, "to be signed again: `tercet sign pi5`" in out) == (0, True)
    assert tercet("keys")[1].count(f"revoked  {old[:16]}") == 1
    assert tercet("keys", "rotate", "root")[0] == 0
    assert tercet("sign", "pi5")[0] == 0


def test_what_is_wrong_is_one_line(tercet, place, monkeypatch):
    told = "tercet: fleet: no keys sign for this project yet: `tercet keys new`\n"
    for words in (["keys"], ["sign"], ["keys", "rotate"], ["keys", "revoke", "abcd"]):
        assert tercet(*words) == (1, "", told)
    tercet("keys", "new")
    assert "the project has keys; `tercet keys rotate`" in tercet("keys", "new")[2]
    (known,) = fleet.release_keys(paths.FLEET)
    for words in (["keys", "revoke"], ["keys", "revoke", known[:3]], ["keys", "revoke", "zzzzzz"]):
        code, out, err = tercet(*words)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert f"received {words[2]!r}; allowed: " in err if words[2:] else "received nothing; allowed: " in err
    assert tercet("keys", "rotate", "all")[2] == "tercet: root or release expected; received 'all'\n"
    bundle("pi4")
    assert "no bundle is made for 'pi5'" in tercet("sign", "pi5")[2]
    (paths.bundle("pi4") / "model.tflite").write_text("two")
    code, _, err = tercet("sign")
    assert (code, "not as it was shipped: model.tflite" in err) == (1, True)
    monkeypatch.setenv(keys.FOLDER, "keys")
    assert "could be committed or copied with it" in tercet("sign")[2]
    monkeypatch.setenv(keys.FOLDER, str(place.parent / "others"))
    assert "the private key is not on this machine" in tercet("sign")[2]


def test_no_secret_is_told(tercet, place, monkeypatch):
    monkeypatch.setenv(keys.PASSPHRASE, WORDS)
    bundle("pi4")
    told = [*tercet("keys", "new"), *tercet("sign"), *tercet("keys", "rotate"), *tercet("keys")]
    monkeypatch.setenv(keys.PASSPHRASE, "another secret")
    told += [*tercet("sign")]
    text = "".join(map(str, told))
    assert "encrypted by another passphrase" in text
    assert WORDS not in text
    assert "another secret" not in text
    everything = b"".join(content_of(Path()).values())
    assert b"PRIVATE" not in everything
    assert WORDS.encode() not in everything


def test_two_that_sign_at_once_each_make_a_state(tercet):
    import threading

    from flows.sign import sign

    tercet("keys", "new")
    for device in ("pi4", "pi5", "pi6"):
        bundle(device)
    threads = [threading.Thread(target=lambda device=device: list(sign([device]))) for device in ("pi4", "pi5", "pi6")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert fleet.timestamp(paths.FLEET).version == 4
    assert len(fleet.current_targets(paths.FLEET)) == 3
