import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.params import Training
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
fit.import_tensorflow()
import tensorflow as tf  # noqa: E402  # without Keras 3, as in the stages

from tasks.training import optimizers  # noqa: E402  # likewise
from tasks.training.muon import orthogonal  # noqa: E402

RNG = np.random.default_rng(0)


def network(*hidden):
    fit.reset(0)
    inputs = keras.Input((5,), name="x")
    x = inputs
    for units in hidden:
        x = keras.layers.Dense(units, activation="relu")(x)
    scores = keras.layers.Dense(3, name="head")(x)
    return keras.Model(inputs, keras.layers.Activation("softmax")(scores))


def stepped(params, model, gradients):
    """What the weights are after one step."""
    rule = optimizers.optimizer(params, 10, model)
    rule.build(model.trainable_variables)
    before = [variable.numpy() for variable in model.trainable_variables]
    rule.apply_gradients(zip(map(tf.constant, gradients), model.trainable_variables, strict=True))
    return [variable.numpy() - old for variable, old in zip(model.trainable_variables, before, strict=True)]


def gradients(model):
    return [RNG.normal(size=variable.shape).astype(np.float32) for variable in model.trainable_variables]


def test_the_rate_climbs_in_the_first_steps_and_follows_its_schedule_then():
    plain, warm = (
        optimizers.learning_rate(Training(epochs=1, schedule="cosine", learning_rate=0.5, warmup=share), 100)
        for share in (0, 0.2)
    )
    for step in range(100):
        expected = 0.5 * (1 + np.cos(np.pi * step / 100)) / 2 * min(1, (step + 1) / 20)
        assert float(warm(step)) == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert step < 19 or float(warm(step)) == float(plain(step))
    constant = optimizers.learning_rate(Training(epochs=1, learning_rate=0.5, warmup=0.5), 10)
    assert [round(float(constant(step)), 3) for step in range(7)] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("clip", [None, 0.5])
def test_gradients_are_clipped_together(clip):
    model = network(4)
    given = gradients(model)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in given))
    changes = stepped(Training(epochs=1, optimizer="sgd", learning_rate=0.1, clip=clip), model, given)
    factor = 1 if clip is None else clip / norm
    for change, gradient in zip(changes, given, strict=True):
        np.testing.assert_allclose(change, -0.1 * factor * gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16, 4), (1, 7)])
def test_all_directions_of_a_matrix_get_one_size(shape):
    matrix = RNG.normal(size=shape).astype(np.float32)
    u, _, vt = np.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonal(tf.constant(matrix)).numpy() @ vt.T
    assert np.abs(found - np.diag(np.diag(found))).max() < 1e-3, "the directions are the matrix's own"
    assert 0.6 < np.diag(found).min() <= np.diag(found).max() < 1.3


def test_muon_moves_hidden_matrices_and_adam_all_else():
    params = Training(epochs=1, optimizer="muon", learning_rate=0.003)
    model = network(8, 20)
    given = gradients(model)
    changes = stepped(params, model, given)
    names = [variable.name for variable in model.trainable_variables]
    for name, change, gradient in zip(names, changes, given, strict=True):
        if name.startswith("dense") and "kernel" in name:
            first = orthogonal(tf.constant(gradient)).numpy()  # a direction is the same whatever its length
            wide = max(1, gradient.shape[1] / gradient.shape[0]) ** 0.5
            np.testing.assert_allclose(change, -0.01 * wide * first, rtol=1e-3, atol=1e-6)
        else:
            np.testing.assert_allclose(change, -0.003 * np.sign(gradient), atol=3e-5)  # Adam's first step


def test_muon_takes_a_convolution_as_the_matrix_of_what_each_output_is_made_of():
    fit.reset(0)
    inputs = keras.Input((6, 6, 2), name="x")
    x = keras.layers.Conv2D(20, 3)(inputs)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.Conv2DTranspose(4, 2)(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    given = gradients(model)
    changes = stepped(Training(epochs=1, optimizer="muon", learning_rate=0.003), model, given)
    u, _, vt = np.linalg.svd(given[0].reshape(18, 20), full_matrices=False)
    sizes = np.diag(u.T @ changes[0].reshape(18, 20) @ vt.T) / (-0.01 * (20 / 18) ** 0.5)
    assert 0.6 < sizes.min() <= sizes.max() < 1.3
    for change, gradient in zip(changes[1:], given[1:], strict=True):
        np.testing.assert_allclose(change, -0.003 * np.sign(gradient), atol=3e-5)  # Adam's first step


def test_a_layer_of_ones_own_that_is_a_dense_one_is_muons():
    class Own(keras.layers.Dense):
        pass

    model = keras.Sequential([keras.Input((4,)), Own(6), keras.layers.Dense(3)])
    assert [each is model.layers[0].kernel for each in optimizers._hidden(model)] == [True]


def test_muon_is_refused_where_no_hidden_matrix_is():
    with pytest.raises(ModelError, match="optimizer: muon is for the matrices of hidden dense layers and convolutions"):
        optimizers.optimizer(Training(epochs=1, optimizer="muon"), 10, network())


@pytest.mark.parametrize(("name", "decay", "expected"), [
    ("sgd", 0.5, 0.5), ("momentum", 0.5, 0.5), ("adamw", 0.5, 0.5), ("adamw", None, 0.004), ("momentum", None, 0),
    ("muon", 0.5, 0.5), ("muon", None, 0),
])  # fmt: skip
def test_weights_decay_by_the_rate_times_their_share(name, decay, expected):
    model = network(4)
    before = [variable.numpy() for variable in model.trainable_variables]
    nothing = [np.zeros_like(weight) for weight in before]
    params = Training(epochs=1, optimizer=name, learning_rate=0.1, weight_decay=decay)
    for change, weight in zip(stepped(params, model, nothing), before, strict=True):
        assert change == pytest.approx(-0.1 * expected * weight, abs=1e-7)


def test_other_optimizers_have_no_decay():
    with pytest.raises(ValueError, match="is of the optimizers adamw, momentum, muon, sgd; received 'adam'"):
        Training(epochs=1, optimizer="adam", weight_decay=0.1)
