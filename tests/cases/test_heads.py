"""What a model of one's own ends in: one unit for two classes, or a reconstruction of its input."""

from pathlib import Path

import numpy as np
import pytest

from tasks.errors import DataError, ModelError
from tasks.training import keras_files

FP32 = {"model": "baseline", "scheme": "float32"}
INT8 = {"model": "baseline", "scheme": "int8"}


def held(count):
    """Which examples `write_data` gives to the test split."""
    return np.arange(count) % 4 == 3


def images(count, classes, seed=0):
    """Each class has a bright quarter of its own; float32 [count, 8, 8, 3] from 0 to 1, and class numbers."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, count)
    x = rng.uniform(0, 0.4, (count, 8, 8, 3))
    for i, (row, column) in enumerate(zip(*divmod(label, 2), strict=True)):
        x[i, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 0.5
    return x.astype(np.float32), label


@pytest.mark.slow
def test_one_sigmoid_unit_tells_two_classes(run_case, write_data):
    import tf_keras as keras

    x, label = images(200, 2)
    write_data({"x": x}, label, classes=["left", "right"])
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(),
        keras.layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    model.fit(x, label, epochs=3, verbose=0)
    keras_files.save(model, Path())
    expected = np.mean((model.predict(x[held(200)], verbose=0)[:, 0] > 0.5) == label[held(200)])
    assert expected > 0.6
    more = {"more": {"parent": "baseline", "method": "finetune", "epochs": 1, "learning_rate": 0.001}}
    quantize = {"fp32": FP32, "int8": INT8, "more": {"model": "more", "scheme": "float32"}}
    case = run_case(keras_files.FILE, quantize=quantize, compress=more, until="evaluate")
    assert case.quality("fp32") == expected
    assert case.quality("int8") >= expected - 0.1
    assert case.quality("more") >= expected - 0.1
    assert {"loss", "val_loss", "accuracy", "val_accuracy"} == set(case.card("models", "more")["history"])


@pytest.mark.slow
@pytest.mark.parametrize("spatial", [False, True])
def test_an_autoencoder_is_trained_on_its_input(run_case, write_data, spatial):
    """tensorflow #47068: whose only output had any name was trained on the class number."""
    import tf_keras as keras

    rng = np.random.default_rng(0)
    label = (np.arange(400) % 5 == 0).astype(np.int64)
    x = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 24)) + label[:, None] * rng.normal(size=(400, 24))
    x = x.astype(np.float32).reshape(400, *((6, 4) if spatial else (24,)))
    write_data({"x": x}, label, classes=["normal", "anomalous"])
    keras.utils.set_random_seed(0)
    ends = [keras.layers.Reshape((6, 4))] if spatial else []
    model = keras.Sequential([
        keras.Input(x.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(6, activation="relu"),
        keras.layers.Dense(24), *ends,
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x[label == 0], x[label == 0], epochs=5, verbose=0)
    keras_files.save(model, Path())
    case = run_case(
        keras_files.FILE,
        quantize={"fp32": FP32, "more": {"model": "more", "scheme": "float32"}},
        compress={"more": {"parent": "baseline", "method": "finetune", "epochs": 5, "learning_rate": 0.003}},
        prepare={"source": "npz", "path": "data", "validation": 0.2, "task": "reconstruction"},
        until="evaluate",
    )
    normal = x[held(400) & (label == 0)]
    errors = [
        float(np.mean(np.square(keras_files.load(name)[0].predict(normal, verbose=0) - normal)))
        for name in ("baseline", "more")
    ]
    assert errors[1] < errors[0]
    assert set(case.card("models", "more")["history"]) == {"loss", "val_loss"}
    assert case.quality("more") >= case.quality("fp32") - 0.02


def test_an_autoencoder_without_its_task_is_told_which(run_case, write_data):
    import tf_keras as keras

    x = np.random.default_rng(0).normal(size=(80, 24)).astype(np.float32)
    write_data({"x": x}, np.arange(80) % 2)
    keras_files.save(keras.Sequential([keras.Input((24,)), keras.layers.Dense(4), keras.layers.Dense(24)]), Path())
    with pytest.raises(ModelError, match=r"reconstructs its input: set `prepare\.task: reconstruction`"):
        run_case(keras_files.FILE, quantize={"fp32": FP32}, until="train")


def test_a_regression_that_is_not_told_is_told_how(run_case, write_data):
    """By its targets, and by a network of one number, where the targets are classes."""
    import tf_keras as keras

    x = np.random.default_rng(0).normal(size=(80, 24)).astype(np.float32)
    keras_files.save(keras.Sequential([keras.Input((24,)), keras.layers.Dense(1)]), Path())
    for label, error, reason in (
        (x.mean(1), DataError, r"train\.npz: targets\.label: .*; for values to predict set `prepare.task: regression`"),
        (np.arange(80) // 4 % 4, ModelError, r"gives \[1\]; .* as of a regression; in scope"),
    ):
        write_data({"x": x}, label)
        with pytest.raises(error, match=reason) as caught:
            run_case(keras_files.FILE, quantize={"fp32": FP32}, until="train")
        assert "\n" not in str(caught.value)
