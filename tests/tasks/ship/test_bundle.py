"""The bundle: what is in it, and that it classifies with nothing else."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks import files, paths
from tasks.errors import DataError
from tasks.params import Params
from tasks.records import Comparison, Energy, Judged, Latency, Row, read
from tasks.stages import bundle as stage
from tasks.track import contents, entries
from tests.bundles import CLASSIFICATION, IMAGES, champion, prepared
from tests.phases import changed

ROOT = Path(__file__).resolve().parents[3]
Serve = Callable[..., "subprocess.CompletedProcess[str]"]  # of conftest.py
Sealed = Callable[[Path], None]  # likewise


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


def test_the_bundle_classifies_with_numpy_and_the_runtime_alone(
    ready: Path, params: Params, alone: Callable[..., Path], serve: Serve, images: np.ndarray
) -> None:
    stage.bundle(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("images.npy", images)
    done = serve(bundle, "images.npy", alone=alone("ai_edge_litert"))
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.partition("IMPORTED")[2].split())
    assert {"numpy", "ai_edge_litert"} <= imported
    assert not imported & {"tasks", "flows", "tensorflow", "pydantic", "yaml"}
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    classes = json.loads((paths.DATA / "preprocess.json").read_text())["targets"]["label"]["classes"]
    expected = directly(paths.artifact("int8") / "model.tflite", images)
    assert len(set(expected)) > 1, "the check would be empty"
    assert [line["index"] for line in lines] == expected
    assert [line["label"] for line in lines] == [classes[index] for index in expected]
    assert all(set(line) == {"label", "index", "score"} for line in lines)
    assert sorted(path.name for path in bundle.iterdir()) == [  # nothing was left behind by running it
        *(
            "LICENSE-tercet.txt",
            "MODEL_CARD.md",
            "README.txt",
            "SHA256SUMS",
            "classify.py",
            "examples.npz",
            "examples.outputs.npz",
            "images.py",
            "manifest.json",
            "model.tflite",
            "preprocess.json",
            "preprocess.py",
        ),
        "runner",
        "sbom.cdx.json",
        "tables.py",
        "texts.py",
    ]


def test_the_manifest_says_what_is_shipped_and_why(ready: Path, params: Params) -> None:
    stage.bundle(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["variant"] == "int8"
    assert manifest["within_budget"] is True
    assert manifest["budget"]["max_quality_drop"] == 0.01
    assert manifest["distances"] == {"quality_drop": 0.0}
    assert manifest["quality"] == {"metric": "accuracy", "unit": "share", "better": "higher", "validation": 0.98}
    quality = {
        "value": 0.97,
        "unit": "share",
        "better": "higher",
        "low": 0.95,
        "high": 0.98,
        "bounds": "interval",
        "provenance": "measured",
        "source": "measured",
        "n": 360,
        "note": "",
    }
    assert manifest["figures"]["quality"] == quality
    assert manifest["figures"]["latency_ms"]["source"] == "measured"
    assert manifest["figures"]["latency_ms"]["value"] == 0.5
    assert "energy_mj" not in manifest["figures"]
    assert manifest["artifact_sha256"] == files.sha256(paths.artifact("int8") / "model.tflite")
    assert manifest["files"] == {
        path.relative_to(bundle).as_posix(): {"sha256": files.sha256(path), "bytes": path.stat().st_size}
        for path in bundle.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", "SHA256SUMS")
    }
    assert len((bundle / "README.txt").read_text().splitlines()) == 7
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=bundle, capture_output=True, timeout=60, check=False
    )
    assert checked.returncode == 0
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert len(checked.stdout.splitlines()) == len(before) - 1
    stage.bundle(params, "host-cpu")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("judged", [Judged(rows=12, mean=0.16, median=0.12, worst=0.41), None])
def test_an_estimate_is_shipped_with_its_error_or_that_nobody_knows_it(
    ready: Path, params: Params, judged: Judged | None
) -> None:
    """In the manifest, and in the card that people read."""
    own = read(Comparison, paths.REPORT / "comparison.json")
    told = Latency(provenance="estimated", ms_p50=0.1, judged=judged)
    spent = Energy(kind="estimate_published", mj=2.0, low_mj=1.0, high_mj=4.0, judged=judged)
    rows = [
        row.model_copy(update={"measurement": changed(row.measurement, latency=told, energy=spent)})
        if (row.variant, row.device) == ("int8", "ethos-u55-128")
        else row
        for row in own.rows
    ]
    own.model_copy(update={"rows": tuple(rows)}).save(paths.REPORT / "comparison.json")
    stage.bundle(params, "ethos-u55-128")
    bundle = paths.bundle("ethos-u55-128")
    figures = json.loads((bundle / "manifest.json").read_text())["figures"]
    known = "mean error 16% on 12 published figures left out, worst 41%" if judged else "error not known"
    given = ", given the latency" if judged else ""
    assert (figures["latency_ms"]["note"], figures["energy_mj"]["note"]) == (known, known + given)
    assert (bundle / "MODEL_CARD.md").read_text().count(known) >= 2


def test_an_accelerator_gets_its_compiled_file_and_a_stand_in(
    ready: Path, params: Params, serve: Serve, images: np.ndarray
) -> None:
    stage.bundle(params, "ethos-u55-128")
    bundle = paths.bundle("ethos-u55-128")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["variant"] == "int8"
    assert (manifest["kernels"], manifest["stand_in"]) == ("reference", "the host")
    assert b"ethos-u" in (bundle / "model_vela.tflite").read_bytes()
    assert "model_vela.tflite" in manifest["files"]
    assert "model_vela.tflite" in (bundle / "README.txt").read_text()
    np.save("image.npy", images[0])  # one example, without a batch axis
    done = serve(bundle, "image.npy")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_texts_come_from_a_file_or_from_standard_input(ready: Path, params: Params, serve: Serve) -> None:
    text = {"kind": "text", "length": 5, "vocabulary": ["[padding]", "[unknown]", "a", "b", "c", "d", "e"]}
    prepared({"text": text}, {"kind": "class", "classes": ["no", "yes"]}, np.array(["a b", "e"], object))
    champion("tokens")
    stage.bundle(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    Path("lines.txt").write_text("a b c\nunheard d\n", encoding="utf-8")
    interpreter = Interpreter(str(bundle / "model.tflite"))
    interpreter.allocate_tensors()
    expected = []
    for tokens in ([2, 3, 4, 0, 0], [1, 5, 0, 0, 0]):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([tokens], np.int32))
        interpreter.invoke()
        expected.append(int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax()))
    for done in (serve(bundle, "lines.txt"), serve(bundle, "-", stdin="a b c\nunheard d\n")):
        assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == expected, done.stderr
    Path("lines.txt").write_bytes(b"a b c\ncaf\xe9\n")
    done = serve(bundle, "lines.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "classify.py: lines.txt: UTF-8 expected; received the byte 0xe9\n"
    command = [sys.executable, "-I", str(bundle / "classify.py"), "-"]
    piped = subprocess.run(command, capture_output=True, timeout=60, input=b"a b c\ncaf\xe9\n", check=False)
    assert (piped.returncode, piped.stdout) == (2, b"")
    assert piped.stderr == b"classify.py: -: UTF-8 expected; received the byte 0xe9\n"


def test_arrays_are_classified_as_the_images_that_they_are(
    ready: Path, params: Params, serve: Serve, images: np.ndarray
) -> None:
    np.save("images.npy", images)
    np.save("numbers.npy", images.astype(np.float64))
    np.save("number.npy", images[0].astype(np.float64))
    stage.bundle(params, "host-cpu")
    expected = serve(paths.bundle("host-cpu"), "images.npy").stdout
    numbers = {name: {**entry, "kind": "array", "dtype": "float32"} for name, entry in IMAGES.items()}
    prepared(numbers, CLASSIFICATION, images.astype(np.float32))
    stage.bundle(params, "host-cpu")
    assert serve(paths.bundle("host-cpu"), "numbers.npy").stdout == expected
    assert serve(paths.bundle("host-cpu"), "number.npy").stdout == expected.splitlines(keepends=True)[0]


def test_a_wrong_use_is_told_in_one_line(
    ready: Path, params: Params, serve: Serve, sealed: Sealed, images: np.ndarray
) -> None:
    stage.bundle(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("small.npy", np.zeros((2, 4, 4, 1), np.uint8))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    Path("broken.npy").write_bytes(b"")
    wrong = {
        "absent.npy": "absent.npy",
        "small.npy": "expected; received uint8 [2, 4, 4, 1]",
        "objects.npy": "Python objects",
        "broken.npy": "No data left",
        "text.txt": "this model reads images",
    }
    for source, part in wrong.items():
        done = serve(bundle, source)
        assert done.returncode == 2
        assert part in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    shutil.copyfile(ROOT / "tests/golden/two.tflite", bundle / "model.tflite")
    sealed(bundle)
    np.save("images.npy", images)
    done = serve(bundle, "images.npy")
    assert (done.returncode, "the model takes ['a', 'b'], of one length; received {'image'" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["model.tflite", "preprocess.py"])
def test_a_changed_or_missing_file_is_refused_before_it_is_used(
    ready: Path, params: Params, name: str, serve: Serve, images: np.ndarray
) -> None:
    stage.bundle(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("images.npy", images)
    (bundle / name).write_bytes((bundle / name).read_bytes() + b"\nprint('changed')\n")
    done = serve(bundle, "images.npy")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"not as it was shipped: {name}" in done.stderr
    (bundle / name).unlink()
    done = serve(bundle, "images.npy")
    assert (done.returncode, done.stdout) == (2, "")
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_champion_the_manifest_says_why(ready: Path, params: Params) -> None:
    refusing = params.model_copy(
        update={"bundle": params.bundle.model_validate({"budgets": {"host-cpu": {"minimize": "energy_mj"}}})}
    )
    stage.bundle(params, "host-cpu")
    stage.bundle(refusing, "host-cpu")
    assert sorted(path.name for path in paths.bundle("host-cpu").iterdir()) == ["SHA256SUMS", "manifest.json"]
    manifest = json.loads((paths.bundle("host-cpu") / "manifest.json").read_text())
    assert manifest["variant"] is manifest["figures"] is manifest["program"] is None
    assert "energy_mj" in manifest["reason"]


@pytest.mark.parametrize("fault", [{"status": "error"}, {"status": "invalid", "passing": True}])
def test_a_pair_that_is_not_known_leaves_what_was_shipped_and_its_alias(
    ready: Path, params: Params, make_row: Callable[..., Row], fault: dict[str, Any]
) -> None:
    for device in params.benchmark.devices:
        stage.bundle(params, device)
    before = {path: path.read_bytes() for path in paths.BUNDLES.rglob("*") if path.is_file()}
    aliases = [entry for entry in contents.collect(params) if isinstance(entry, entries.Alias)]
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    away = make_row("late", latency_ms=None, reason="the board does not answer", **fault)
    comparison.model_copy(update={"rows": (*comparison.rows, away)}).save(paths.REPORT / "comparison.json")
    with pytest.raises(DataError, match="late: the board does not answer; out/bundles/host-cpu stays as it was"):
        stage.bundle(params, "host-cpu")
    stage.bundle(params, "ethos-u55-128")  # all of its pairs are known
    assert {path: path.read_bytes() for path in paths.BUNDLES.rglob("*") if path.is_file()} == before
    assert [entry for entry in contents.collect(params) if isinstance(entry, entries.Alias)] == aliases


def test_an_artifact_that_is_not_the_measured_one_is_not_shipped(ready: Path, params: Params) -> None:
    stage.bundle(params, "host-cpu")
    shutil.copyfile(paths.artifact("float32") / "model.tflite", paths.artifact("int8") / "model.tflite")
    with pytest.raises(DataError, match="not the file that its card was written for"):
        stage.bundle(params, "host-cpu")
    assert (paths.bundle("host-cpu") / "model.tflite").exists(), "the old bundle stays"
    card = paths.artifact("int8") / "card.json"
    shutil.copyfile(paths.artifact("float32") / "card.json", card)
    with pytest.raises(DataError, match="was measured"):
        stage.bundle(params, "host-cpu")
    assert (paths.bundle("host-cpu") / "model.tflite").exists(), "the old bundle stays"


def test_a_bundle_forgets_each_example_before_the_next(ready: Path, params: Params, serve: Serve) -> None:
    sequences = np.random.default_rng(5).normal(size=(4, 5, 2)).astype(np.float32)
    prepared({"sequence": {"kind": "array", "shape": [5, 2], "dtype": "float32"}}, CLASSIFICATION, sequences)
    champion("recurrent")
    stage.bundle(params, "host-cpu")
    bundle = paths.bundle("host-cpu")
    np.save("all.npy", sequences)
    together = serve(bundle, "all.npy").stdout.splitlines()
    for sequence, line in zip(sequences, together, strict=True):
        np.save("one.npy", sequence)
        assert serve(bundle, "one.npy").stdout.splitlines() == [line]
