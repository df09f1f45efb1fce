"""Zeros that a LiteRT file does not store."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tasks.compress import kernels, masks
from tasks.errors import ConversionError
from tasks.examples import Arrays
from tasks.params import Quantize
from tasks.quantize import litert, variant
from tasks.records import ArtifactCard, read
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


def network(sparsity, block=(1, 1)):
    fit.reset(0)
    layers = [keras.layers.Conv2D(16, 3, activation="relu", name="conv"), keras.layers.Flatten(name="flat")]
    head = keras.layers.Dense(32, activation="softmax", name="head")
    model = keras.Sequential([keras.Input((8, 8, 8), name="x"), *layers, head])
    found = kernels.find(model, kernels.PRUNABLE)
    masks.Hold([(kernel, masks.by_magnitude(kernel.weight.numpy(), sparsity, block)) for kernel in found])
    return model


def run(content):
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return x, interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def stored(content):
    """Of each sparse tensor, by how many weights it has, how many are stored."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return {
        int(np.prod(t.shape)): len(model.buffers[t.buffer].data) // 4
        for t in model.subgraphs[0].tensors
        if t.sparsity is not None
    }


@pytest.mark.parametrize("block", [(1, 1), (4, 1)])
def test_zeros_are_left_out_and_the_outputs_are_the_same(block):
    model = network(0.75, block)
    dense = litert.convert(model, "float32", None)
    sparse = litert.convert(model, "float32", None, sparse=True)
    assert stored(dense) == {}
    assert stored(sparse) == {8 * 9 * 16: 8 * 9 * 4, 576 * 32: 576 * 8}  # a quarter each
    assert len(sparse) < 0.45 * len(dense)
    x, found = run(sparse)
    assert np.abs(found - run(dense)[1]).max() < 1e-6
    assert np.abs(found - model.predict(x, verbose=0)).max() < 1e-5


def test_where_there_is_nothing_sparse_it_is_told():
    with pytest.raises(ConversionError, match="sparse: no weight of the model has zeros enough"):
        litert.convert(network(0.05), "float32", None, sparse=True)


@pytest.mark.slow
def test_the_entry_s_key_reaches_the_file(tmp_path):
    sizes = {}
    for sparse in (False, True):
        folder = tmp_path / str(sparse)
        folder.mkdir()
        entry = Quantize(model="pruned", scheme="float32", sparse=sparse)
        model = network(0.75)
        images = np.random.default_rng(0).normal(size=(8, 8, 8, 8)).astype(np.float32)
        tried = Arrays({model.input_names[0]: images}, {"label": np.zeros(8, np.int64)})
        variant.write(folder, "variant", entry, model, tried)
        sizes[sparse] = read(ArtifactCard, folder / "card.json").bytes
    assert sizes[True] < 0.45 * sizes[False]
