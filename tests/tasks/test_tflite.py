"""Files with weights behind the flatbuffer are read like any other; what is written, every runtime can read."""

import struct
from pathlib import Path

import numpy as np
import pytest

from tasks import tflite
from tasks.bench import graph
from tasks.dataset import Examples
from tasks.errors import UnsupportedError
from tasks.quantize import ai_edge, guard, layers, litert, ranges
from tasks.quantize.ai_edge import Numbers, Rule

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NAMES = ["float32", "int8", "mixed", "tokens", "custom"]
IMAGES = Examples({"image": np.random.default_rng(0).random((6, 8, 8, 1), np.float32)}, {})


def content(name):
    return (GOLDEN / f"{name}.tflite").read_bytes()


def behind(given):
    """The same file with every constant behind the flatbuffer, as the schema has it for files beyond 2 GB."""
    model = tflite.read(given)
    moved = [(buffer, bytes(buffer.data)) for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
    size = 0
    for last in (False, True):  # once to learn how long the flatbuffer is, which no number in it changes
        place = -(-size // 16) * 16
        for buffer, data in moved:
            buffer.data, buffer.offset, buffer.size = None, place if last else 2, len(data) if last else 2
            place = -(-(place + len(data)) // 16) * 16
        packed = tflite.pack(model)
        assert not last or len(packed) == size
        size = len(packed)
    file = bytearray(packed)
    for _, data in moved:
        file += bytes(-len(file) % 16) + data
    return bytes(file)


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_behind_the_flatbuffer_is_read_as_if_it_lay_within(name, tmp_path):
    within = content(name)
    outside = behind(within)
    assert tflite.is_whole(within)
    assert not tflite.is_whole(outside)
    assert tflite.whole(within) is within
    again = tflite.whole(outside)
    assert tflite.is_whole(again)
    assert tflite.pack(tflite.read(outside)) == tflite.pack(tflite.read(within)) == again
    assert litert.inspect(outside) == litert.inspect(within)
    assert layers.read(outside, {}) == layers.read(within, {})
    files = [tmp_path / "within.tflite", tmp_path / "outside.tflite"]
    for file, each in zip(files, (within, outside), strict=True):
        file.write_bytes(each)
    try:
        expected = graph.read(files[0])
    except UnsupportedError:
        return
    assert graph.read(files[1]) == expected


def test_litert_answers_by_all_three_alike():
    within = content("float32")
    outside = behind(within)
    expected = guard.answers(within, IMAGES)["scores"]
    for each in (outside, tflite.whole(outside)):
        np.testing.assert_array_equal(guard.answers(each, IMAGES)["scores"], expected)
    assert ranges.find(outside, IMAGES, "min-max", 100.0, 8) == ranges.find(within, IMAGES, "min-max", 100.0, 8)


def wide():
    """The golden network with 2,100 classes: 302,400 numbers in its dense layer."""
    model = tflite.read(content("float32"))
    tensors = model.subgraphs[0].tensors
    weights, out = (next(t for t in tensors if list(t.shape) == shape) for shape in ([4, 144], [1, 4]))
    rng = np.random.default_rng(0)
    weights.shape, out.shape = [2100, 144], [1, 2100]
    if out.shapeSignature is not None:
        out.shapeSignature = [-1, 2100]
    model.buffers[weights.buffer].data = rng.normal(size=(2100, 144)).astype("<f4").view(np.uint8).ravel()
    return tflite.pack(model)


def test_what_ai_edge_quantizer_writes_lies_within_whatever_its_size():
    given = wide()
    made = ai_edge.quantize(given, [Rule(Numbers(8, "float32"))])
    assert tflite.is_whole(made)
    assert len(made) > 302_400
    assert "int8" in {operator.weights for operator in layers.read(made, {})}
    expected, found = (guard.answers(each, IMAGES)["scores"] for each in (given, made))
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_readers_that_do_not_look_there_are_told_by_name(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(behind(content("int8")))
    with pytest.raises(UnsupportedError, match=r"weights behind its flatbuffer .*where OpenVINO does not look; write"):
        tflite.checked(path, "OpenVINO")
    assert tflite.checked(GOLDEN / "int8.tflite", "OpenVINO") == GOLDEN / "int8.tflite"


def test_a_place_beyond_the_end_is_no_place():
    outside = behind(content("float32"))
    with pytest.raises(ValueError, match=r"a buffer ends at byte \d+ of a file of \d+"):
        tflite.read(outside[:-16])
    for length in range(4, 200, 7):
        with pytest.raises((AttributeError, IndexError, TypeError, ValueError, struct.error)):
            tflite.read(outside[:length])
