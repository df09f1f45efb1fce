"""A model file of a stranger: nothing in it runs while it is read, whatever stands in it and wherever."""

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.foreign import listed, load, safety
from tasks.params import Stored
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
h5py = pytest.importorskip("h5py")
FORMATS = ("model.keras", "model.h5", "folder")


@pytest.fixture(autouse=True)
def clean(project):
    fit.reset(0)


def read(path, **more):
    return load.load(Stored(source=str(path), **more))


def save(model, path, **settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file", category=UserWarning)
        model.save(path, **settings)
    return model


def described(path):
    """The configuration in a file of any format."""
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("config.json"))
    if path.endswith(".h5"):
        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"])
    return json.loads(metadata().nodes[0].metadata)


def metadata():
    from tf_keras.protobuf import saved_metadata_pb2

    return saved_metadata_pb2.SavedMetadata.FromString(Path("folder/keras_metadata.pb").read_bytes())


def describe(path, config):
    """Put another configuration into a file."""
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(path, "w") as file:
            for name, content in (members | {"config.json": json.dumps(config)}).items():
                file.writestr(name, content)
    elif path.endswith(".h5"):
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
    else:
        noted = metadata()
        noted.nodes[0].metadata = json.dumps(config)
        Path("folder/keras_metadata.pb").write_bytes(noted.SerializeToString())


def network():
    """One of everything that a configuration nests: wrappers, cells, a model in a model, operators, an inner object."""
    import tensorflow as tf

    inputs = keras.Input((6, 4), name="x")
    y = keras.layers.Bidirectional(keras.layers.SimpleRNN(2, return_sequences=True, kernel_regularizer="l2"))(inputs)
    y = keras.layers.TimeDistributed(
        keras.layers.Dense(4, activation=keras.layers.LeakyReLU(0.1), kernel_constraint="max_norm"), name="each"
    )(y)
    y = keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.GRUCell(4)], return_sequences=True, name="cells")(y)
    y = keras.layers.MultiHeadAttention(2, 3)(y, y, use_causal_mask=True)
    y = tf.concat([tf.nn.relu(y) + 1.0, y[:, :, ::2]], axis=-1)
    y = 1.0 - tf.where(y > 0, y, tf.zeros_like(y)) + y // 0.5
    inner = keras.Input((6, 3))
    block = keras.Model(inner, keras.layers.Dense(2, activation="tanh", name="deep")(inner), name="block")
    y = keras.Sequential([keras.layers.Dense(3, activation="gelu"), block], name="stack")(y)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(y))


def small():
    return keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2, name="dense")])


@pytest.mark.parametrize("path", FORMATS)
def test_what_only_computes_is_read(path):
    without_calls = {"save_traces": False} if path == "folder" else {}  # those of all these layers take 12 s
    model = save(network(), path, **without_calls)
    examples = np.random.default_rng(0).random((5, 6, 4), np.float32)
    np.testing.assert_array_equal(read(path)(examples).numpy(), model(examples).numpy())


def inner(how):
    """A model within the model, by the ways in which it may know the shape of its input."""
    if how == "functional":
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(4)(inputs))
    first = {
        "input layer": [keras.Input((4,)), keras.layers.Dense(4)],
        "shape of the first layer": [keras.layers.Dense(4, input_shape=(4,))],
        "none": [keras.layers.Dense(4)],
        "a model": [inner("functional"), keras.layers.Dense(4)] if how == "a model" else [],
    }
    return keras.Sequential(first[how])


@pytest.mark.parametrize("path", FORMATS[:2])
@pytest.mark.parametrize("how", ["functional", "input layer", "shape of the first layer", "none", "a model"])
def test_a_model_within_the_model_may_be_called_twice(path, how):
    inputs = keras.Input((4,), name="x")
    block = inner(how)
    model = save(keras.Model(inputs, keras.layers.Add()([block(block(inputs)), inputs])), path)
    examples = np.random.default_rng(0).random((5, 4), np.float32)
    np.testing.assert_array_equal(read(path)(examples).numpy(), model(examples).numpy())


