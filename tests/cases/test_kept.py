"""Layers of a model of one's own that are frozen, regularized or constrained are so wherever it is trained on."""

from pathlib import Path

import numpy as np
import pytest

from tasks.compress import finetune, prune
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Spec, TensorSpec
from tasks.foreign import fit_to_data, load
from tasks.params import Finetune, Prune, Stored
from tasks.training import fit, keras_files

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
COUNT, RADIUS = 96, 0.5
EXAMPLES = Arrays(
    {"x": np.random.default_rng(0).normal(size=(COUNT, 8)).astype(np.float32)}, {LABEL: np.arange(COUNT) % 3}
)
SPEC = Spec({"x": TensorSpec((8,), "float32")}, ("a", "b", "c"))
TRAINING = {"parent": "baseline", "epochs": 6, "learning_rate": 0.03, "batch_size": 16}


@pytest.fixture
def model(project):
    """Read from a file, fitted to the data, stored and read again, as by the stages."""
    fit.reset(0)
    layers = keras.layers
    given = keras.Input((8,), name="x")
    x = layers.BatchNormalization(name="still", trainable=False)(given)
    x = layers.Dense(12, activation="relu", trainable=False, name="frozen")(x)
    x = layers.Dense(12, activation="relu", kernel_constraint=keras.constraints.MaxNorm(RADIUS), name="bound")(x)
    x = layers.Dense(12, activation="relu", kernel_regularizer=keras.regularizers.L2(3.0), name="pulled")(x)
    keras.Model(given, layers.Dense(3, activation="softmax", name="free")(x)).save("own.keras")
    read = fit_to_data.adapt(load.load(Stored(source="own.keras")), SPEC, "own.keras")
    keras_files.save(read, Path())
    return keras.models.load_model(keras_files.FILE, compile=False)


@pytest.mark.parametrize("method", [pytest.param("finetune", marks=pytest.mark.slow), "prune"])
def test_layers_stay_what_they_are_in_training(model, method):
    apply, params = {
        "finetune": (finetune.apply, Finetune(method="finetune", **TRAINING)),
        "prune": (prune.apply, Prune(method="prune", sparsity=0.5, **TRAINING)),
    }[method]
    before = {layer.name: layer.get_weights() for layer in model.layers}
    trained, _ = apply(model, params, EXAMPLES, EXAMPLES, lambda *_: None)
    after = {layer.name: layer.get_weights() for layer in trained.layers}
    for name in ("still", "frozen"):
        assert not trained.get_layer(name).trainable
        for old, new in zip(before[name], after[name], strict=True):
            kept = np.ones(old.shape, bool) if method == "finetune" else new != 0
            np.testing.assert_array_equal(new[kept], old[kept])
    kernels = {name: weights[0] for name, weights in after.items() if weights}
    assert np.linalg.norm(kernels["bound"], axis=0).max() <= RADIUS * (1 + 1e-5)
    assert np.abs(kernels["pulled"]).mean() < 0.3 * np.abs(before["pulled"][0]).mean()
    assert np.abs(kernels["free"] - before["free"][0]).max() > 0.01
    if method == "prune":
        assert {name: np.mean(kernels[name] == 0) for name in ("frozen", "bound", "free")} == pytest.approx(
            dict.fromkeys(("frozen", "bound", "free"), 0.5), abs=0.02
        )
