"""What is offered to a device and must not be taken: each attack has its own exit code and its own line."""

import json
import os
import shutil
import socket
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sign import fleet, signature
from tasks.sign.device import install, verify
from tasks.sign.device.verify import Refusal
from tests.signed import key, sign


def held(store):
    return sorted(path.relative_to(store).as_posix() for path in (store / "bundles").rglob("*"))


@pytest.fixture
def refused(world, capsys):
    """A function that offers something to pi4, and sees the refusal, its line, and the store as it was."""

    def offer(refusal, part, **what):
        before = held(world.store)
        code = install.main(world.take(**what))
        said = capsys.readouterr()
        assert (code, said.out) == (refusal, ""), said
        assert len(said.err.splitlines()) == 1
        assert part in said.err
        assert held(world.store) == before

    return offer


def taken(world, capsys):
    """What is right is taken, after whatever was refused."""
    assert install.main(world.take()) == 0, capsys.readouterr()
    folder = capsys.readouterr().out.strip()
    assert verify.digest(world.store / "bundles" / folder / "model.tflite") == verify.digest(
        world.bundle / "model.tflite"
    )


def test_every_attack_of_the_table_has_a_code_of_its_own():
    table = ("CHANGED", "SWAPPED", "OLDER", "FROZEN", "MIXED", "REVOKED_KEY", "WRONG_KEY", "UNSIGNED", "CUT", "OUTSIDE")
    codes = {Refusal[name] for name in table}
    assert len(codes) == len(table)
    assert not codes & {0, 1, 2}
    assert len(set(Refusal)) == len(Refusal.__members__), "an alias is no code of its own"


def test_the_right_bundle_is_taken(world, capsys):
    taken(world, capsys)
    taken(world, capsys)


def test_a_flipped_byte_in_any_file(world, refused, capsys):
    every = [name for name, _ in verify.below(world.bundle) if name != verify.SIGNATURE]
    assert len(every) == 6
    for name in every:
        path, whole = world.bundle / name, (world.bundle / name).read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            refused(Refusal.CHANGED, f"not as signed: {name}")
        path.write_bytes(whole)
    taken(world, capsys)


def test_a_statement_that_the_key_has_not_signed(world, refused):
    """The signature of another bundle under what this one is to be."""
    (world.bundle / "labels.txt").write_text("hostile\n")
    ours, theirs = (verify.unpacked(verify.signature_in(each), each) for each in (world.other, world.bundle))
    payload = signature.statement(world.bundle)
    for signed in (ours[1], theirs[1], b"", b"\x30\x06\x02\x01\x00\x02\x01\x00"):
        (world.bundle / verify.SIGNATURE).write_bytes(verify.envelope(payload, signed, theirs[2]))
        refused(Refusal.FORGED, "has not signed this")


@pytest.fixture
def signature_of(made, tmp_path):
    """A function that verifies a bundle under another content of its signature."""
    folder, keys = shutil.copytree(made.bundle, tmp_path / "bundle"), [verify.pem(made.release.public_key())]

    def verified(content):
        (folder / verify.SIGNATURE).write_bytes(content)
        return verify.verify(folder, keys)

    return verified


def test_a_flipped_byte_anywhere_in_the_signature(made, signature_of):
    """Blanks, case, base64 digits that say nothing: every byte counts."""
    whole, codes = (made.bundle / verify.SIGNATURE).read_bytes(), set()
    for at in range(len(whole)):
        with pytest.raises(verify.RefusedError) as error:
            signature_of(whole[:at] + bytes([whole[at] ^ (1, 0x20, 0x80)[at % 3]]) + whole[at + 1 :])
        codes.add(error.value.refusal)
    assert codes == {Refusal.DAMAGED, Refusal.FORGED, Refusal.WRONG_KEY}
    assert signature_of(whole).content == whole


@given(st.data())
def test_any_change_of_the_signature_is_refused(made, signature_of, data):
    content = (made.bundle / verify.SIGNATURE).read_bytes()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    changed = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
    if changed != content:
        with pytest.raises(verify.RefusedError):
            signature_of(changed)


def test_swapped_names(world, refused):
    one, two = world.bundle / "labels.txt", world.bundle / "runner/litert.py"
    swap(one, two)
    refused(Refusal.CUT, "cut short: ")  # their sizes tell them apart before their contents
    two.write_bytes(b"north\nwest\n")  # of the same size
    swap(one, two)
    one.write_bytes(b"north\neast\n")
    two.write_bytes(b"north\nwest\n")
    sign(world.bundle, world.release)
    swap(one, two)
    refused(Refusal.SWAPPED, "under each other's names: labels.txt, runner/litert.py")


def swap(one, two):
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def test_the_bundle_of_another_device(world, refused, capsys):
    refused(Refusal.MIXED, "the bundle of pi5, and not of pi4", source=world.other)
    taken(world, capsys)


