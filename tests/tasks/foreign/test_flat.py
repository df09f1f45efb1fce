"""Models within models are taken apart and other precisions become float32, and the answers stay what Keras gives."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.foreign.fit_to_data import adapt
from tasks.foreign.flat import flat, is_flat, precisions
from tasks.training import fit, keras_files

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
import tensorflow as tf  # noqa: E402

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
layers = keras.layers
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def clean():
    fit.reset(0)
    yield
    keras.mixed_precision.set_global_policy("float32")


def answers(model, inputs):
    given = [tf.cast(array, tensor.dtype) for array, tensor in zip(inputs, model.inputs, strict=True)]
    return [np.asarray(tf.cast(x, tf.float64)) for x in tf.nest.flatten(model(given if len(given) > 1 else given[0]))]


def inputs_of(model, count=4):
    shapes = [(count, *(size or 5 for size in tensor.shape[1:])) for tensor in model.inputs]
    integers = [not tensor.dtype.is_floating for tensor in model.inputs]
    return [RNG.integers(0, 5, s) if whole else RNG.random(s) for s, whole in zip(shapes, integers, strict=True)]


def encoder(name="encoder"):
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, name="dense"), layers.BatchNormalization()], name=name)


def siamese():
    a, b, twice = keras.Input((6,)), keras.Input((6,)), encoder()
    return keras.Model([a, b], layers.Dense(2, name="dense")(layers.Subtract()([twice(a), twice(b)])))


def by_mapping():
    a, b, i = (keras.Input((6,), name=name) for name in "abi")
    inner = keras.Model({"p": a, "q": b}, layers.Subtract()([a, b]))
    return keras.Model(i, layers.Dense(2)(inner({"q": i, "p": layers.ReLU()(i)})))


def deep():
    middle = keras.Sequential([encoder(), layers.Dense(3)], name="middle")
    return keras.Sequential([keras.Input((6,)), middle, layers.Softmax()])


def heads():
    i = keras.Input((6,))
    label = keras.Sequential([keras.Input((6,)), layers.Dense(3, "softmax", name="value")], name="label")
    value = keras.Sequential([keras.Input((6,)), layers.Dense(1, name="label")], name="value")
    return keras.Model(i, [label(i), value(i)])


def with_state():
    i = keras.Input((None,), dtype="int32")
    x, state = layers.SimpleRNN(5, return_state=True, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(i))
    return keras.Model(i, keras.Sequential([layers.Dense(2)])(layers.SimpleRNN(5)(x, initial_state=state)))


def attention():
    i = keras.Input((7, 4))
    x = layers.Bidirectional(layers.SimpleRNN(3))(layers.MultiHeadAttention(2, 3)(i, i))
    return keras.Model(i, keras.Sequential([layers.Dense(2)])(x))


def transfer():
    """TensorFlow's tutorial "Transfer learning and fine-tuning", smaller."""
    augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])
    whole = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None, alpha=0.35)
    base = keras.Model(whole.input, whole.get_layer("block_2_add").output)
    base.trainable = False
    i = keras.Input((32, 32, 3))
    x = base(keras.applications.mobilenet_v2.preprocess_input(augmentation(i)), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(i, layers.Dense(1, activation="sigmoid")(x))


@pytest.mark.parametrize("build", [siamese, by_mapping, deep, heads, with_state, attention, transfer])
def test_what_is_taken_apart_answers_alike_and_has_the_same_weights(build, tmp_path):
    model = build()
    model.set_weights([RNG.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    made, inputs = flat(model), inputs_of(model)
    assert is_flat(made)
    assert not is_flat(model)
    assert sum(w.size for w in made.get_weights()) == sum(w.size for w in model.get_weights())
    for old, new in zip(answers(model, inputs), answers(made, inputs), strict=True):
        np.testing.assert_array_equal(new, old)
    keras_files.save(made, tmp_path)
    again = keras.models.load_model(tmp_path / keras_files.FILE, compile=False)
    for old, new in zip(answers(made, inputs), answers(again, inputs), strict=True):
        np.testing.assert_array_equal(new, old)


def test_outputs_keep_their_names():
    assert flat(heads()).output_names == ["label", "value"]


def test_frozen_layers_stay_frozen_and_keep_their_averages_in_training():
    model = transfer()
    made = flat(model)
    assert [w.shape for w in made.trainable_weights] == [w.shape for w in model.trainable_weights]
    averages = [w for layer in made.layers if "BatchNorm" in type(layer).__name__ for w in layer.get_weights()]
    made(RNG.random((4, 32, 32, 3)), training=True)
    after = [w for layer in made.layers if "BatchNorm" in type(layer).__name__ for w in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(averages, after, strict=True))


CLASSES = ("a", "b", "c")


def convolutions():
    i = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu")(i)
    x = layers.BatchNormalization()(x) / 2.0
    x = layers.Flatten()(tf.cast(x, x.dtype))
    return keras.Model(i, layers.Activation("softmax", dtype="float32")(layers.Dense(3)(x)))


def features():
    i = keras.Input((7, 4))
    x = layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(5, activation="tanh"))(i))
    return keras.Model(i, layers.Dense(3, activation="softmax")(x))


# what a number is rounded to is known by 2**-bits of itself; the networks round a dozen times
BITS = {"mixed_float16": 11, "float16": 11, "mixed_bfloat16": 8, "bfloat16": 8, "float64": 24}


@pytest.mark.parametrize("build", [convolutions, features])
@pytest.mark.parametrize("policy", BITS)
def test_another_precision_becomes_float32_with_its_answers(build, policy, caplog):
    keras.mixed_precision.set_global_policy(policy)
    model = build()
    keras.mixed_precision.set_global_policy("float32")
    (tensor,) = model.inputs
    found = adapt(model, Spec({"x": TensorSpec(tuple(tensor.shape[1:]), "float32")}, CLASSES), "file")
    assert precisions(found) == []
    assert {weight.dtype for weight in found.weights} == {tf.float32}
    assert {tensor.dtype for tensor in (*found.inputs, *found.outputs)} == {tf.float32}
    assert f"it computes in {policy}; from here on in float32" in caplog.text
    inputs = inputs_of(model)
    np.testing.assert_allclose(*(answers(m, inputs)[0] for m in (found, model)), atol=12 * 2.0 ** -BITS[policy])
    for weight, kept in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, np.asarray(kept, np.float64), rtol=1e-6)


def test_a_model_that_becomes_another_one_in_float32_is_refused():
    """Halves that underflow: 1e-4 squared is nothing in float16."""
    keras.mixed_precision.set_global_policy("float16")
    i = keras.Input((4,), dtype="float16")
    model = keras.Model(i, layers.Softmax()(layers.Dense(3)((i * 1e-4) ** 2 * 1e4 * 1e4)))
    keras.mixed_precision.set_global_policy("float32")
    model.set_weights([np.eye(4, 3) * 8, np.zeros(3)])
    with pytest.raises(ModelError, match="answers otherwise than the file"):
        adapt(model, Spec({"x": TensorSpec((4,), "float32")}, CLASSES), "file")
