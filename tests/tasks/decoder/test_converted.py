"""A decoder with its caches as a LiteRT file: what the converter makes of it decides how fast it is."""

from collections import Counter

import numpy as np
import pytest

from tasks.checkpoints import load
from tasks.decoder.cached import cached
from tasks.formats import tflite
from tests import checkpoints

tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")
pytestmark = pytest.mark.slow
PREFILL, ROOM = 8, 40


def function(model):
    described = {name: tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in model.input.items()}
    return tf.function(lambda **given: model(given), autograph=False).get_concrete_function(**described)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder")
    module = tf.Module()
    module.model = load.load(checkpoints.make(folder, "llama")).model()
    signatures = {name: function(cached(module.model, n, ROOM)) for name, n in (("prefill", PREFILL), ("decode", 1))}
    tf.saved_model.save(module, folder / "saved", signatures=signatures)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"), signature_keys=list(signatures)).convert()


def test_caches_are_written_in_place_and_read_whole(content):
    for graph in tflite.parse(content).graphs:
        kinds = Counter(operator.kind for operator in graph.operators)
        assert kinds["SIN"] == kinds["COS"] == 1, "all layers turn alike, so they share what turns them"
        assert kinds["DYNAMIC_UPDATE_SLICE"] == kinds["BATCH_MATMUL"] == 4
        caches = {place for place in graph.inputs if len(graph.tensors[place].shape) == 4}
        written = {op.outputs[0] for op in graph.operators if op.kind == "DYNAMIC_UPDATE_SLICE"}
        assert len(caches) == len(written) == 4
        for operator in graph.operators:
            if caches & set(operator.inputs):
                assert operator.kind == "DYNAMIC_UPDATE_SLICE"
            if written & set(operator.inputs):
                assert operator.kind == "BATCH_MATMUL", "a slice of a cache would be a copy"


def test_the_file_answers_as_transformers_does(content):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    runners = {n: interpreter.get_signature_runner(name) for name, n in (("prefill", PREFILL), ("decode", 1))}
    about = runners[1].get_input_details()
    state = {name: np.zeros(about[name]["shape"], np.float32) for name in about if name.startswith("kv_cache")}
    start, found = 0, []
    for n in (*[PREFILL] * 3, *[1] * 8):
        places = np.arange(start, start + n, dtype=np.int32)
        given = runners[n](tokens=checkpoints.TOKENS[None, places], input_pos=places, **state)
        found.append(given["logits"][0])
        state = {name: given[name] for name in state}
        start += n
    assert np.abs(np.concatenate(found) - checkpoints.logits("llama")).max() <= 2e-5