@pytest.mark.parametrize("path", FORMATS[:2])
@pytest.mark.parametrize("place", [["dense", 0, 0], ["x", 1, 0], ["nowhere", 0, 0], ["after", 0, 0], ["x", -1, 0]])
def test_a_layer_whose_input_nothing_gives_is_not_waited_for(path, place):
    inputs = keras.Input((4,), name="x")
    save(keras.Model(inputs, keras.layers.Dense(2, name="after")(keras.layers.Dense(2, name="dense")(inputs))), path)
    config = described(path)
    node = config["config"]["layers"][1]["inbound_nodes"][0]
    node[0] = [*place, {}]
    describe(path, config)
    with pytest.raises(ModelError, match="layer 'dense': its inputs are missing, or made of its own output"):
        read(path)


# What ran while it was read: an operator of TensorFlow that is called on constants, by the subclass of TFOpLambda


def operator(kind, function, argument, arguments):
    return {
        "class_name": kind,
        "name": "planted",
        "config": {"name": "planted", "trainable": True, "dtype": "float32", "function": function},
        "inbound_nodes": [["_CONSTANT_VALUE", -1, argument, arguments]],
    }


HARM = {
    "write": ("io.write_file", "canary", {"contents": "x"}),
    "delete": ("io.gfile.remove", "victim", {}),
    "load": ("load_op_library", "./native.so", {}),
}


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize("kind", listed.OPERATOR_LAYERS)
@pytest.mark.parametrize("harm", HARM)
def test_an_operator_that_is_called_on_constants_does_not_run(path, kind, harm):
    Path("victim").touch()
    inputs = keras.Input((4,), name="x")
    save(keras.Model(inputs, keras.layers.Dense(2)(inputs)), path)
    config = described(path)
    module = {"module": "keras.layers", "registered_name": None} if path == "model.keras" else {}
    config["config"]["layers"].insert(1, operator(kind, *HARM[harm]) | module)
    describe(path, config)
    with pytest.raises(ModelError, match=rf"layer 'planted': the operator '{HARM[harm][0]}' is none that"):
        read(path)
    assert Path("victim").exists()
    assert not Path("canary").exists()
    config["config"]["layers"][1]["config"]["function"] = "identity" if kind == "TFOpLambda" else "boolean_mask"
    describe(path, config)
    with pytest.raises(ModelError, match="layer 'planted': it is called on constants alone, which would run it"):
        read(path)


def test_a_registered_name_leads_nowhere_else():
    save(small(), "model.keras")
    config = described("model.keras")
    config["config"]["layers"][1] |= {"module": "tf_keras.src.utils.data_utils", "registered_name": "get_file"}
    describe("model.keras", config)
    with pytest.raises(ModelError, match="layer 'dense': get_file is no layer of tf_keras"):
        read("model.keras")
    function = {"module": "keras.activations", "class_name": "function", "config": "relu"}
    config["config"]["layers"][1] |= {"module": "keras.layers", "registered_name": None}
    config["config"]["layers"][1]["config"]["activation"] = function | {"registered_name": "deserialize"}
    describe("model.keras", config)
    with pytest.raises(ModelError, match=r"the function .relu. of keras\.activations is no activation"):
        read("model.keras")


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("PruneLowMagnitude", r"take it off before saving \(tfmot.sparsity.keras.strip_pruning\(model\)\)"),
        ("ClusterWeights", r"take it off before saving \(tfmot.clustering.keras.strip_clustering\(model\)\)"),
        ("QuantizeWrapperV2", "save the model before quantize_apply"),
        ("QuantizeLayer", "save the model before quantize_apply"),
    ],
)
def test_wrappers_of_tfmot_come_with_the_way_to_take_them_off(kind, way):
    save(small(), "model.h5")
    config = described("model.h5")
    config["config"]["layers"][1]["class_name"] = kind
    describe("model.h5", config)
    with pytest.raises(ModelError, match=rf"layer 'dense' \({kind}\) is a wrapper of TensorFlow Model .*: {way}"):
        read("model.h5")


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("TensorFlowOpLayer", "is an operator of a graph, as TensorFlow before 2.4 has kept it: save the model with"),
        ("CuDNNGRU", r"runs on NVIDIA GPUs alone: build the model with GRU\(reset_after=True\)"),
        ("CuDNNLSTM", "runs on NVIDIA GPUs alone: build the model with LSTM,"),
        ("UnifiedLSTM", "is what TensorFlow 1.14 calls LSTM: build the model with that"),
        ("KerasLayer", "calls a SavedModel, which has no layers to compress: build the model with the layers"),
    ],
)
def test_layers_of_older_or_other_versions_are_not_taken_for_ones_own(kind, way):
    save(small(), "model.h5")
    config = described("model.h5")
    config["config"]["layers"][1]["class_name"] = kind
    describe("model.h5", config)
    with pytest.raises(ModelError, match=rf"layer 'dense' \({kind}\) {way}.*, or convert it to \.tflite$"):
        read("model.h5")


