"""What a model of one's own answers: two probabilities for one unit, and a refusal that says what is in scope."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples.dataset import Pixels, Spec, TensorSpec, Values
from tasks.foreign.fit_to_data import adapt
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
import tensorflow as tf  # noqa: E402

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
layers = keras.layers
RNG = np.random.default_rng(0)
TWO = Spec({"x": TensorSpec((8, 8, 1), "float32")}, ("cat", "dog"))


@pytest.fixture(autouse=True)
def clean():
    fit.reset(0)


def network(*ends):
    i = x = keras.Input((8, 8, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
    for end in ends:
        x = end(x)
    return keras.Model(i, x)


def images(count=16):
    return RNG.normal(size=(count, 8, 8, 1)).astype(np.float32) * 4


SIGMOIDS = {
    "a unit with a sigmoid": [layers.Dense, {"units": 1, "activation": "sigmoid"}],
    "no bias": [layers.Dense, {"units": 1, "activation": "sigmoid", "use_bias": False}],
    "a unit, then a sigmoid": [layers.Dense, {"units": 1}, layers.Activation, {"activation": "sigmoid"}],
    "a function": [layers.Dense, {"units": 1}, layers.Lambda, {"function": tf.sigmoid}],
    "reshaped": [layers.Dense, {"units": 1, "activation": "sigmoid"}, layers.Reshape, {"target_shape": (1,)}],
    "without an axis": [layers.Dense, {"units": 1, "activation": "sigmoid"}, layers.Reshape, {"target_shape": ()}],
    "a hard one": [layers.Dense, {"units": 1, "activation": "hard_sigmoid"}],
}


def built(made):
    return [kind(**keys) for kind, keys in zip(made[::2], made[1::2], strict=True)]


@pytest.mark.parametrize("made", SIGMOIDS.values(), ids=SIGMOIDS)
def test_a_sigmoid_unit_becomes_two_probabilities(made, caplog):
    model = network(*built(made))
    given = images()
    p = model(given).numpy().astype(np.float64).reshape(-1)
    found = adapt(model, TWO, "file")(given).numpy()
    np.testing.assert_allclose(found, np.stack([1 - p, p], axis=1), atol=1e-6)
    assert "its one unit tells 'dog' from 'cat'; from here on by two probabilities" in caplog.text


@pytest.mark.parametrize(
    "ends", [[layers.Dense, {"units": 1}], [layers.Dense, {"units": 1}, layers.Activation, {"activation": "linear"}]]
)
def test_the_logit_of_two_classes_does_too(ends):
    model = network(*built(ends))
    given = images()
    z = model(given).numpy().astype(np.float64)[:, 0]
    found = adapt(model, TWO, "file")(given).numpy()
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-z)), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


LOGITS = {
    "flattened": lambda x: layers.Flatten()(layers.Conv2D(3, 8)(x)),
    "pooled": lambda x: layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(x)),
    "with axes of 1": lambda x: layers.Conv2D(3, 8)(x),
    "behind dropout": lambda x: layers.Dropout(0.5)(layers.Dense(3)(layers.Flatten()(x))),
    "normalized": lambda x: layers.BatchNormalization()(layers.Dense(3)(layers.Flatten()(x))),
    "with a temperature": lambda x: layers.Dense(3)(layers.Flatten()(x)) / 2.0,
    "of two branches": lambda x: layers.Add()([layers.Dense(3)(layers.Flatten()(x)) for _ in range(2)]),
    "by that name": lambda x: layers.Dense(3, name="probabilities")(layers.Flatten()(x)),
    "as logarithms": lambda x: tf.nn.log_softmax(layers.Dense(3)(layers.Flatten()(x))),
}


@pytest.mark.parametrize("ends", LOGITS.values(), ids=LOGITS)
def test_logits_are_known_behind_what_bends_no_number(ends):
    i = keras.Input((8, 8, 1))
    model = keras.Model(i, ends(i))
    given = images()
    found = adapt(model, Spec(TWO.inputs, tuple("abc")), "file")(given, training=False)
    expected = tf.nn.softmax(tf.reshape(model(given, training=False), (-1, 3)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_logits_of_a_class_beside_other_outputs_keep_their_name():
    i = keras.Input((8, 8, 1))
    x = layers.Flatten()(i)
    model = keras.Model(i, [layers.Dense(2, name="label")(x), layers.Dense(1, name="age")(x)])
    given = images()
    expected = tf.nn.softmax(model(given)[0])
    found = adapt(model, TWO, "file")
    assert found.output_names == ["label", "age"]
    np.testing.assert_allclose(found(given)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("units", "classes"), [(4, 3), (1, 2)])
def test_logits_of_a_further_target_are_completed_too(units, classes):
    """Which would be trained on as if they were probabilities."""
    i = keras.Input((8, 8, 1))
    x = layers.Flatten()(i)
    model = keras.Model(i, [layers.Dense(units, name="kind")(x), layers.Dense(2, "softmax", name="label")(x)])
    given = images()
    z = model(given)[0]
    expected = tf.nn.softmax(z if units > 1 else tf.concat([-z / 2, z / 2], -1))
    found = adapt(model, replace(TWO, further={"kind": classes}), "file")
    assert found.output_names == ["kind", "label"]
    np.testing.assert_allclose(found(given)[0], expected, atol=1e-6)
    np.testing.assert_array_equal(found(given)[1], model(given)[1])


def test_of_an_autoencoders_outputs_the_reconstruction_is_kept(caplog):
    i = keras.Input((8, 8, 1))
    code = layers.Dense(4, name="code")(layers.Flatten()(i))
    model = keras.Model(i, [code, layers.Reshape((8, 8, 1), name="again")(layers.Dense(64)(code))])
    given = images()
    found = adapt(model, replace(TWO, task="reconstruction"), "file")
    assert found.output_names == ["again"]
    np.testing.assert_array_equal(found(given), model(given)[1])
    assert "of its outputs code, again, that which reconstructs is kept" in caplog.text


def test_a_number_without_an_axis_is_a_value():
    i = keras.Input((8, 8, 1))
    model = keras.Model(i, tf.squeeze(layers.Dense(1)(layers.Flatten()(i)), -1))
    spec = Spec(TWO.inputs, (), "regression", Values((0.0,), (1.0,)))
    found = adapt(model, spec, "file")
    given = images()
    assert found.output_shape == (None, 1)
    np.testing.assert_array_equal(found(given)[:, 0], model(given))


def nan():
    model = network(layers.Dense(2, "softmax"))
    model.layers[-1].set_weights([np.full((4, 2), np.nan), np.zeros(2)])
    return model


REFUSED = {
    "NaN": (nan, TWO, r"gives NaN or infinity in 16 of 16 numbers"),
    "multi-label": (lambda: network(layers.Dense(2, "sigmoid")), TWO, r"several labels at once.*in scope.*softmax"),
    "tanh": (lambda: network(layers.Dense(2, "tanh")), TWO, r"neither probabilities nor logits.*in scope"),
    "a softmax of one": (lambda: network(layers.Dense(1, "softmax")), TWO, r"softmax of one unit, which is 1 whatever"),
    "one tanh unit": (lambda: network(layers.Dense(1, "tanh")), TWO, r"neither probabilities nor logits.*in scope"),
    "a regression": (
        lambda: network(layers.Dense(1)),
        Spec(TWO.inputs, tuple("abcd")),
        r"gives \[1\]; .* ask for \[4\]: one number an example, as of a regression; in scope",
    ),
    "another number of classes": (lambda: network(layers.Dense(5)), TWO, r"gives \[5\]; .* ask for \[2\]; in scope"),
    "a class by argmax": (
        lambda: network(layers.Dense(2, "softmax"), lambda x: tf.argmax(x, -1)),
        TWO,
        r"gives int64: an answer that was chosen already, as by argmax .*; save the model without that step",
    ),
    "labels by a threshold": (
        lambda: network(layers.Dense(2, "sigmoid"), lambda x: x > 0.5),
        replace(TWO, task="multilabel"),
        r"gives bool: an answer that was chosen already",
    ),
    "an autoencoder": (
        lambda: network(layers.Dense(64), layers.Reshape((8, 8, 1))),
        TWO,
        r"gives \[8, 8, 1\]; .* it reconstructs its input: set `prepare.task: reconstruction`",
    ),
}


@pytest.mark.parametrize(("build", "spec", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_out_of_scope_is_told_with_what_is_in_scope(build, spec, message):
    with pytest.raises(ModelError, match=message) as caught:
        adapt(build(), spec, "file")
    assert "\n" not in str(caught.value)
    assert "end it in a softmax" not in str(caught.value)


PIXELS = {
    "rescaling": lambda x: layers.Rescaling(1 / 127.5, offset=-1)(x),
    "rescaling behind augmentation": lambda x: layers.Rescaling(1 / 255)(layers.RandomFlip()(x)),
    "normalization": lambda x: layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3600.0, 900.0, 400.0])(x),
    "division": lambda x: x / 255.0,
    "multiplication": lambda x: x * (1 / 255),
    "preprocess_input": lambda x: keras.applications.mobilenet_v2.preprocess_input(x),
    "preprocess_input of others": lambda x: keras.applications.resnet50.preprocess_input(x),
    "within a model": lambda x: keras.Sequential([layers.Rescaling(1 / 255), layers.ReLU()])(x),
    "behind dropout": lambda x: layers.Rescaling(1 / 255)(layers.SpatialDropout2D(0.1)(layers.Dropout(0.1)(x))),
    "behind pooling": lambda x: layers.Rescaling(1 / 255)(layers.AveragePooling2D()(layers.MaxPooling2D(2, 1)(x))),
    "enlarged": lambda x: layers.Rescaling(1 / 255)(layers.Activation("linear")(layers.UpSampling2D()(x))),
    "of every row": lambda x: layers.TimeDistributed(layers.Rescaling(1 / 255))(x),
    "of a pair": lambda x: layers.Concatenate()([x, x]) / 255.0,
    "by channel": lambda x: (x - tf.constant([123.0, 117.0, 104.0])) / 58.0,
    "turned and padded": lambda x: tf.pad(tf.transpose(x, [0, 2, 1, 3]), [[0, 0], [1, 1], [1, 1], [0, 0]]) * (1 / 255),
    "as grey": lambda x: tf.image.rgb_to_grayscale(tf.reverse(x, [-1])) / 255.0,
    "as bytes": lambda x: tf.cast(tf.cast(tf.round(x), tf.uint8), tf.float32) / 255.0,
    "a mean that is learnt": lambda x: averaged(120.0, 3600.0)(x),
    "all of an image": lambda x: layers.Rescaling(1 / 255)(layers.GlobalAveragePooling2D(keepdims=True)(x)),
}


def averaged(mean, variance):
    return layers.BatchNormalization(
        moving_mean_initializer=keras.initializers.Constant(mean),
        moving_variance_initializer=keras.initializers.Constant(variance),
    )


@pytest.mark.parametrize("scale", PIXELS.values(), ids=PIXELS)
@pytest.mark.parametrize("pixels", [Pixels((0.0,) * 3, (255.0,) * 3), Pixels((120.0, 90.0, 80.0), (50.0, 60.0, 70.0))])
def test_a_model_that_scales_pixels_is_given_them_as_they_were(scale, pixels, caplog):
    i = keras.Input((8, 8, 3))
    model = keras.Model(i, layers.Dense(2, "softmax")(layers.Flatten()(scale(i))))
    raw = RNG.integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    found = adapt(model, Spec({"x": TensorSpec((8, 8, 3), "float32", pixels=pixels)}, ("a", "b")), "file")
    given = (raw - np.array(pixels.mean, np.float32)) / np.array(pixels.scale, np.float32)
    np.testing.assert_allclose(found(given, training=False).numpy(), model(raw, training=False).numpy(), atol=1e-4)
    assert "`prepare.normalize: none` saves both" in caplog.text


def test_bytes_are_given_as_they_were_and_pixels_that_are_left_alone_stay_so(caplog):
    i = keras.Input((8, 8, 3), dtype="uint8")
    model = keras.Model(i, layers.Dense(2, "softmax")(layers.Flatten()(layers.Rescaling(1 / 255)(i))))
    raw = RNG.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    for pixels, given in ((Pixels((0.0,) * 3, (255.0,) * 3), raw / 255), (Pixels((0.0,) * 3, (1.0,) * 3), raw)):
        caplog.clear()
        found = adapt(model, Spec({"x": TensorSpec((8, 8, 3), "float32", pixels=pixels)}, ("a", "b")), "file")
        np.testing.assert_allclose(found(given.astype(np.float32)).numpy(), model(raw).numpy(), atol=1e-5)
        assert ("saves both" in caplog.text) is not pixels.raw
        assert len(found.layers) == len(model.layers) + (not pixels.raw)


SCALED = {
    "kernels at once": lambda x: layers.Conv2D(4, 3)(x),
    "from -1 to 1": lambda x: layers.Conv2D(4, 3)(layers.Rescaling(2.0, -1.0)(x)),
    "their own mean": lambda x: layers.Conv2D(4, 3)(averaged(0.5, 0.08)(x)),
    "an image by itself": lambda x: layers.Conv2D(4, 3)(layers.LayerNormalization()(x)),
    "all of an image": lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x),
    "scaled behind a kernel": lambda x: layers.Rescaling(1 / 255)(layers.Conv2D(4, 3)(x)),
}


@pytest.mark.parametrize("begins", SCALED.values(), ids=SCALED)
def test_a_model_that_takes_scaled_pixels_is_left_alone(begins):
    i = keras.Input((32, 32, 3))
    model = keras.Model(i, layers.Dense(2, "softmax")(layers.Flatten()(begins(i))))
    for pixels in (Pixels((0.0,) * 3, (255.0,) * 3), Pixels((120.0, 90.0, 80.0), (50.0, 60.0, 70.0))):
        found = adapt(model, Spec({"x": TensorSpec((32, 32, 3), "float32", pixels=pixels)}, ("a", "b")), "file")
        assert [type(layer) for layer in found.layers] == [type(layer) for layer in model.layers]


@pytest.mark.parametrize(("own", "data"), [((8, 8), (8, 8, 1)), ((8, 8, 1), (8, 8))])
def test_a_last_axis_of_one_may_be_missing_on_either_side(own, data):
    i = keras.Input(own)
    model = keras.Model(i, layers.Dense(2, "softmax")(layers.Flatten()(i)))
    found = adapt(model, Spec({"x": TensorSpec(data, "float32")}, ("a", "b")), "file")
    given = RNG.random((4, *data), np.float32)
    assert found.input_shape == (None, *data)
    np.testing.assert_array_equal(found(given).numpy(), model(given.reshape(4, *own)).numpy())
