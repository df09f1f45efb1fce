"""The format is that of sigstore's model-signing: what its command wrote is accepted, and ours is written alike."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SigningError
from tasks.sign import fleet, signature
from tasks.sign.device import install, verify
from tasks.sign.device.verify import Refusal
from tests.signed import key, make_bundle, sign

GOLDEN = Path(__file__).resolve().parents[2] / "golden/signed"  # by `model_signing sign key` 1.1.1, with defaults
PUBLIC = GOLDEN / "release.pub"


def payload_of(content):
    return json.loads(verify.unpacked(content, Path("model.sig"))[0])


def test_what_model_signing_has_signed_is_accepted():
    signed = verify.verify(GOLDEN / "bundle", [PUBLIC.read_bytes()])
    assert sorted(signed.files) == ["labels.txt", "model.tflite", "runner.md", "runner/arrays.py"]


def test_a_statement_says_what_that_of_model_signing_says():
    theirs = payload_of((GOLDEN / "bundle/model.sig").read_bytes())
    ours = json.loads(signature.statement(GOLDEN / "bundle"))
    sizes = ours["predicate"].pop("sizes")  # which others ignore
    for each in (theirs, ours):
        each["predicate"]["serialization"]["ignore_paths"].sort()
    assert ours == theirs
    assert sizes == {name: (GOLDEN / "bundle" / name).stat().st_size for name in sizes}


def test_an_envelope_is_written_as_by_model_signing():
    content = (GOLDEN / "bundle/model.sig").read_bytes()
    assert verify.envelope(*verify.unpacked(content, PUBLIC)) == content


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_a_signature_holds_and_is_the_same_again(tmp_path, curve):
    made, by = make_bundle(tmp_path / "bundle"), ec.generate_private_key(curve())
    assert sign(made, by) == sign(made, by)
    signed = verify.verify(made, [verify.pem(key().public_key()), verify.pem(by.public_key())])
    assert signed.key == verify.fingerprint(by.public_key())


NAMES = st.text("abc.ä_", min_size=1, max_size=4).filter(lambda name: name.strip("."))
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=9), min_size=1)


@given(files=TREES, data=st.data())
def test_any_folder_holds_as_signed_and_no_other_does(tmp_path_factory, files, data):
    """One file of it changed, renamed, taken away or added."""
    names = sorted(name for name in files if not any(other.startswith(f"{name}/") for other in files))
    folder, by = tmp_path_factory.mktemp("tree"), key()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files[name])
    sign(folder, by)
    keys = [verify.pem(by.public_key())]
    assert list(verify.verify(folder, keys).files) == sorted(names, key=PurePosixPath)
    path, how = (
        folder / data.draw(st.sampled_from(names)),
        data.draw(st.sampled_from(["change", "rename", "drop", "add"])),
    )
    if how == "change":
        path.write_bytes(data.draw(st.binary(max_size=9).filter(lambda content: content != path.read_bytes())))
    elif how == "rename":
        path.rename(folder / "another name")
    elif how == "drop":
        path.unlink()
    else:
        shutil.copyfile(path, folder / "another name")
    with pytest.raises(verify.RefusedError):
        verify.verify(folder, keys)


ROOT = {"name": "bundle", "digest": {"sha256": "00" * 32}}  # not the digest of the digests


@pytest.mark.parametrize("changes", [{"_type": "x"}, {"predicateType": "x"}, {"subject": []}, {"subject": [ROOT]}])
@pytest.mark.parametrize("inner", [{}, {"method": "shards"}, {"algorithm": "blake2b"}])
def test_another_statement_is_refused(tmp_path, changes, inner):
    """Signed by the right key, and of another format or way of hashing."""
    made, by = make_bundle(tmp_path / "bundle"), key()
    statement = json.loads(signature.statement(made))
    statement |= changes if not inner else {}
    statement["predicate"]["serialization"] |= {name: inner[name] for name in inner if name == "method"}
    statement["predicate"]["resources"][0] |= {name: inner[name] for name in inner if name == "algorithm"}
    payload = json.dumps(statement).encode()
    signed = by.sign(verify.encoded(payload), verify.algorithm(by.public_key()))
    content = verify.envelope(payload, signed, verify.fingerprint(by.public_key()))
    (made / verify.SIGNATURE).write_bytes(content)
    with pytest.raises(verify.RefusedError) as error:
        verify.verify(made, [verify.pem(by.public_key())])
    assert error.value.refusal == Refusal.DAMAGED


def test_nothing_is_signed_that_would_be_refused(tmp_path):
    made = make_bundle(tmp_path / "bundle")
    (made / "link").symlink_to("labels.txt")
    with pytest.raises(SigningError, match="no plain file: link"):
        signature.sign(made, key())
    (made / "link").rename(made / ".gitignore")
    (made / ".gitignore").unlink()
    (made / ".gitignore").write_text("")
    with pytest.raises(SigningError, match=r"leaves \.gitignore unsigned"):
        signature.sign(made, key())


@pytest.fixture
def device(tmp_path):
    """A function that runs the verifier where it lies alone, with no path to the project."""
    script = shutil.copyfile(verify.__file__, tmp_path / "verify.py")

    def run(*words):
        command = [sys.executable, "-I", script, *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_it_runs_alone(device, tmp_path):
    made, by = make_bundle(tmp_path / "bundle"), key()
    (tmp_path / "release.pub").write_bytes(verify.pem(by.public_key()))
    assert device().returncode == 2
    assert device("bundle").returncode == 2
    assert device("--help").stdout.startswith("Whether a bundle is what somebody has signed.")
    refused = device("bundle", "release.pub")
    assert (refused.returncode, refused.stderr) == (10, "verify.py: bundle: not signed: there is no model.sig\n")
    sign(made, by)
    assert device("bundle", "release.pub").returncode == 0
    assert device("bundle", PUBLIC).returncode == 13
    assert device("bundle", PUBLIC, "release.pub").returncode == 0
    assert device("bundle", "absent.pub").returncode == 1
    assert device("bundle", "bundle/labels.txt").stderr == (
        "verify.py: a public key (PEM) on P-256, P-384 or P-521 expected\n"
    )


def test_it_imports_nothing_but_the_standard_library_and_cryptography():
    code = f"import sys; sys.path.insert(0, {str(Path(verify.__file__).parent)!r}); import verify; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    known = {name.partition(".")[0] for name in done.stdout.split()}
    before = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, timeout=60
    )
    others = known - sys.stdlib_module_names - {name.partition(".")[0] for name in before.stdout.split()}
    assert {name for name in others if not name.startswith("_")} == {"verify", "cryptography"}


@pytest.mark.slow
def test_model_signing_itself_takes_what_is_signed_here_and_the_other_way_round(tmp_path):
    pytest.importorskip("model_signing", reason="uv pip install --group model-signing")
    made, by = make_bundle(tmp_path / "bundle"), key()
    private, public = tmp_path / "release.pem", tmp_path / "release.pub"
    private.write_bytes(by.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(verify.pem(by.public_key()))

    def model_signing(*words):
        command = [sys.executable, "-I", "-m", "model_signing", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
        return done.returncode, done.stdout + done.stderr

    ours = sign(made, by)
    words = ("verify", "key", made, "--public_key", public, "--signature")
    assert model_signing(*words, made / "model.sig") == (0, "Verification succeeded\n")
    detached = tmp_path / "elsewhere.sig"
    detached.write_bytes(ours)
    assert model_signing(*words, detached) == (0, "Verification succeeded\n"), (
        "ours also holds from outside of the folder"
    )
    (made / "labels.txt").write_text("changed")
    code, said = model_signing(*words, made / "model.sig")
    assert (code, "Hash mismatch for 'labels.txt'" in said) == (1, True)
    code, said = model_signing("sign", "key", made, "--private_key", private, "--signature", made / "model.sig")
    assert (code, said) == (0, "Signing succeeded\n")
    assert verify.verify(made, [public.read_bytes()]).files["labels.txt"] == verify.digest(made / "labels.txt")
    fleet.create(tmp_path / "fleet", key(), by)
    fleet.publish(tmp_path / "fleet", {"pi4": (made / "model.sig").read_bytes()}, by)
    install.trust(tmp_path / "store", (tmp_path / "fleet/metadata/1.root.json").read_bytes())
    assert install.install(made, tmp_path / "store", "pi4", tmp_path / "fleet/metadata").is_dir()
