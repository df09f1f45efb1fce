"""`tercet serve` answers as the artifact does by itself, whatever form an example comes in."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from tests.bundles import CLASSES, CLASSIFICATION, GOLDEN, noise
from tests.serving import Client, bundle, by_script, serving

TOKENS = {"text": {"kind": "text", "length": 5, "vocabulary": ["[padding]", "[unknown]", "a", "b", "c", "d", "e"]}}
THREE = {"kind": "array", "shape": [3], "dtype": "float32"}
VALUES = {"kind": "value"}
YES = {"kind": "class", "classes": ["no", "yes"]}


def by_the_interpreter(model: Path, images: np.ndarray) -> np.ndarray:
    """The outputs `[n, classes]` by LiteRT alone, with the arithmetic of quantization written out."""
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        real = image[np.newaxis].astype(np.float32) / np.float32(255)
        scale, zero = taken["quantization"]
        if scale:
            real = np.clip(np.rint(real / scale) + zero, -128, 127)
        interpreter.set_tensor(taken["index"], real.astype(taken["dtype"]))
        interpreter.invoke()
        output = interpreter.get_tensor(given["index"])[0].astype(np.float32)
        scale, zero = given["quantization"]
        found.append((output - zero) * scale if scale else output)
    return np.array(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("digits") / "b")


@pytest.fixture(scope="module")
def client(folder: Path) -> Client:
    with serving(folder, workers=2) as client:
        yield client


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_labels_and_probabilities_are_those_of_the_interpreter(tmp_path: Path, variant: str) -> None:
    images = noise(24)
    expected = by_the_interpreter(GOLDEN / f"{variant}.tflite", images)
    with serving(bundle(tmp_path / "b", GOLDEN / f"{variant}.tflite")) as client:
        told = [client.predict(image.tolist()).json["predictions"][0] for image in images]
        together = client.predict(*images.tolist()).json["predictions"]
    assert len(set(expected.argmax(1))) > 1, "the check would be empty"
    for answers in (told, together):
        assert [answer["index"] for answer in answers] == expected.argmax(1).tolist()
        assert [answer["label"] for answer in answers] == [CLASSES[k] for k in expected.argmax(1)]
        shares = np.array([[answer["probabilities"][name] for name in CLASSES] for answer in answers])
        np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose([answer["score"] for answer in answers], expected.max(1), rtol=1e-5)


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["by the event loop", "by workers"])
def test_every_one_of_many_at_once_gets_its_own_answer(
    folder: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.serve.classifier.alone_s", lambda _model: seconds)
    images = noise(200)
    expected = by_the_interpreter(GOLDEN / "float32.tflite", images).argmax(1)
    with serving(folder, workers=2) as client, ThreadPoolExecutor(16) as threads:
        told = list(threads.map(lambda image: client.predict(image.tolist()), images))
    assert {answer.status for answer in told} == {200}
    assert [answer.json["predictions"][0]["index"] for answer in told] == expected.tolist()


def test_an_image_may_come_as_a_file_or_without_its_grey_axis(client: Client, folder: Path, tmp_path: Path) -> None:
    image = noise(5)[4]
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0]).resize((16, 16), Image.Resampling.NEAREST).save(buffer, "PNG")
    (tmp_path / "image.png").write_bytes(buffer.getvalue())
    (expected,) = by_script(folder, tmp_path / "image.png")
    for kind in ("image/png", "application/octet-stream"):
        (told,) = client.ask("POST", "/predict", buffer.getvalue(), kind).json["predictions"]
        assert {name: told[name] for name in expected} == expected
    assert client.predict(image[..., 0].tolist()).json == client.predict(image.tolist()).json
    assert client.predict({"image": image.tolist()}).json == client.predict(image.tolist()).json


def test_texts_are_answered_as_by_script(tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", GOLDEN / "tokens.tflite", TOKENS, YES)
    texts = ["a b c", "unheard d", "e", ""]
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n")
    expected = by_script(made, tmp_path / "lines.txt")
    with serving(made) as client:
        told = client.predict(*texts).json["predictions"]
        (alone,) = client.ask("POST", "/predict", b"unheard d", "text/plain").json["predictions"]
    assert [{name: answer[name] for name in ("label", "index", "score")} for answer in told] == expected
    assert alone == told[1]


def test_several_inputs_go_by_their_names(tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", GOLDEN / "two.tflite", {"a": THREE, "b": THREE}, VALUES, output="difference")
    with serving(made) as client:
        told = client.predict({"b": [1, 2, 3], "a": [0.5, 7, -1]}, {"a": [0, 0, 0], "b": [1, 1, 1]})
        wrong = client.predict({"a": [1, 2, 3]})
    assert told.json["predictions"] == [{"value": [-0.5, 5, -4]}, {"value": [-1, -1, -1]}]
    assert (wrong.status, wrong.json["error"]) == (422, "each example by the names a, b expected; received the names a")


def test_a_row_of_a_table_is_read_as_a_line_of_a_file(tmp_path: Path) -> None:
    scaled = {**THREE, "kind": "number", "missing": [1.0, 2.0, 3.0], "mean": [0.5, 0.0, 0.0], "scale": [1.0, 2.0, 1.0]}
    inputs = {"a": {**scaled, "columns": ["x", "y", "z"]}, "b": {**scaled, "columns": ["p", "q", "r"]}}
    made = bundle(tmp_path / "b", GOLDEN / "two.tflite", inputs, VALUES, output="product")
    rows = [
        {"x": 1, "y": None, "z": -3.5, "p": 0, "q": 1e-3, "r": "n/a"},
        {"x": "2", "y": 7, "z": 0, "p": -1, "q": 2, "r": 3},
    ]
    (tmp_path / "rows.csv").write_text("x,y,z,p,q,r\n1,,-3.5,0,0.001,n/a\n2,7,0,-1,2,3\n")
    expected = by_script(made, tmp_path / "rows.csv")
    with serving(made) as client:
        told = client.predict(*rows).json["predictions"]
        wrong = client.predict({**rows[0], "x": "much"})
    assert told == expected
    assert (wrong.status, "a number expected; received 'much'" in wrong.json["error"]) == (422, True)


def test_a_target_of_values_or_of_several_labels(tmp_path: Path) -> None:
    image = noise(3)[2]
    np.save(tmp_path / "image.npy", image)
    for target in ({"kind": "value"}, {**CLASSIFICATION, "kind": "labels"}):
        made = bundle(tmp_path / target["kind"], target=target)
        with serving(made) as client:
            assert client.predict(image.tolist()).json["predictions"] == by_script(made, tmp_path / "image.npy")
