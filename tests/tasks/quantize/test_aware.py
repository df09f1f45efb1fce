"""Training aware of rounding: what does not become integers afterwards is refused before it."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.params import Quantize
from tasks.quantize import aware, layers, litert
from tasks.records import ModelCard
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
RNG = np.random.default_rng(0)
IMAGES = Arrays({"image": RNG.random((16, 8, 8, 3)).astype("f4")}, {"label": np.arange(16) % 2})
CARD = ModelCard(model="m", parent=None, method="train", parameters=1, epochs=1, total_epochs=1, layers=(), history={})
ENTRY = Quantize(model="m", scheme="int8", aware_epochs=1, batch_size=16)


def network(architectures, *, stem):
    """A transposed convolution and batch normalization, behind a convolution or behind the input itself."""
    fit.reset(0)
    x = y = keras.Input((8, 8, 3), name="image")
    if stem:
        y = keras.layers.Conv2D(4, 3, name="stem")(y)
    y = keras.layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(y)
    y = keras.layers.ReLU(name="bent")(keras.layers.BatchNormalization(name="norm")(y))
    y = keras.layers.Dense(2, activation="softmax", name="label")(keras.layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, y)
    architectures.randomize(model)
    return model


def test_a_transposed_convolution_that_leaves_floats_is_refused_before_the_training(architectures, monkeypatch):
    monkeypatch.setattr(fit, "fit", lambda *_, **__: pytest.fail("it was trained"))
    told = r"'m': with TFMOT's rounding up does not become integers \(.*stayed float32\); set aware_epochs: 0"
    with pytest.raises(ModelError, match=told) as error:
        aware.apply(network(architectures, stem=False), CARD, ENTRY, IMAGES, IMAGES)
    assert "exclude:" not in str(error.value), "which aware_epochs does not allow"
    assert not layers.floats(litert.convert(network(architectures, stem=False), "int8", IMAGES))


def test_one_that_becomes_integers_is_trained(architectures):
    trained = aware.apply(network(architectures, stem=True), CARD, ENTRY, IMAGES, IMAGES)
    assert not layers.floats(litert.convert(trained, "int8", IMAGES))


def test_a_rare_class_counts_as_much_as_where_the_model_was_trained():
    label = (np.arange(400) % 20 == 0).astype(np.int64)
    noise = np.random.default_rng(0).normal(size=(400, 1))
    examples = Arrays({"x": (noise + label[:, None]).astype("f4")}, {"label": label})
    entry = ENTRY.model_copy(update={"aware_epochs": 40, "batch_size": 50, "aware_learning_rate": 0.05})
    found = {}
    for weights in ("none", "balanced"):
        fit.reset(0)
        x = keras.Input((1,), name="x")
        model = keras.Model(x, keras.layers.Dense(2, activation="softmax", name="label")(x))
        card = CARD.model_copy(update={"params": {"model": {}, "train": {"class_weights": weights}}})
        trained = aware.apply(model, card, entry, examples, examples)
        found[weights] = int(trained.predict(examples.inputs["x"], verbose=0).argmax(axis=1)[label == 1].sum())
    assert found["none"] <= 2
    assert found["balanced"] >= 10
