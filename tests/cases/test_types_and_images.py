"""Models in halves and doubles, images as bytes, and TensorFlow's image tutorials, through the stages."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.training import keras_files

FP32 = {"model": "baseline", "scheme": "float32"}
INT8 = {"model": "baseline", "scheme": "int8"}


def held(count):
    """Which examples `write_data` gives to the test split."""
    return np.arange(count) % 4 == 3


def images(count, seed=0):
    """Each of four classes has a bright quarter of its own; uint8 [count, 8, 8, 3], and class numbers."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, count)
    x = rng.uniform(0, 100, (count, 8, 8, 3))
    for i, (row, column) in enumerate(zip(*divmod(label, 2), strict=True)):
        x[i, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 120
    return x.astype(np.uint8), label


def fitted(model, x, label):
    import tf_keras as keras

    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, label, epochs=4, verbose=0)
    return np.mean(model.predict(x[held(len(x))], verbose=0).argmax(-1) == label[held(len(x))])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "file"),
    [("mixed_float16", "model.keras"), ("float64", "model.h5"), ("mixed_float16", "model.h5")],
)
def test_halves_and_doubles_are_converted_as_float32(run_case, write_data, policy, file):
    """tensorflow #46380, #40930: the converter has no kernels for them."""
    import tf_keras as keras

    x, label = images(200)
    x = (x / 255).astype(np.float32)
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(policy)
    i = keras.Input((8, 8, 3))
    h = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, activation="relu")(i))
    h = keras.layers.Dense(4)(keras.layers.Flatten()(h))
    model = keras.Model(i, keras.layers.Activation("softmax", dtype="float32")(h))
    keras.mixed_precision.set_global_policy("float32")
    expected = fitted(model, x, label)
    keras_files.save(model, Path())
    model.save("model.keras")
    case = run_case(
        file,
        quantize={"fp32": FP32, "int8": INT8, "fp16": {"model": "baseline", "scheme": "float16"}},
        until="evaluate",
    )
    assert abs(case.quality("fp32") - expected) <= 0.02 + 1e-9  # halves may tip one of 50
    assert case.quality("fp16") >= expected - 0.04
    assert case.quality("int8") >= expected - 0.1


@pytest.mark.parametrize("dtype", [np.uint8, pytest.param(np.int32, marks=pytest.mark.slow)])
def test_bytes_reach_a_model_that_scales_them_and_a_bundle_takes_them(run_case, write_data, project, dtype):
    import tf_keras as keras

    x, label = images(200)
    write_data({"x": x.astype(dtype)}, label, classes=["a", "b", "c", "d"])
    keras.utils.set_random_seed(0)
    i = keras.Input((8, 8, 3))
    h = keras.layers.Conv2D(8, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(i))
    model = keras.Model(i, keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(h)))
    expected = fitted(model, x.astype(np.float32), label)
    keras_files.save(model, Path())
    case = run_case(keras_files.FILE, quantize={"fp32": FP32, "int8": INT8}, until="bundle")
    assert case.quality("fp32") == expected
    assert case.quality("int8") >= expected - 0.1
    np.save("raw.npy", x[:20])
    words = [sys.executable, "out/bundles/host-cpu/classify.py", "raw.npy"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    indices = [json.loads(line)["index"] for line in said.splitlines()]
    assert np.mean(indices == model.predict(x[:20].astype(np.float32), verbose=0).argmax(-1)) >= 0.9


@pytest.mark.slow
def test_colour_images_as_bytes_train_a_family(run_case, write_data):
    x, label = images(120)
    write_data({"photo": x}, label)
    case = run_case(
        quantize={"fp32": FP32},
        model={"family": "cnn", "filters": [8], "dense": []},
        train={"epochs": 8, "batch_size": 16, "learning_rate": 0.01},
        until="evaluate",
    )
    assert case.quality("fp32") > 0.6  # chance is 0.25


@pytest.mark.slow
def test_the_image_tutorial_is_slimmed_and_quantized(run_case, write_data):
    """keras #19108: augmentation within the model."""
    import tf_keras as keras

    x, label = images(200)
    write_data({"x": x.astype(np.float32)}, label)
    keras.utils.set_random_seed(0)
    flips = keras.Sequential([keras.layers.RandomFlip("horizontal", seed=0), keras.layers.RandomZoom(0.05, seed=0)])
    model = keras.Sequential([
        keras.Input((8, 8, 3)), flips, keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"), keras.layers.MaxPooling2D(),
        keras.layers.Dropout(0.2), keras.layers.Flatten(), keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(4),
    ])  # fmt: skip
    keras_files.save(model, Path())
    case = run_case(
        keras_files.FILE,
        train={"epochs": 3, "learning_rate": 0.01},
        quantize={"fp32": FP32, "int8": INT8, "slim": {"model": "slim", "scheme": "int8"}},
        compress={"slim": {"parent": "baseline", "method": "slim", "keep": 0.6, "epochs": 1}},
        until="evaluate",
    )
    assert case.card("models", "slim")["parameters"] < case.card("models", "baseline")["parameters"]
    assert case.quality("int8") >= case.quality("fp32") - 0.1
