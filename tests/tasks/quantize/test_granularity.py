"""One scale for a tensor of weights, or one for each channel: by the scales of the file, and its answers."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks.examples import Arrays
from tasks.examples.dataset import LABEL
from tasks.formats import tflite
from tasks.formats.scales import granularity
from tasks.params import Quantize
from tasks.quantize import mixed
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.fixture(scope="module")
def model():
    """A convolution, a depthwise one and a dense layer, whose channels differ by orders of magnitude."""
    fit.reset(0)
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(16, 3, name="first")(inputs)
    x = keras.layers.DepthwiseConv2D(3, name="each")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    built = keras.Model(inputs, keras.layers.Dense(5, name="scores")(x))
    rng = np.random.default_rng(0)
    for layer in built.layers:
        if kernels := layer.get_weights():
            shape = kernels[0].shape
            wide = 10.0 ** rng.uniform(-2, 0, shape[-2] if layer.name == "each" else shape[-1])
            scaled = wide[:, None] if layer.name == "each" else wide
            layer.set_weights([rng.normal(size=shape) * scaled, *kernels[1:]])
    return built


@pytest.fixture(scope="module")
def images():
    image = np.random.default_rng(1).normal(size=(64, 8, 8, 3)).astype(np.float32)
    return Arrays({"image": image}, {LABEL: np.zeros(64, np.int64)})


@pytest.fixture(scope="module")
def files(model, images, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("granularity"), {}
    for shared in ("channel", "tensor"):
        entry = Quantize(model="baseline", scheme="int8", granularity=shared)
        found[shared] = folder / f"{shared}.tflite"
        found[shared].write_bytes(mixed.as_asked(model, entry, images).content)
    return found


def scales(path, kind):
    graph = tflite.load(path).main
    (node,) = (each for each in graph.operators if each.kind == kind)
    return np.array(graph.tensors[node.inputs[1]].scales)


@pytest.mark.parametrize(
    ("kind", "name", "apart"),
    [("CONV_2D", "first", (0, 1, 2)), ("DEPTHWISE_CONV_2D", "each", (0, 1, 3)), ("FULLY_CONNECTED", "scores", (0,))],
)
def test_scales_are_the_largest_weights_of_those_who_share_them(model, files, kind, name, apart):
    largest = np.abs(model.get_layer(name).get_weights()[0])
    assert scales(files["tensor"], kind) == pytest.approx([largest.max() / 127], rel=1e-3)
    assert scales(files["channel"], kind) == pytest.approx(largest.max(axis=apart) / 127, rel=1e-3)


def test_a_file_tells_which_it_has(files, golden):
    assert {name: granularity(path) for name, path in files.items()} == {"channel": "channel", "tensor": "tensor"}
    assert granularity(golden / "float32.tflite") is None


def test_one_scale_costs_the_small_channels_their_answers(model, files, images):
    """Both run in LiteRT; the coarse one is the further from Keras, and still no stranger to it."""
    exact, left = model.predict(images.inputs["image"], verbose=0), {}
    for name, path in files.items():
        runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
        (taken,), (given,) = runner.get_input_details().values(), runner.get_output_details().values()
        scale, zero = taken["quantization"]
        ready = np.clip(np.round(images.inputs["image"] / scale) + zero, -128, 127).astype(np.int8)
        rows = [next(iter(runner(image=ready[i : i + 1]).values())) for i in range(len(ready))]
        scale, zero = given["quantization"]
        left[name] = float(np.square((np.concatenate(rows).astype(float) - zero) * scale - exact).mean())
    power = float(np.square(exact).mean())
    assert left["channel"] < left["tensor"] < 0.1 * power