# The lists


def test_tensorflow_and_tf_keras_have_every_name():
    from tensorflow.python.util.tf_export import get_symbol_from_name
    from tf_keras.src import initializers
    from tf_keras.src.applications import inception_resnet_v2
    from tf_keras.src.layers import serialization

    assert all(callable(get_symbol_from_name(name)) for name in listed.OPERATORS | listed.SLICES)
    serialization.populate_deserializable_objects()
    layers = serialization.LOCAL.ALL_OBJECTS
    scale = inception_resnet_v2.CustomScaleLayer
    layers = layers | vars(keras.layers) | vars(keras) | {"CustomScaleLayer": scale, "Custom>CustomScaleLayer": scale}
    for name in listed.LAYERS | listed.ACTIVATION_LAYERS:
        assert issubclass(layers[name], keras.layers.Layer), name
    assert initializers.LOCAL.ALL_OBJECTS.keys() >= listed.INITIALIZERS
    assert all(callable(keras.activations.get(name)) for name in listed.ACTIVATIONS)
    assert vars(keras.regularizers).keys() >= listed.REGULARIZERS
    assert vars(keras.constraints).keys() >= listed.CONSTRAINTS


def test_no_operator_on_the_list_takes_a_function_or_reaches_out():
    """Names that tell what an operator does besides computing are on no list, and none takes a callable."""
    import inspect

    from tensorflow.python.util.tf_export import get_symbol_from_name

    for name in listed.OPERATORS | listed.SLICES:
        words = set(name.replace(".", "_").split("_"))
        assert not words & {
            "io",
            "file",
            "read",
            "write",
            "load",
            "py",
            "print",
            "random",
            "map",
            "while",
            "cond",
            "fn",
        }
        arguments = inspect.signature(get_symbol_from_name(name)).parameters
        assert not {argument for argument in arguments if argument in ("fn", "func", "function", "body", "callback")}


def test_roles_are_told_by_the_last_word_of_a_key():
    roles = ("kernel_initializer", "recurrent_activation", "activity_regularizer", "activation", "cell", "units")
    assert [safety.role_of(key) for key in roles] == [
        "initializer", "activation", "regularizer", "activation", "layer", None,
    ]  # fmt: skip


@pytest.mark.parametrize("layers", [None, {}, "x", {"class_name": "Dense", "config": {"units": 2}}, 3])
def test_layers_are_a_list(layers):
    inputs = keras.Input((4,), name="x")
    block = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    save(keras.Model(inputs, block(inputs)), "model.h5")
    config = described("model.h5")
    for place in (config["config"], config["config"]["layers"][1]["config"]):
        kept, place["layers"] = place["layers"], layers
        describe("model.h5", config)
        with pytest.raises(ModelError, match=r"^model\.h5: ") as caught:
            read("model.h5")
        assert "\n" not in str(caught.value)
        place["layers"] = kept


def test_a_function_is_no_layer():
    save(small(), "model.h5")
    config = described("model.h5")
    config["config"]["layers"][1] = {"class_name": "function", "config": "relu", "module": "builtins"}
    describe("model.h5", config)
    with pytest.raises(ModelError, match="function is no layer of tf_keras"):
        read("model.h5")
