"""Files as people have them: every format gives the network that was saved, or says how to save it otherwise."""

import warnings

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.training import fit
from tests.tasks.foreign.test_safety import FORMATS, read, save

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.fixture(autouse=True)
def clean(project):
    fit.reset(0)


def convolutions():
    inputs = keras.Input((8, 8, 3), name="x")
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    y = keras.layers.Dropout(0.2)(keras.layers.DepthwiseConv2D(3)(keras.layers.ReLU(6.0)(y)))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(y)))


def operators():
    import tensorflow as tf

    inputs = keras.Input((8, 8, 3), name="x")
    y = tf.nn.relu6(keras.layers.Conv2D(4, 3, padding="same")(inputs) + 3.0) / 6.0
    y = tf.reduce_mean(tf.clip_by_value(y[:, 1:-1, ::2], 0.0, 0.9), axis=[1, 2])
    y = tf.reshape(tf.stack([y, tf.square(y)], axis=-1), (-1, 8))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(1.0 - tf.math.l2_normalize(y, axis=-1)))


def local():
    """A filter for each place, and a tensor of one number in the shape of another."""
    import tensorflow as tf

    inputs = keras.Input((8, 8, 3), name="x")
    y = keras.layers.LocallyConnected2D(4, 3, strides=2, implementation=2)(inputs)
    y = keras.layers.LocallyConnected1D(3, 2)(keras.layers.Reshape((9, 4))(y))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(y + tf.fill(tf.shape(y), 0.5))))


def recurrent():
    inputs = keras.Input((6,), dtype="int32", name="x")
    y = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    y = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(y)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.GRU(4)(y)))


def attention():
    inputs = keras.Input((6, 8), name="x")
    y = keras.layers.LayerNormalization()(inputs + keras.layers.MultiHeadAttention(2, 4)(inputs, inputs))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(y)))


def mobile():
    inputs = keras.Input((32, 32, 3), name="x")
    base = keras.applications.MobileNetV3Small((32, 32, 3), include_top=False, weights=None, minimalistic=False)
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(base(inputs))))


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize(
    "build",
    [
        convolutions,
        operators,
        attention,
        local,
        pytest.param(recurrent, marks=pytest.mark.slow),
        pytest.param(mobile, marks=pytest.mark.slow),
    ],
)
def test_the_network_that_was_saved_is_read(build, path):
    model = build()
    model.compile("adam", "sparse_categorical_crossentropy")
    save(model, path)
    found = read(path)
    rng, shape = np.random.default_rng(0), (5, *model.input_shape[1:])
    examples = rng.integers(0, 9, shape) if model.inputs[0].dtype == "int32" else rng.random(shape, np.float32)
    np.testing.assert_allclose(found(examples).numpy(), model(examples).numpy(), atol=1e-6)
    assert [layer.name for layer in found.layers] == [layer.name for layer in model.layers]


WRAPPED = {
    "prune": r"\(PruneLowMagnitude\) is a wrapper of .*strip_pruning\(model\)",
    "cluster": r"\(ClusterWeights\) is a wrapper of .*strip_clustering\(model\)",
    "quantize": r"\(QuantizeLayer\) is a wrapper of .*save the model before quantize_apply",
}


@pytest.mark.parametrize("path", FORMATS[:2])
@pytest.mark.parametrize("how", WRAPPED)
def test_wrappers_of_tfmot_are_to_be_taken_off_first(how, path):
    tfmot = pytest.importorskip("tensorflow_model_optimization")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(3, "softmax")])
    centroids = tfmot.clustering.keras.CentroidInitialization.LINEAR
    wrapped = {
        "prune": lambda: tfmot.sparsity.keras.prune_low_magnitude(model),
        "cluster": lambda: tfmot.clustering.keras.cluster_weights(model, 2, cluster_centroids_init=centroids),
        "quantize": lambda: tfmot.quantization.keras.quantize_model(model),
    }[how]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TFMOT's own
        save(wrapped, path)
    with pytest.raises(ModelError, match=rf"^{path}: layer '\w+' {WRAPPED[how]}") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize("name", ["keras.backend.batch_flatten", "random.shuffle"])
def test_an_operator_that_is_on_no_list_is_named_and_the_way_out_is_said(name, path):
    import tensorflow as tf

    inputs = keras.Input((4,), name="x")
    called = {"keras.backend.batch_flatten": keras.backend.batch_flatten, "random.shuffle": tf.random.shuffle}[name]
    save(keras.Model(inputs, keras.layers.Activation("softmax")(called(inputs))), path)
    way = r"save the model without it, or convert it to \.tflite and take that \(scheme as-is\)"
    with pytest.raises(ModelError, match=rf"^{path}: layer '.*{name}': the operator '{name}' is none .*; {way}$"):
        read(path)


@pytest.mark.parametrize("path", FORMATS)
def test_a_layer_that_is_on_no_list_is_named_and_the_way_out_is_said(path):
    inputs = keras.Input((4,), name="x")
    features = keras.layers.experimental.RandomFourierFeatures(3, name="features")
    save(keras.Model(inputs, features(inputs)), path)
    way = r"save the model without it, or convert it to \.tflite and take that \(scheme as-is\)"
    with pytest.raises(ModelError, match=rf"^{path}: layer 'features': .*RandomFourierFeatures .*; {way}$"):
        read(path)


@pytest.mark.slow
def test_what_keras_3_exports_for_serving_has_no_layers(files):
    with pytest.raises(ModelError, match=r"no SavedModel of tf_keras .*save the model as \.keras, or convert it"):
        read(files / "exported")
