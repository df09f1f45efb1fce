"""Networks of other shapes than a classifier's: several inputs and outputs, attention made of plain layers."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks.errors import ConversionError
from tasks.examples import Arrays
from tasks.quantize import litert, stablehlo
from tasks.quantize.layers import floats
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
layers = keras.layers
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def clean():
    fit.reset(0)


def two(as_mapping):
    """Outputs whose order by name is not their order, nor that of the inputs."""
    a, b = keras.Input((8,), name="left"), keras.Input((6,), name="alpha")
    x = layers.Concatenate()([layers.Dense(8, "relu")(a), layers.Dense(8, "relu")(b)])
    zeta, beta = layers.Dense(3, "softmax", name="zeta")(x), layers.Dense(5, name="beta")(x)
    return keras.Model([a, b], {"zeta": zeta, "beta": beta} if as_mapping else [zeta, beta])


def attention():
    inputs = keras.Input((10, 16), name="sequence")
    q, k, v = (layers.Dense(16)(inputs) for _ in range(3))
    weights = layers.Softmax()(layers.Rescaling(0.25)(layers.Dot(axes=(2, 2))([q, k])))
    x = layers.LayerNormalization()(layers.Add()([inputs, layers.Dot(axes=(2, 1))([weights, v])]))
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(x)), name="net")


def run(content, inputs):
    """Every example by the file's signature, dequantized."""
    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
    taken, given = runner.get_input_details(), runner.get_output_details()
    rows = {name: [] for name in given}
    for i in range(len(next(iter(inputs.values())))):
        feed = {}
        for name, detail in taken.items():
            scale, zero = detail["quantization"]
            value = inputs[name][i : i + 1]
            feed[name] = (np.clip(np.round(value / scale) + zero, -128, 127) if scale else value).astype(
                detail["dtype"]
            )
        for name, value in runner(**feed).items():
            scale, zero = given[name]["quantization"]
            rows[name].append((value.astype(np.float32) - zero) * scale if scale else value)
    return {name: np.concatenate(values) for name, values in rows.items()}


@pytest.mark.parametrize(("as_mapping", "scheme", "tolerance"), [(True, "float32", 1e-6), (False, "int8", 0.05)])
def test_inputs_and_outputs_keep_their_names(as_mapping, scheme, tolerance):
    model = two(as_mapping)
    inputs = {"left": RNG.random((20, 8), np.float32), "alpha": RNG.random((20, 6), np.float32)}
    answers = model(inputs)
    expected = answers if as_mapping else dict(zip(("zeta", "beta"), answers, strict=True))
    content = litert.convert(model, scheme, Arrays(inputs, {}))
    found = run(content, inputs)
    for name in ("zeta", "beta"):
        assert np.abs(found[name] - expected[name].numpy()).max() < tolerance
    graph = litert.inspect(content)
    assert {t.name: t.shape for t in graph.inputs} == {"left": (8,), "alpha": (6,)}
    assert {t.name: t.shape for t in graph.outputs} == {"zeta": (3,), "beta": (5,)}
    if scheme == "float32":
        assert stablehlo.convert(model, scheme, graph)


def test_attention_of_plain_layers_becomes_integer_throughout():
    model, inputs = attention(), {"sequence": RNG.random((20, 10, 16), np.float32)}
    content = litert.convert(model, "int8", Arrays(inputs, {}))
    assert np.abs(run(content, inputs)["net"] - model(inputs).numpy()).max() < 0.02
    assert not floats(content)


def test_an_axis_that_is_open_is_told():
    inputs = keras.Input((None, 4), name="series")
    model = keras.Model(inputs, layers.GlobalAveragePooling1D()(inputs))
    with pytest.raises(ConversionError, match=r"input 'series' has the shape \(None, None, 4\); only the first axis"):
        litert.convert(model, "float32", Arrays({"series": RNG.random((2, 3, 4), np.float32)}, {}))


def test_a_layer_that_goes_on_from_the_batch_before_is_refused():
    inputs = keras.Input((5, 2), batch_size=1, name="sequence")
    model = keras.Model(inputs, layers.Dense(2)(layers.GRU(3, stateful=True, name="memory")(inputs)))
    for convert in (litert.batch_of_one, lambda model: litert.convert(model, "float32", None)):
        with pytest.raises(ConversionError, match=r"memory: stateful, so an answer hangs .*stateful=False"):
            convert(model)
