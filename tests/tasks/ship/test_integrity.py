"""What a damaged or hostile bundle or input does: one line and status 2, and nothing of it is run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks import files, paths
from tasks.params import Params
from tasks.stages import bundle as stage

Serve = Callable[..., "subprocess.CompletedProcess[str]"]  # of conftest.py


@pytest.fixture
def bundle(ready: Path, params: Params, images: np.ndarray) -> Path:
    """A bundle, and `images.npy` to classify."""
    stage.bundle(params, "host-cpu")
    np.save("images.npy", images)
    return paths.bundle("host-cpu")


def refused(done: "subprocess.CompletedProcess[str]", part: str) -> None:
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert part in done.stderr
    assert len(done.stderr.splitlines()) == 1


def list_again(bundle: Path) -> None:
    """Give the manifest its digest, and leave all others."""
    lines = [line.split("  ") for line in (bundle / "SHA256SUMS").read_text().splitlines()]
    lines = [(files.sha256(bundle / name) if name == "manifest.json" else digest, name) for digest, name in lines]
    (bundle / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for digest, name in lines))


def test_a_flip_in_any_file_is_found(bundle: Path, serve: Serve) -> None:
    every = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != "classify.py")
    assert len(every) == 16
    for path in every:
        whole = path.read_bytes()
        for at in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            done = serve(bundle, "images.npy")
            assert (done.returncode, done.stdout) == (2, ""), (path, at)
            assert len(done.stderr.splitlines()) == 1
        path.write_bytes(whole)
    assert serve(bundle, "images.npy").returncode == 0


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("name", ["numpy.py", "json.py", "pathlib.py", "hashlib.py", "runner/numpy.py"])
def test_a_planted_module_is_never_imported(bundle: Path, serve: Serve, name: str, isolated: bool) -> None:
    (bundle / name).write_text("print('planted')\n")
    refused(serve(bundle, "images.npy", isolated=isolated), f"not part of what was shipped: {name}; move it")


@pytest.mark.parametrize(
    "manifest",
    [[], None, "text", 7, {}, {"files": {}}, {"files": {}, "program": {}}, {"files": [], "program": []}],
    ids=str,
)
def test_a_manifest_that_is_none_is_one_line_with_its_digest_right_or_wrong(
    bundle: Path, serve: Serve, manifest: object
) -> None:
    whole = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    refused(serve(bundle, "images.npy"), "not as it was shipped: manifest.json")
    list_again(bundle)
    refused(serve(bundle, "images.npy"), "manifest.json names no program with module, options, output, serves")
    (bundle / "manifest.json").write_text(json.dumps({**whole, "files": {}}))
    list_again(bundle)
    refused(serve(bundle, "images.npy"), "manifest.json names other files than SHA256SUMS")


def test_a_program_that_lacks_what_the_script_needs_is_one_line(
    bundle: Path, serve: Serve, sealed: Callable[[Path], None]
) -> None:
    whole = json.loads((bundle / "manifest.json").read_text())
    for key in ("module", "serves", "options", "output"):
        program = {name: value for name, value in whole["program"].items() if name != key}
        (bundle / "manifest.json").write_text(json.dumps({**whole, "program": program}))
        sealed(bundle)
        refused(serve(bundle, "images.npy"), "names no program with module, options, output, serves")
    (bundle / "manifest.json").write_text(json.dumps({**whole, "program": {**whole["program"], "options": {}}}))
    sealed(bundle)
    refused(serve(bundle, "images.npy"), "kernels")


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"\xff\xfe", b"0" * 64 + b"  manifest.json\n"])
def test_a_list_of_digests_that_is_none_is_one_line(bundle: Path, serve: Serve, content: bytes) -> None:
    (bundle / "SHA256SUMS").write_bytes(content)
    refused(serve(bundle, "images.npy"), "out/bundles/host-cpu")
    (bundle / "SHA256SUMS").unlink()
    refused(serve(bundle, "images.npy"), "SHA256SUMS: no list of a bundle's files")


@pytest.mark.parametrize("shape", ["(844424930131968, 1024)", "(2, 8, 8, 99999999)", "(-1, 8, 8, 1)", "('a',)"])
def test_an_array_that_promises_what_it_does_not_hold_is_one_line(bundle: Path, serve: Serve, shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    Path("hostile.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    refused(serve(bundle, "hostile.npy"), "classify.py: ")


def test_a_signature_lies_beside_the_files(bundle: Path, serve: Serve) -> None:
    (bundle / "model.sig").write_text("whatever it says, this script does not look")
    assert serve(bundle, "images.npy").returncode == 0


def test_a_manifest_runs_nothing_from_outside(bundle: Path, serve: Serve) -> None:
    manifest = files.read_json(bundle / "manifest.json")
    outside = bundle.parent.resolve() / "elsewhere.tflite"
    outside.write_bytes((bundle / manifest["program"]["serves"]).read_bytes())
    for name in ("../elsewhere.tflite", str(outside)):
        files.write_json(bundle / "manifest.json", manifest | {"program": manifest["program"] | {"serves": name}})
        list_again(bundle)
        refused(serve(bundle, "images.npy"), "manifest.json runs a file that was not shipped")