def test_an_older_version(world, refused, capsys):
    refused(Refusal.OLDER, "once signed, but not what pi4 shall run now", source=world.old)
    refused(Refusal.OLDER, "older than what was seen here", source=world.old, metadata=world.old_fleet / "metadata")
    taken(world, capsys)


def test_frozen(world, refused, capsys, monkeypatch):
    """Metadata that nobody has renewed; they were right once."""
    with monkeypatch.context() as patch:
        patch.setattr(fleet, "LASTS", fleet.LASTS | {"timestamp": timedelta(seconds=-1)})
        fleet.publish(world.fleet, {}, world.release)
    refused(Refusal.FROZEN, "timestamp.json is expired")
    fleet.publish(world.fleet, {}, world.release)
    taken(world, capsys)


def test_an_expired_root(world, refused, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fleet, "LASTS", fleet.LASTS | {"root": timedelta(seconds=-1)})
        fleet.rotate(world.fleet, world.root, key())
    refused(Refusal.FROZEN, "root.json is expired")
    fleet.rotate_root(world.fleet, world.root, key())
    taken(world, capsys)


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_mixed_states(world, refused, capsys, role):
    new, old = (next(each.glob(f"metadata/*.{role}.json")) for each in (world.fleet, world.old_fleet))
    whole = new.read_bytes()
    new.write_bytes(old.read_bytes())
    refused(Refusal.MIXED, "metadata of several states")
    new.write_bytes(whole)
    taken(world, capsys)


def test_a_bundle_of_two_versions(world, refused):
    shutil.copyfile(world.old / "labels.txt", world.bundle / "labels.txt")
    refused(Refusal.CUT, "cut short: labels.txt")
    (world.bundle / "labels.txt").write_bytes(b"up\ndown\n...")
    refused(Refusal.CHANGED, "not as signed: labels.txt")


def test_a_revoked_key(world, refused, capsys):
    stolen, fresh = world.release, key()
    before = shutil.copytree(world.fleet, world.fleet.with_name("before"))
    fleet.rotate(world.fleet, world.root, fresh)
    again = fleet.revoke(world.fleet, verify.fingerprint(stolen.public_key()), world.root, fresh)
    assert sorted(again) == ["pi4", "pi5"]
    refused(Refusal.UNKNOWN, "no bundle for pi4")
    shutil.copyfile(world.fleet / "metadata/2.root.json", before / "metadata/2.root.json")
    refused(Refusal.REVOKED_KEY, "which was revoked", metadata=before / "metadata")  # a state that was right once
    fleet.publish(before, {}, stolen)
    refused(Refusal.REVOKED_KEY, "which was revoked", metadata=before / "metadata")  # what the thief says is new
    fleet.publish(world.fleet, {"pi4": fleet.signature(before, "pi4")}, fresh)
    refused(Refusal.REVOKED_KEY, f"signed by the key {verify.fingerprint(stolen.public_key())}, which was revoked")
    fleet.publish(world.fleet, {"pi4": sign(world.bundle, fresh)}, fresh)
    taken(world, capsys)


def test_a_wrong_key(world, refused, capsys, tmp_path):
    own, root = sign(world.bundle, key()), key()
    refused(Refusal.WRONG_KEY, "trusted here: ")
    stranger = key()
    fleet.create(tmp_path / "strange", root, stranger)
    fleet.publish(tmp_path / "strange", {"pi4": own}, stranger)
    fleet.publish(tmp_path / "strange", {"pi4": sign(world.bundle, stranger)}, stranger)
    refused(Refusal.WRONG_KEY, "metadata signed by ", metadata=tmp_path / "strange/metadata")
    shutil.copyfile(tmp_path / "strange/metadata/1.root.json", tmp_path / "strange/metadata/2.root.json")
    refused(Refusal.WRONG_KEY, "metadata signed by ", metadata=tmp_path / "strange/metadata")
    sign(world.bundle, world.release)
    taken(world, capsys)


def test_a_missing_signature(world, refused):
    (world.bundle / verify.SIGNATURE).unlink()
    refused(Refusal.UNSIGNED, "not signed: there is no model.sig")


def test_truncated_metadata(world, refused, capsys):
    for role in ("timestamp", "snapshot", "targets"):  # what was seen before is not asked for again
        path = next(each for each in (world.fleet / "metadata").iterdir() if role in each.name)
        whole = path.read_bytes()
        path.unlink()
        refused(Refusal.CUT, f"metadata not whole: bring them again ({path}: not there)")
        path.write_bytes(whole[:-1])
        refused(Refusal.METADATA if role == "timestamp" else Refusal.MIXED, "metadata ")
        path.write_bytes(whole)
    taken(world, capsys)


