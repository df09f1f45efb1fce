"""Layers that people report trouble with, as integers: each network answers as its Keras model, or a layer is named."""

import numpy as np
import pytest

from tasks.errors import ConversionError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
COUNT = 48


@pytest.fixture(autouse=True)
def clean():
    fit.reset(0)


def swish(x):
    """Hard swish as MobileNetV3 spells it."""
    return keras.layers.Multiply()([x, keras.layers.ReLU(6.0)(x + 3.0) * (1 / 6)])


def prepared(x):
    """keras #14872; tensorflow #32398: images prepared within the model, and averages that correct themselves."""
    layers = keras.layers
    x = layers.CenterCrop(8, 8)(layers.Resizing(10, 10)(x))
    x = layers.BatchNormalization(renorm=True)(layers.Conv2D(6, 3)(x))
    return layers.GlobalAveragePooling2D()(layers.ReLU()(x))


def squeezed(x):
    """A convolution in groups, hard swish, and a gate for each channel."""
    layers = keras.layers
    x = swish(layers.Conv2D(8, 3, groups=2, padding="same")(layers.Conv2D(8, 1)(x)))
    gate = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Dense(8, activation="hard_sigmoid")(gate)])
    return layers.GlobalAveragePooling2D()(x)


def series(x):
    """tensorflow #60903: convolutions over time of every kind."""
    layers = keras.layers
    x = layers.Conv1D(8, 3, padding="causal", activation="relu")(layers.Reshape((12, 36))(x))
    x = layers.SeparableConv1D(8, 3, activation="relu")(layers.DepthwiseConv1D(3, padding="same")(x))
    x = layers.Conv1DTranspose(8, 3, strides=2, activation="relu")(layers.MaxPooling1D()(x))
    return layers.GlobalAveragePooling1D()(layers.Conv1D(8, 2, dilation_rate=2)(x))


def bent(x):
    """tensorflow #39014, #33397: slopes that are learnt, for each channel and for all, and fixed ones."""
    layers = keras.layers
    slopes = keras.initializers.RandomUniform(0.1, 0.5, seed=0)
    x = layers.PReLU(slopes, shared_axes=[1, 2])(layers.Conv2D(12, 3, name="first")(x))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(12, 3, name="second")(x))
    return layers.PReLU(slopes)(layers.Dense(12, name="third")(layers.GlobalAveragePooling2D()(x)))


def network(body, shape=(12, 12, 3)):
    given = keras.Input(shape, name="x")
    return keras.Model(given, keras.layers.Dense(4)(body(given)))


def examples(shape=(12, 12, 3)):
    rng = np.random.default_rng(0)
    return Arrays({"x": rng.normal(size=(COUNT, *shape)).astype(np.float32)}, {LABEL: np.arange(COUNT) % 4})


def as_integers(model, drawn):
    """How far the integers' answers lie from Keras's, over the spread of these."""
    from tasks.quantize import guard, litert

    return guard.check(litert.convert(model, "int8", drawn), "int8", drawn, model)


@pytest.mark.parametrize("body", [prepared, squeezed, series], ids=lambda body: body.__name__)
def test_integers_answer_as_the_keras_model(body):
    assert as_integers(network(body), examples()) < 0.1


@pytest.mark.slow
def test_slopes_are_slimmed_with_their_channels_and_become_integers():
    from tasks.compress import slim
    from tasks.params import Slim

    model, drawn = network(bent), examples()
    model = keras.Model(model.input, keras.layers.Softmax()(model.output))
    widths = {"first": 8, "second": 6, "third": 5}
    params = Slim(method="slim", parent="baseline", widths=widths, epochs=1, batch_size=16)
    slimmed, _ = slim.apply(model, params, drawn, drawn, lambda *_: None)
    assert [layer.alpha.shape[-1] for layer in slimmed.layers if isinstance(layer, keras.layers.PReLU)] == [8, 5]
    assert as_integers(slimmed, drawn) < 0.25  # of probabilities that hardly differ


def test_a_convolution_of_volumes_has_no_integers_and_is_named():
    from tasks.quantize import litert

    shape = (4, 6, 6, 1)
    model = network(lambda x: keras.layers.Flatten()(keras.layers.Conv3D(4, 3, name="volume")(x)), shape)
    with pytest.raises(ConversionError, match=r"CONV_3D \(layer volume\) stayed float32.*`exclude: \[volume\]`"):
        litert.convert(model, "int8", examples(shape))
