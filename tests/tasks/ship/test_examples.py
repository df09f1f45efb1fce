"""Examples in a bundle: what is expected of them is what its program answers, and a device can show whether it does."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from tasks import paths
from tasks.errors import DeviceError
from tasks.examples import Arrays, preprocess
from tasks.params import Params
from tasks.records import read
from tasks.ship import classify, examples
from tasks.ship.manifest import Manifest
from tasks.stages import bundle as stage
from tests.bundles import CLASSES, GOLDEN, champion, prepared

Serve = Callable[..., "subprocess.CompletedProcess[str]"]  # of conftest.py
Sealed = Callable[[Path], None]  # likewise
NUMBERS = {"kind": "number", "missing": [0.5, 0.25, 8.0], "mean": [1.0, 2.0, 3.0], "scale": [1.0, 4.0, 0.5]}
TABLE = {
    "a": {**NUMBERS, "shape": [3], "columns": ["x", "y;y", "z"]},
    "b": {**NUMBERS, "shape": [3], "columns": [*"uvw"]},
}
VALUES = {"kind": "array", "shape": [3], "dtype": "float32"}


def shipped(params: Params, device: str = "host-cpu") -> tuple[Path, Manifest, np.ndarray]:
    """A bundle, its manifest and the outputs that it expects."""
    stage.bundle(params, device)
    folder = paths.bundle(device)
    manifest = read(Manifest, folder / "manifest.json")
    assert manifest.examples
    with np.load(folder / manifest.examples.outputs) as arrays:
        return folder, manifest, arrays["expected"]


def told(done: "subprocess.CompletedProcess[str]", code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr
    (line,) = done.stdout.splitlines()
    return dict(json.loads(line))


def directly(model: Path, images: np.ndarray) -> np.ndarray:
    """The outputs by the interpreter alone, with the arithmetic of quantization written out."""
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    taken, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    (into, zero), (out, shift), found = taken["quantization"], answered["quantization"], []
    for image in images:
        real = image[np.newaxis] / np.float32(255) / np.float32(into)
        interpreter.set_tensor(taken["index"], np.clip(np.rint(real) + zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        found.append((interpreter.get_tensor(answered["index"])[0].astype(np.float64) - shift) * out)
    return np.array(found)


def test_images_come_out_as_the_interpreter_alone_answers_them(
    ready: Path, params: Params, alone: Callable[..., Path], serve: Serve, images: np.ndarray
) -> None:
    folder, manifest, expected = shipped(params)
    about = manifest.examples
    assert about
    with np.load(folder / about.file) as arrays:
        assert np.array_equal(arrays["image"], images[:8])
    np.testing.assert_allclose(expected, directly(GOLDEN / "int8.tflite", images[:8]), rtol=1e-6)
    assert expected.std() > 0
    assert about.labels == tuple(CLASSES[k % 2] for k in range(8))
    assert [each["index"] for each in about.answers] == expected.argmax(axis=1).tolist()
    scale = Interpreter(str(GOLDEN / "int8.tflite")).get_output_details()[0]["quantization"][0]
    assert (about.split, about.n, about.bound, about.step) == ("validation", 8, 0.1, pytest.approx(scale))
    found = told(serve(folder, "--check", alone=alone("ai_edge_litert")))
    assert found == {"examples": 8, "off": 0.0, "allowed": pytest.approx(0.1 * expected.std() + scale), "agree": True}
    answered = [json.loads(line) for line in serve(folder, str(folder / about.file)).stdout.splitlines()]
    assert tuple(answered) == about.answers


def test_another_program_is_told_from_the_one_that_was_shipped(
    ready: Path, params: Params, serve: Serve, sealed: Sealed
) -> None:
    folder, _, expected = shipped(params)
    (folder / "model.tflite").write_bytes((GOLDEN / "float32.tflite").read_bytes())
    sealed(folder)
    near = told(serve(folder, "--check"))
    assert near["agree"]
    assert 0 < near["off"] < near["allowed"], "the same network in float32 is within what int8 is allowed"
    (folder / "model.tflite").write_bytes((GOLDEN / "mixed.tflite").read_bytes())
    sealed(folder)
    done = serve(folder, "--check")
    far = told(done, 1)
    assert not far["agree"]
    assert far["off"] > far["allowed"]
    assert f"{far['off']:.3g} from those expected" in done.stderr
    np.savez(folder / "examples.outputs.npz", expected=expected[:, :3])
    sealed(folder)
    assert told(serve(folder, "--check"), 1)["off"] is None


def test_rows_of_a_table_come_out_as_the_arithmetic_says(ready: Path, params: Params, serve: Serve) -> None:
    rng = np.random.default_rng(3)
    raw = {name: rng.normal(size=(9, 3)) for name in "ab"}
    raw["a"][2, 1] = raw["b"][4, 0] = np.nan
    labels = rng.normal(size=(9, 3)).astype(np.float32)
    prepared(TABLE, {"kind": "value", "shape": [3]}, raw, labels)
    champion("two")
    folder, manifest, expected = shipped(params)
    assert manifest.examples
    whole = {name: np.where(np.isnan(column), NUMBERS["missing"], column)[:8] for name, column in raw.items()}
    a, b = ((whole[name] - NUMBERS["mean"]) / NUMBERS["scale"] for name in "ab")
    np.testing.assert_allclose(expected, a - b, rtol=1e-5, atol=1e-5)
    assert manifest.examples.file == "examples.csv"
    assert manifest.examples.labels == tuple(labels[:8].tolist())
    assert told(serve(folder, "--check"))["agree"]


def test_large_values_that_spread_little_may_be_rounded_on_another_processor(
    ready: Path, params: Params, serve: Serve, sealed: Sealed
) -> None:
    rng = np.random.default_rng(3)
    raw = {"a": (101_325 + 0.03 * rng.normal(size=(8, 3))).astype(np.float32), "b": np.zeros((8, 3), np.float32)}
    prepared({"a": VALUES, "b": VALUES}, {"kind": "value", "classes": []}, raw, raw["a"])
    champion("two")
    folder, _, expected = shipped(params)
    for moved, code in ((np.nextafter(expected, np.float32(np.inf)), 0), (expected + 1, 1)):
        np.savez(folder / "examples.outputs.npz", expected=moved)
        sealed(folder)
        assert told(serve(folder, "--check"), code)["off"] > 0


@pytest.mark.parametrize("kind", ["labels", "anomaly", "value"])
def test_what_is_answered_is_named_as_the_script_does(ready: Path, params: Params, serve: Serve, kind: str) -> None:
    rng = np.random.default_rng(4)
    raw = {name: rng.normal(size=(3, 3)).astype(np.float32) for name in "ab"}
    truth: dict[str, Any] = {
        "labels": rng.integers(0, 2, (3, 3)),
        "anomaly": np.array([0, 1, 0]),
        "value": rng.random(3),
    }
    classes = {"labels": ["p", "q", "r"], "anomaly": ["normal", "anomalous"]}.get(kind, [])
    prepared({"a": VALUES, "b": VALUES}, {"kind": kind, "classes": classes}, raw, truth[kind])
    champion("two")
    folder, manifest, _ = shipped(params)
    about, difference = manifest.examples, raw["a"] - raw["b"]
    assert about
    assert about.n == 3, "there are no more"
    if kind == "labels":
        named = tuple([name for name, there in zip(classes, row, strict=True) if there] for row in truth[kind])
        wanted = [[name for name, x in zip(classes, row, strict=True) if x >= 0.5] for row in difference]
        assert [each["labels"] for each in about.answers] == wanted
    elif kind == "anomaly":
        named = ("normal", "anomalous", "normal")
        assert [each["error"] for each in about.answers] == pytest.approx((raw["b"] ** 2).mean(axis=1).tolist(), 1e-5)
    else:
        named = tuple(truth[kind].tolist())
        assert np.allclose([each["value"] for each in about.answers], difference)
    assert about.labels == named
    assert told(serve(folder, "--check"))["agree"]


def test_texts_come_out_as_expected(ready: Path, params: Params, serve: Serve) -> None:
    text = {"kind": "text", "length": 5, "vocabulary": ["[padding]", "[unknown]", "a", "b", "c", "d", "e"]}
    texts = np.array(["a b\nc", "é, e", "", "d" * 99, "a", "b", "c", "d", "e"], object)
    prepared({"text": text}, {"kind": "class", "classes": ["no", "yes"]}, texts)
    champion("tokens")
    folder, manifest, expected = shipped(params)
    assert manifest.examples
    interpreter = Interpreter(str(GOLDEN / "tokens.tflite"))
    interpreter.allocate_tensors()
    for numbers, wanted in (([2, 3, 4, 0, 0], expected[0]), ([1, 1, 6, 0, 0], expected[1]), ([0] * 5, expected[2])):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([numbers], np.int32))
        interpreter.invoke()
        assert np.allclose(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0], wanted)
    assert told(serve(folder, "--check"))["agree"]


def test_a_board_that_cannot_run_here_has_litert_stand_in_and_this_machine_has_nobody(
    ready: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, expected = shipped(params)
    before = (paths.bundle("host-cpu") / "SHA256SUMS").read_bytes()

    def away(*_: Any) -> None:
        raise DeviceError("no such accelerator here")

    monkeypatch.setattr(examples, "_by_program", away)
    with pytest.raises(DeviceError, match="no such accelerator"):
        stage.bundle(params, "host-cpu")
    assert (paths.bundle("host-cpu") / "SHA256SUMS").read_bytes() == before, "the old bundle stays"
    from tasks.bench.kinds import litert

    monkeypatch.setattr(litert, "KIND", litert.KIND.__class__(**{**vars(litert.KIND), "board": lambda _: "a board"}))
    _, manifest, found = shipped(params)
    assert manifest.examples
    assert "litert" in manifest.examples.found_by
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("about", [None, [], {}, {"file": "x", "outputs": "y", "bound": 1, "step": 0}], ids=str)
def test_a_manifest_without_examples_is_told_in_one_line(
    ready: Path, params: Params, serve: Serve, sealed: Sealed, about: object
) -> None:
    folder, _, _ = shipped(params)
    whole = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**whole, "examples": about}))
    sealed(folder)
    done = serve(folder, "--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "manifest.json names no examples with bound, file, outputs, step" in done.stderr
    assert len(done.stderr.splitlines()) == 1


SIGNS = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.sampled_from(",;|\t")


@pytest.mark.parametrize("names", [("a;b;;c", "d"), ("x|y|z", "w,"), ("a\tb\tc", "d"), ("a,b", "c;d;e;f")])
def test_columns_are_parted_by_what_a_reader_parts_them_by(tmp_path: Path, names: tuple[str, str]) -> None:
    inputs = {"n": {"kind": "number", "columns": list(names)}}
    raw = np.array([[1.5, -2.0], [np.nan, 1e-300]])
    found = classify.read(str(examples._table(tmp_path, Arrays({"n": raw}, {}), inputs)), inputs, preprocess)
    assert np.array_equal(found["n"], raw, equal_nan=True)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=("Cs",))), min_size=1))
def test_texts_a_line_are_read_again_as_they_were(texts: list[str]) -> None:
    for mark, end in (("", "\n"), ("\ufeff", "\n"), ("", "" if texts[-1] else "\n")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "lines.txt")
            path.write_text(mark + "\n".join(texts) + end, encoding="utf-8")
            found = classify.read(str(path), {"text": {"kind": "text"}}, preprocess)["text"]
        assert found.tolist() == [text.rstrip("\0") for text in texts]  # numpy's own texts end before such signs


NAMES = st.text(SIGNS, min_size=1).map(str.strip).filter(bool)
CELLS = st.text(st.characters(exclude_categories=("Cs",))).map(str.strip)
FLOATS = st.floats(allow_infinity=False)


@given(st.data())
def test_whatever_a_table_holds_is_read_again_as_it_was(data: st.DataObject) -> None:
    columns = data.draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    half, rows = len(columns) // 2, data.draw(st.integers(1, 8))
    numbers, words = columns[:half], columns[half:]
    raw = {
        "n": np.array([[data.draw(FLOATS) for _ in numbers] for _ in range(rows)]),
        "c": np.array([[data.draw(CELLS) for _ in words] for _ in range(rows)], object),
    }
    inputs = {"n": {"kind": "number", "columns": numbers}, "c": {"kind": "category", "columns": words}}
    with tempfile.TemporaryDirectory() as folder:
        path = examples._table(Path(folder), Arrays(raw, {}), inputs)
        found = classify.read(str(path), inputs, preprocess)
    assert np.array_equal(found["n"], raw["n"], equal_nan=True)
    assert np.array_equal(found["c"], raw["c"])


def test_texts_in_an_array_are_one_each_whatever_is_made_of_them(tmp_path: Path) -> None:
    said = np.array(["abcde", "jjjjj", "bad"])
    np.save(tmp_path / "texts.npy", said)
    np.save(tmp_path / "text.npy", said[0])
    for spec in ({"kind": "text"}, {"kind": "tokens", "shape": [5], "vocabulary": 256, "bytes": True}):
        for name, expected in (("texts", said), ("text", said[:1])):
            found = classify.read(str(tmp_path / f"{name}.npy"), {"t": spec}, preprocess)["t"]
            assert found.tolist() == expected.tolist()
    np.save(tmp_path / "tokens.npy", np.arange(5))
    assert classify.read(str(tmp_path / "tokens.npy"), {"t": spec}, preprocess)["t"].tolist() == [[0, 1, 2, 3, 4]]


def test_an_answer_that_is_no_number_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    target, given = {"kind": "class", "classes": ["a", "b"]}, {"x": np.zeros((2, 1))}
    monkeypatch.setattr(classify, "opened", lambda: ({"program": {}}, {}))
    monkeypatch.setattr(classify, "ready", lambda _: (target, given))
    monkeypatch.setattr(classify, "scores", lambda *_: iter([np.array([0.1, 0.9]), np.array([np.nan, 0.1])]))
    answers = classify.classify("x.npy")
    assert next(answers)["label"] == "b"
    with pytest.raises(classify.UserError, match="example 1: the model answers with what is no finite number"):
        next(answers)
