"""A rebuilt model trains as it does in Keras 3, whatever `training` its calls were written with."""

import numpy as np
import pytest

from tasks.foreign import load
from tasks.params import Stored
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
NOISE = (
    "noise", "noise_off_by_the_user", "noise_on_by_the_user", "noise_in_sequence", "noise_in_steps", "noise_nested",
    "noise_nested_off", "noise_nested_sequence_off",
)  # fmt: skip


def answers(model, given, **how):
    found = model(given, **how)
    return [part.numpy() for part in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("name", NOISE)
def test_what_acts_in_training_acts_as_in_keras_3(made, name):
    """The same outputs vary from call to call, with the same mean and spread; without training none does."""
    fit.reset(0)
    path = made(name)
    model = load.load(Stored(source=str(path)))
    with np.load(path.with_suffix(".npz")) as stored:
        (given,) = (stored[key] for key in stored.files if key.startswith("in/"))
        still = [stored[key] for key in stored.files if key.startswith("out/")]
        trained = [stored[key] for key in stored.files if key.startswith("train/")]
    for ours, theirs in zip(answers(model, given, training=False), still, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    calls = [answers(model, given, training=True) for _ in trained[0]]
    drawn = [np.stack(each) for each in zip(*calls, strict=True)]
    assert len(trained) == len(drawn)
    for tensor, ours, theirs, quiet in zip(model.outputs, drawn, trained, still, strict=True):
        layer = tensor.name
        assert (ours[0] == ours[1]).all() == (theirs[0] == theirs[1]).all(), layer
        assert not np.allclose(ours[0], quiet), layer
        near = 0.2 * max(1.0, float(theirs.std()))  # what so many calls differ by is a fifth of it
        assert (ours.mean(), ours.std()) == pytest.approx((theirs.mean(), theirs.std()), abs=near), layer
        assert np.mean(ours == 0) == pytest.approx(np.mean(theirs == 0), abs=0.15), layer


def test_dropout_keeps_a_network_from_learning_by_heart(made):
    """Labels by chance: they can be learnt by heart alone, which a dropout of 80 % prevents."""
    fit.reset(0)
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(64, 40)).astype(np.float32), rng.integers(0, 2, 64)

    def last_loss(model):
        model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy")
        return model.fit(x, label, epochs=40, verbose=0).history["loss"][-1]

    def without(layer):
        off = {"rate": 0.0} if isinstance(layer, keras.layers.Dropout) else {}
        return type(layer).from_config(layer.get_config() | off)

    model = keras.models.clone_model(load.load(Stored(source=str(made("wide")))))  # with weights of its own
    plain = keras.models.clone_model(model, clone_function=without)
    assert last_loss(plain) < 0.01 < 0.1 < last_loss(model)
