"""The bundle: what is in it, and that it classifies with nothing else."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks import files, paths
from tasks.classify import Classifier
from tasks.deploy import deploy
from tasks.errors import DataError
from tasks.params import Params
from tasks.records import Comparison, Row, read
from tasks.track import contents

ROOT = Path(__file__).resolve().parents[3]
CLASSES = ["north", "east", "söuth", "west"]
IMAGE = {"kind": "image", "shape": [8, 8, 1], "mean": [0.0], "scale": [255.0]}
# runs a script with no package in reach but those in a folder, and tells on stderr what it imported
ALONE = """
import runpy, sys
folder, script, *arguments = sys.argv[1:]
sys.path.append(folder)
sys.argv = [script, *arguments]
try:
    runpy.run_path(script, run_name="__main__")
finally:
    print("IMPORTED", *{name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names, file=sys.stderr)
"""


@pytest.fixture
def ready(shipped: Path) -> Path:
    """The project with the catalog of devices and the preprocessing of 8×8 images."""
    shutil.copytree(ROOT / "infra/devices", paths.DEVICES)
    described = {
        "schema_version": 1,
        "inputs": {"image": IMAGE},
        "targets": {"label": {"kind": "class", "classes": CLASSES}},
    }
    files.write_json(paths.DATA / "preprocess.json", described)
    return shipped


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds numpy and the runtime, and nothing else that was installed."""
    folder = tmp_path_factory.mktemp("packages")
    for package in ("numpy", "ai_edge_litert"):
        spec = importlib.util.find_spec(package)
        assert spec
        assert spec.origin
        home = Path(spec.origin).parent
        for path in (home, home.with_name(f"{package}.libs")):
            if path.exists():
                (folder / path.name).symlink_to(path)
    return folder


def classify(
    bundle: Path, source: str, *, alone: Path | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    start = ["-I", "-S", "-c", ALONE, str(alone)] if alone else ["-I"]
    command = [sys.executable, *start, str(bundle / "classify.py"), source]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin, check=False)


def directly(model: Path, images: "np.ndarray") -> list[int]:
    """The classes by the interpreter alone, with the arithmetic of quantization written out."""
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        real = image[np.newaxis].astype(np.float32) / np.float32(255)
        scale, zero = taken["quantization"]
        if taken["dtype"] == np.int8:
            real = np.clip(np.rint(real / scale) + zero, -128, 127)
        interpreter.set_tensor(taken["index"], real.astype(taken["dtype"]))
        interpreter.invoke()
        found.append(int(interpreter.get_tensor(given["index"]).argmax()))
    return found


def images() -> "np.ndarray":
    """Noise in some quarters of the image, so that the classes differ."""
    rng = np.random.default_rng(0)
    lit = rng.integers(0, 2, (24, 2, 2, 1)).repeat(4, axis=1).repeat(4, axis=2)
    return (rng.integers(0, 256, (24, 8, 8, 1)) * lit).astype(np.uint8)


def test_the_shipped_script_forgets_each_example_before_the_next() -> None:
    sequences = np.random.default_rng(5).normal(size=(6, 5, 2)).astype(np.float32)
    path = ROOT / "tests/golden/recurrent.tflite"
    expected = [next(Classifier(path, "default").scores(sequence[None])) for sequence in sequences]
    np.testing.assert_array_equal(list(Classifier(path, "default").scores(sequences)), expected)


def test_the_bundle_classifies_with_numpy_and_the_runtime_alone(ready: Path, params: Params, alone: Path) -> None:
    deploy(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("images.npy", images())
    done = classify(bundle, "images.npy", alone=alone)
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.partition("IMPORTED")[2].split())
    assert {"numpy", "ai_edge_litert"} <= imported
    assert not imported & {"tasks", "flows", "tensorflow", "pydantic", "yaml"}
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expected = directly(paths.artifact("int8") / "model.tflite", images())
    assert len(set(expected)) > 1, "the check would be empty"
    assert [line["index"] for line in lines] == expected
    assert [line["label"] for line in lines] == [CLASSES[index] for index in expected]
    assert all(set(line) == {"label", "index", "score"} for line in lines)
    assert sorted(path.name for path in bundle.iterdir()) == [  # nothing was left behind by running it
        *("README.txt", "classify.py", "manifest.json", "model.tflite", "preprocess.json", "preprocess.py"),
    ]


def test_the_manifest_says_what_is_shipped_and_why(ready: Path, params: Params) -> None:
    deploy(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["variant"] == "int8"
    assert manifest["within_budget"] is True
    assert manifest["budget"]["max_quality_drop"] == 0.01
    assert manifest["distances"] == {"quality_drop": 0.0}
    quality = {"metric": "accuracy", "value": 0.97, "low": 0.95, "high": 0.98, "n": 360, "validation": 0.98}
    assert manifest["figures"]["quality"] == quality
    assert manifest["figures"]["latency"]["provenance"] == "measured"
    assert manifest["figures"]["latency"]["ms_p50"] == 0.5
    assert manifest["figures"]["energy"]["mj"] is None
    assert manifest["artifact_sha256"] == files.sha256(paths.artifact("int8") / "model.tflite")
    assert manifest["files"] == {
        path.name: files.sha256(path) for path in bundle.iterdir() if path.name != "manifest.json"
    }
    assert len((bundle / "README.txt").read_text().splitlines()) == 5
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    deploy(params, "host-cpu")
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_an_accelerator_gets_its_compiled_file_and_a_stand_in(ready: Path, params: Params) -> None:
    deploy(params, "ethos-u55-128")
    bundle = paths.bundle("ethos-u55-128")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["variant"] == "int8"
    assert (manifest["kernels"], manifest["stand_in"]) == ("reference", "the host")
    assert b"ethos-u" in (bundle / "model_vela.tflite").read_bytes()
    assert "model_vela.tflite" in manifest["files"]
    assert "model_vela.tflite" in (bundle / "README.txt").read_text()
    np.save("image.npy", images()[0])  # one example, without a batch axis
    done = classify(bundle, "image.npy")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_texts_come_from_a_file_or_from_standard_input(ready: Path, params: Params) -> None:
    text = {"kind": "text", "length": 5, "vocabulary": ["[padding]", "[unknown]", "a", "b", "c", "d", "e"]}
    target = {"label": {"kind": "class", "classes": ["no", "yes"]}}
    files.write_json(paths.DATA / "preprocess.json", {"schema_version": 1, "inputs": {"text": text}, "targets": target})
    deploy(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    replace(bundle, "model.tflite", ROOT / "tests/golden/tokens.tflite")
    Path("lines.txt").write_text("a b c\nunheard d\n", encoding="utf-8")
    interpreter = Interpreter(str(bundle / "model.tflite"))
    interpreter.allocate_tensors()
    expected = []
    for tokens in ([2, 3, 4, 0, 0], [1, 5, 0, 0, 0]):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([tokens], np.int32))
        interpreter.invoke()
        expected.append(int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax()))
    for done in (classify(bundle, "lines.txt"), classify(bundle, "-", stdin="a b c\nunheard d\n")):
        assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == expected, done.stderr


def test_arrays_are_classified_as_the_images_that_they_are(ready: Path, params: Params) -> None:
    np.save("images.npy", images())
    np.save("numbers.npy", images().astype(np.float64))
    np.save("number.npy", images()[0].astype(np.float64))
    deploy(params, "host-cpu")
    expected = classify(paths.bundle("host-cpu"), "images.npy").stdout
    described = json.loads((paths.DATA / "preprocess.json").read_text())
    described["inputs"] = {name: {**IMAGE, "kind": "array", "dtype": "float32"} for name in described["inputs"]}
    files.write_json(paths.DATA / "preprocess.json", described)
    deploy(params, "host-cpu")
    assert classify(paths.bundle("host-cpu"), "numbers.npy").stdout == expected
    assert classify(paths.bundle("host-cpu"), "number.npy").stdout == expected.splitlines(keepends=True)[0]


def replace(bundle: Path, name: str, content: Path) -> None:
    """Put another file into a bundle, and its digest into the manifest."""
    shutil.copyfile(content, bundle / name)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = files.sha256(content)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_a_wrong_use_is_told_in_one_line(ready: Path, params: Params) -> None:
    deploy(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("small.npy", np.zeros((2, 4, 4, 1), np.uint8))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    Path("broken.npy").write_bytes(b"")
    wrong = {
        "absent.npy": "absent.npy",
        "small.npy": "expected; received uint8 [2, 4, 4, 1]",
        "objects.npy": "allow_pickle",
        "broken.npy": "No data left",
        "text.txt": "this model reads images",
    }
    for source, part in wrong.items():
        done = classify(bundle, source)
        assert done.returncode == 2
        assert part in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    replace(bundle, "model.tflite", ROOT / "tests/golden/two.tflite")
    np.save("images.npy", images())
    done = classify(bundle, "images.npy")
    assert (done.returncode, "2 inputs and 2 outputs" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["model.tflite", "preprocess.py"])
def test_a_changed_or_missing_file_is_refused_before_it_is_used(ready: Path, params: Params, name: str) -> None:
    deploy(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("images.npy", images())
    (bundle / name).write_bytes((bundle / name).read_bytes() + b"\nprint('changed')\n")
    done = classify(bundle, "images.npy")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"not as it was shipped: {name}" in done.stderr
    (bundle / name).unlink()
    done = classify(bundle, "images.npy")
    assert (done.returncode, done.stdout) == (2, "")
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_champion_the_manifest_says_why(ready: Path, params: Params) -> None:
    refusing = params.model_copy(
        update={"deploy": params.deploy.model_validate({"budgets": {"host-cpu": {"minimize": "energy_mj"}}})}
    )
    deploy(params, "host-cpu")
    deploy(refusing, "host-cpu")
    assert [path.name for path in paths.bundle("host-cpu").iterdir()] == ["manifest.json"]
    manifest = json.loads((paths.bundle("host-cpu") / "manifest.json").read_text())
    assert manifest["variant"] is manifest["figures"] is None
    assert "energy_mj" in manifest["reason"]


def test_a_pair_that_failed_leaves_what_was_shipped_and_its_alias(
    ready: Path, params: Params, make_row: Callable[..., Row]
) -> None:
    for device in params.benchmark.devices:
        deploy(params, device)
    before = {path: path.read_bytes() for path in paths.BUNDLES.rglob("*") if path.is_file()}
    aliases = [entry for entry in contents.collect(params) if isinstance(entry, contents.Alias)]
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    away = make_row("late", latency_ms=None, status="error", reason="the board does not answer")
    comparison.model_copy(update={"rows": (*comparison.rows, away)}).save(paths.REPORT / "comparison.json")
    with pytest.raises(DataError, match="late: the board does not answer; out/bundles/host-cpu stays as it was"):
        deploy(params, "host-cpu")
    deploy(params, "ethos-u55-128")  # all of its pairs are known
    assert {path: path.read_bytes() for path in paths.BUNDLES.rglob("*") if path.is_file()} == before
    assert [entry for entry in contents.collect(params) if isinstance(entry, contents.Alias)] == aliases


def test_an_artifact_that_is_not_the_measured_one_is_not_shipped(ready: Path, params: Params) -> None:
    deploy(params, "host-cpu")
    shutil.copyfile(paths.artifact("float32") / "model.tflite", paths.artifact("int8") / "model.tflite")
    with pytest.raises(DataError, match="was measured"):
        deploy(params, "host-cpu")
    assert (paths.bundle("host-cpu") / "model.tflite").exists(), "the old bundle stays"