def test_a_truncated_upload(world, refused, capsys):
    """Cut within each file in turn, and what would have come after it not there."""
    order = sorted(name for name, _ in verify.below(world.bundle) if name != verify.SIGNATURE)
    whole = {name: (world.bundle / name).read_bytes() for name in order}
    for at, name in enumerate(order):
        (world.bundle / name).write_bytes(whole[name][:-1])
        refused(Refusal.CUT, f"cut short: {name}")
        for later in order[at + 1 :]:
            (world.bundle / later).unlink()
        if order[at + 1 :]:
            refused(Refusal.CUT, "missing: ")
        for each in order:
            (world.bundle / each).write_bytes(whole[each])
    path = world.bundle / verify.SIGNATURE
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    refused(Refusal.DAMAGED, "no signature in the format")
    path.write_bytes(content)
    taken(world, capsys)


OUTSIDE = ["/etc/passwd", "../labels.txt", "runner/../../x", "./labels.txt", "runner//arrays.py", "", "..", "a\\b"]
OUTSIDE += ["model.sig", "labels.txt\n", "runner/"]


def signed_statement(world, names):
    """A signature by the right key over a statement that nobody careful would sign."""
    statement = json.loads(signature.statement(world.bundle))
    predicate = statement["predicate"]
    predicate["resources"] += [{"name": name, "algorithm": "sha256", "digest": "00" * 32} for name in names]
    digests = b"".join(bytes.fromhex(each["digest"]) for each in predicate["resources"])
    statement["subject"][0]["digest"]["sha256"] = verify.hashlib.sha256(digests).hexdigest()
    payload, release = json.dumps(statement).encode(), world.release
    signed = release.sign(verify.encoded(payload), verify.algorithm(release.public_key()))
    return verify.envelope(payload, signed, verify.fingerprint(release.public_key()))


@pytest.mark.parametrize("name", [*OUTSIDE, "labels.txt"])
def test_a_statement_that_names_a_path_outside(world, refused, name):
    """Or one file twice."""
    (world.bundle / verify.SIGNATURE).write_bytes(signed_statement(world, [name]))
    refused(Refusal.OUTSIDE, "twice among its names" if name == "labels.txt" else "is no name of a file in the bundle")


@pytest.mark.parametrize("name", [*OUTSIDE, "labels.txt"])
def test_a_manifest_that_names_a_path_outside(world, refused, name):
    text = (world.bundle / "manifest.json").read_text()
    (world.bundle / "manifest.json").write_text(text.replace('"files": {', f'"files": {{{json.dumps(name)}: "00", '))
    sign(world.bundle, world.release)
    refused(Refusal.OUTSIDE, "manifest.json: ")


def special_files(folder):
    """What is no plain file, at a path: those of which this user may make one."""
    outside = folder.parent / "outside"
    outside.write_bytes((folder / "labels.txt").read_bytes())
    yield lambda path: path.symlink_to(outside)
    yield lambda path: path.symlink_to("classify.py")
    yield lambda path: path.symlink_to(outside.parent)
    yield os.mkfifo

    def bind(path):
        with socket.socket(socket.AF_UNIX) as listening:
            os.chdir(path.parent)  # such names may only be short
            listening.bind(path.name)

    yield bind
    with suppress(PermissionError):
        os.mknod(folder.parent / "zero", 0o020666, os.makedev(1, 5))
        yield lambda path: os.mknod(path, 0o020666, os.makedev(1, 5))


@pytest.mark.parametrize("name", ["labels.txt", verify.SIGNATURE, "runner", "more"])
def test_what_is_no_plain_file(world, refused, capsys, monkeypatch, name):
    monkeypatch.chdir(world.bundle.parent)
    path, kept = world.bundle / name, world.bundle.parent / "kept"
    if path.exists():
        path.rename(kept)
    for make in special_files(world.old):
        make(path)
        refused(Refusal.NO_FILE, "plain file")
        path.unlink()
    if kept.exists():
        kept.rename(path)
    taken(world, capsys)


def test_a_file_that_was_not_signed(world, refused):
    (world.bundle / "runner/numpy.py").write_text("print('planted')")
    refused(Refusal.STRANGE, "not part of what was signed: runner/numpy.py")


def test_metadata_that_are_none(world, refused):
    (world.fleet / "metadata/timestamp.json").write_text("[" * 15000)
    refused(Refusal.METADATA, "metadata damaged")
    (world.fleet / "metadata/timestamp.json").write_text("{" * 100_000)
    refused(Refusal.MIXED, "metadata of several states")


def test_forged_metadata(world, refused):
    path = world.fleet / "metadata/timestamp.json"
    path.write_text(path.read_text().replace('"version":3', '"version":9'))
    refused(Refusal.FORGED, "metadata damaged or forged")


def test_names_from_a_bundle_do_not_steer_the_terminal(world, refused):
    (world.bundle / "\x1b[2J\n").write_text("")
    refused(Refusal.STRANGE, r"'\x1b[2J\n'")
