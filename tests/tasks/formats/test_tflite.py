"""Files with weights behind the flatbuffer are read like any other; what is written, every runtime can read."""

import copy
import struct
from pathlib import Path

import numpy as np
import pytest

from tasks.bench.runner import tflm
from tasks.errors import UnsupportedError
from tasks.examples import Arrays
from tasks.formats import cost, tflite
from tasks.quantize import ai_edge, guard, layers, litert, ranges
from tasks.quantize.ai_edge import Numbers, Rule

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
NAMES = ["float32", "int8", "mixed", "tokens", "custom"]
IMAGES = Arrays({"image": np.random.default_rng(0).random((6, 8, 8, 1), np.float32)}, {})


def content(name):
    return (GOLDEN / f"{name}.tflite").read_bytes()


def behind(given):
    """The same file with every constant behind the flatbuffer, as the schema has it for files beyond 2 GB."""
    model = tflite.objects(given)
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
    assert tflite.pack(tflite.objects(outside)) == tflite.pack(tflite.objects(within)) == again
    assert litert.inspect(outside) == litert.inspect(within)
    assert layers.read(outside, {}) == layers.read(within, {})
    files = [tmp_path / "within.tflite", tmp_path / "outside.tflite"]
    for file, each in zip(files, (within, outside), strict=True):
        file.write_bytes(each)
    try:
        expected = cost.read(files[0])
    except UnsupportedError:
        return
    assert cost.read(files[1]) == expected


def test_litert_answers_by_all_three_alike():
    within = content("float32")
    outside = behind(within)
    expected = guard.answers(within, IMAGES)["scores"]
    for each in (outside, tflite.whole(outside)):
        np.testing.assert_array_equal(guard.answers(each, IMAGES)["scores"], expected)
    assert ranges.find(outside, IMAGES, "min-max", 100.0, 8) == ranges.find(within, IMAGES, "min-max", 100.0, 8)


def wide():
    """The golden network with 2,100 classes: 302,400 numbers in its dense layer."""
    model = tflite.objects(content("float32"))
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
        tflite.objects(outside[:-16])
    for length in range(4, 200, 7):
        with pytest.raises((AttributeError, IndexError, TypeError, ValueError, struct.error)):
            tflite.objects(outside[:length])


@pytest.fixture(scope="module")
def two_ways(tmp_path_factory):
    """A file that is called in two ways, which share a weight, as a language model's prefill and decode do."""
    tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")

    class Both(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(np.arange(12, dtype=np.float32).reshape(3, 4))

        @tf.function(input_signature=[tf.TensorSpec((1, 5, 3), tf.float32, "tokens")])
        def prefill(self, tokens):
            return {"state": tf.matmul(tokens, self.weight)}

        @tf.function(input_signature=[
            tf.TensorSpec((1, 1, 3), tf.float32, "token"), tf.TensorSpec((1, 5, 4), tf.float32, "state"),
        ])  # fmt: skip
        def decode(self, token, state):
            return {"scores": tf.reduce_sum(state, 1) + tf.matmul(token, self.weight)[:, 0], "state": state + 1.0}

    both, folder = Both(), str(tmp_path_factory.mktemp("two"))
    tf.saved_model.save(both, folder, signatures={"prefill": both.prefill, "decode": both.decode})
    return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["prefill", "decode"]).convert()


def test_every_signature_is_read_with_its_own_graph(two_ways):
    from ai_edge_litert.interpreter import Interpreter

    file, interpreter = tflite.parse(two_ways), Interpreter(model_content=two_ways)
    wanted = interpreter.get_signature_list()
    assert {found.name: (sorted(found.inputs), sorted(found.outputs)) for found in file.signatures} == {
        name: (sorted(sides["inputs"]), sorted(sides["outputs"])) for name, sides in wanted.items()
    }
    assert sorted(found.graph for found in file.signatures) == [0, 1]
    for found in file.signatures:
        runner, graph = interpreter.get_signature_runner(found.name), file.graphs[found.graph]
        for places, details in (
            (found.inputs, runner.get_input_details()),
            (found.outputs, runner.get_output_details()),
        ):
            shapes = {name: list(graph.tensors[place].shape) for name, place in places.items()}
            assert shapes == {name: detail["shape"].tolist() for name, detail in details.items()}


def test_a_file_of_several_signatures_calls_its_tensors_by_their_own_names(two_ways):
    file = tflite.parse(two_ways)
    graph = file.main
    assert file.names() == tuple(tuple(graph.tensors[i].name for i in side) for side in (graph.inputs, graph.outputs))
    one = tflite.parse(content("float32"))
    assert one.names() == tuple(tuple(side) for side in (one.signatures[0].inputs, one.signatures[0].outputs))


def test_an_input_that_is_given_back_has_a_name_as_each():
    """As a key that goes with each example; and of two outputs that are one tensor each has its own."""
    from ai_edge_litert.interpreter import Interpreter

    model = tflite.objects(content("two"))
    graph, (way,) = model.subgraphs[0], model.signatureDefs
    given = {entry.name: entry.tensorIndex for entry in way.inputs}
    told = {entry.name: entry.tensorIndex for entry in way.outputs}
    for name, place in ((b"key", given[b"a"]), (b"again", told[b"product"])):
        entry = copy.copy(way.outputs[0])
        entry.name, entry.tensorIndex = name, place
        way.outputs.append(entry)
        graph.outputs = np.append(graph.outputs, np.int32(place))
    made = tflite.pack(model)
    inputs, outputs = tflite.parse(made).names()
    assert (sorted(inputs), sorted(outputs)) == (["a", "b"], ["again", "difference", "key", "product"])
    ours = dict(zip(outputs, tflite.parse(made).main.outputs, strict=True))
    details = Interpreter(model_content=made).get_signature_runner().get_output_details()
    assert ours == {name: detail["index"] for name, detail in details.items()}
    own = tuple(tuple(tflm._names(tflite.objects(made), side)) for side in ("inputs", "outputs"))
    assert own == (inputs, outputs), "TensorFlow Lite Micro's own reader of names says the same"


def test_a_mapped_file_is_read_like_its_bytes(tmp_path, two_ways):
    path = tmp_path / "model.tflite"
    for given in (two_ways, content("int8"), behind(content("int8"))):
        path.write_bytes(given)
        mapped, held = tflite.load(path), tflite.parse(given)
        assert mapped.signatures == held.signatures
        for there, here in zip(mapped.graphs, held.graphs, strict=True):
            assert there.tensors == here.tensors
            assert [(o.kind, o.inputs, o.outputs) for o in there.operators] == [
                (o.kind, o.inputs, o.outputs) for o in here.operators
            ]


def test_a_compact_file_says_the_same_in_fewer_bytes():
    model = tflite.objects(content("int8"))
    model.subgraphs *= 3  # as many signatures of the same weights
    given = tflite.pack(model)
    found = tflite.compact(given)
    assert len(found) < 0.9 * len(given)
    assert tflite.pack(tflite.objects(found)) == given
    assert tflite.compact(given) == found, "nothing is kept from one file to the next"
    np.testing.assert_array_equal(guard.answers(found, IMAGES)["scores"], guard.answers(given, IMAGES)["scores"])
