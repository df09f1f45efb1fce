"""Kernels of few values in a file of integers: one integer for each value, and the answers as they were."""

import gzip

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks.compress.cluster import clustered_values
from tasks.examples import Arrays
from tasks.params import Quantize
from tasks.quantize import clusters, litert, mixed

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
VALUES = 12
MADE = 48  # outputs of the second convolution
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(64, 10, 10, 3)).astype(np.float32)
EXAMPLES = Arrays({"image": IMAGES}, {"label": np.zeros(64, np.int64)})


def network(values=VALUES, quiet=False, twice=False):
    """Two convolutions, the second normalised by gains of either sign, and a dense layer; its kernels of few values.

    With `quiet` the first output of the second has the smallest value alone; with `twice` a third reads its kernel.
    """
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((10, 10, 3), name="image")
    x = layers.Conv2D(MADE if twice else 16, 3, activation="relu")(inputs)
    second = layers.Conv2D(MADE, 3, padding="same", bias_initializer="normal")
    x = second(x)
    if twice:
        x = layers.ReLU()(second(layers.ReLU()(x)))  # behind which no normalisation is folded into it
    x = layers.BatchNormalization(gamma_initializer=keras.initializers.RandomNormal(0, 1, 3))(x)
    outputs = layers.Dense(4, name="dense")(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
    model = keras.Model(inputs, outputs, name="net")
    for layer in (each for each in model.layers if hasattr(each, "kernel")):
        kernel = layer.kernel.numpy()
        kernel *= np.linspace(0.6, 1, kernel.shape[-1])  # as training leaves them: not all outputs have all values
        shared = clustered_values(kernel * (np.abs(kernel) > np.quantile(np.abs(kernel), 0.4)), values)
        if quiet and layer is second:
            shared[..., 0] = np.abs(shared[shared != 0]).min() * (shared[..., 0] > 0)
        layer.kernel.assign(shared)
    return model


def weights(content):
    """The integers and the scales of each weight that has one for each output, in the file's order."""
    interpreter = Interpreter(model_content=content)
    found = []
    for each in interpreter.get_tensor_details():
        scales = each["quantization_parameters"]["scales"]
        if each["dtype"] == np.int8 and len(scales) > 1:
            found.append((interpreter.get_tensor(each["index"]).reshape(len(scales), -1), scales))
    return found


def answers(content):
    """Of the file to each image, dequantized."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for image in IMAGES:
        scale, zero = given["quantization"]
        limits = np.iinfo(given["dtype"]) if scale else None
        ready = np.clip(np.rint(image / scale) + zero, limits.min, limits.max) if scale else image
        interpreter.set_tensor(given["index"], ready[None].astype(given["dtype"]))
        interpreter.invoke()
        scale, zero = made["quantization"]
        out = interpreter.get_tensor(made["index"])[0]
        found.append((out.astype(float) - zero) * scale if scale else out)
    return np.array(found)


def made(model, scheme="int8", **more):
    entry = Quantize.model_validate({"model": "m", "scheme": scheme, **more})
    return mixed.as_asked(model, entry, EXAMPLES).content


@pytest.mark.parametrize(
    ("scheme", "more"),
    [
        ("int8", {}),
        ("dynamic", {}),
        ("int16x8", {}),
        ("int8", {"ranges": "percentile"}),
        ("int8", {"exclude": ["dense"]}),
    ],
    ids=["int8", "dynamic", "int16x8", "by layers", "a layer apart"],
)
def test_a_value_is_one_integer_whichever_output_it_is_of(scheme, more):
    model = network()
    content = made(model, scheme, **more)
    convolutions = [integers for integers, _ in weights(content) if integers.shape[0] in (16, MADE)]
    assert len(convolutions) == (1 if scheme == "dynamic" else 2)  # the first is too small for that
    for integers in convolutions:
        assert len(np.unique(np.abs(integers))) <= VALUES
        assert clusters.LEVELS / 2 < np.abs(integers).max() <= clusters.LEVELS
    expected = model.predict(IMAGES, verbose=0)
    files = (content, litert.convert(model, scheme, EXAMPLES))
    off = [np.sqrt(np.mean(np.square(answers(each) - expected))) for each in files]
    assert off[0] < 1.3 * off[1] < 0.1 * expected.std()


def test_weights_mean_what_they_meant_and_take_fewer_bytes():
    """Each to within a step of the integers, against what the converter itself makes."""
    model = network()
    before = litert.convert(model, "int8", EXAMPLES)
    after = made(model)
    assert len(after) == len(before)
    assert len(gzip.compress(after)) < 0.97 * len(gzip.compress(before))
    for (integers, scales), (mine, own) in zip(weights(before), weights(after), strict=True):
        assert (own <= clusters.LOST * scales).all()
        real = integers * scales[:, None].astype(float)
        assert (np.abs(mine * own[:, None].astype(float) - real) <= 0.5 * (own + scales)[:, None] * 1.1).all()


def test_an_output_far_below_the_others_keeps_its_own_scale():
    """By the kernel's its weights would be an integer or two."""
    model = network(quiet=True)
    (rows,) = [row for row in weights(made(model)) if row[0].shape == (MADE, 144)]
    (own,) = [row for row in weights(litert.convert(model, "int8", EXAMPLES)) if row[0].shape == (MADE, 144)]
    assert rows[1][0] == own[1][0]
    assert (rows[0][0] == own[0][0]).all()
    assert (rows[1][1:] != own[1][1:]).any()


@pytest.mark.parametrize("case", [{"values": 200}, {"twice": True}], ids=["of many values", "read twice"])
def test_another_kernel_stays_as_the_converter_makes_it(case):
    model = network(**case)
    before, after = weights(litert.convert(model, "int8", EXAMPLES)), weights(made(model))
    for (integers, scales), (mine, own) in zip(before, after, strict=True):
        if integers.shape in ((MADE, 144), (MADE, 9 * MADE)):
            assert (mine == integers).all()
            assert (own == scales).all()


def test_floats_have_no_integers_to_change():
    model = network()
    content = litert.convert(model, "float16", EXAMPLES)
    assert clusters.alike(content, clusters.shared(model)) == content
