"""SavedModels of the Keras before TensorFlow 2.5, whose description stands in the object graph of the graph's file."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.training import fit
from tests.tasks.foreign.test_safety import describe, described, metadata, operator, read, save, small

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
PROTO = Path("folder/saved_model.pb")


@pytest.fixture(autouse=True)
def clean(project):
    fit.reset(0)


def older():
    """Move what tf_keras noted of each layer to where TensorFlow before 2.5 had it: beside the object itself."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString(PROTO.read_bytes())
    objects = saved.meta_graphs[0].object_graph_def.nodes
    for node in metadata().nodes:
        assert objects[node.node_id].user_object.identifier == node.identifier
        objects[node.node_id].user_object.metadata = node.metadata
    PROTO.write_bytes(saved.SerializeToString())
    Path("folder/keras_metadata.pb").unlink()


def recurrent():
    import tensorflow as tf

    inputs = keras.Input((6, 4), name="x")
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GRU(3)(tf.nn.relu(inputs))))


def keyword_spotter():
    """MLPerf Tiny's, whose file is of that time, with one block of four."""
    layers = keras.layers
    x = inputs = keras.Input((49, 10, 1))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(8, (10, 4), 2, "same")(x)))
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_regularizer="l2")(layers.Dropout(0.2)(x))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(8, 1)(x)))
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(layers.Dropout(0.4)(x)))
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


@pytest.mark.parametrize("build", [recurrent, small, keyword_spotter])
def test_an_older_saved_model_is_the_same_model(build):
    model = save(build(), "folder")
    older()
    found = read("folder")
    examples = np.random.default_rng(0).random((5, *model.input_shape[1:]), np.float32)
    np.testing.assert_array_equal(found(examples).numpy(), model(examples).numpy())
    assert [layer.name for layer in found.layers] == [layer.name for layer in model.layers]


def test_a_functional_model_has_another_name_before_tensorflow_2_3():
    """It is a "Model" there, models within it too, and a Sequential has its input's shape in its first layer."""
    inner = keras.Sequential([keras.layers.Dense(4, "relu", input_shape=(3,)), keras.layers.BatchNormalization()])
    x = inputs = keras.Input((3,))
    model = save(keras.Model(inputs, keras.layers.Dense(2)(keras.Model(x, inner(x))(inputs))), "folder")
    describe("folder", _renamed(described("folder")))
    older()
    examples = np.random.default_rng(0).random((5, 3), np.float32)
    np.testing.assert_array_equal(read("folder")(examples).numpy(), model(examples).numpy())


def _renamed(value):
    """A description as TensorFlow 2.2 has it."""
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _renamed(each) for key, each in value.items() if key not in ("module", "registered_name")}
    if found.get("class_name") == "Functional":
        found["class_name"] = "Model"
    if found.get("class_name") == "Sequential":
        start, first, *rest = found["config"]["layers"]
        first["config"]["batch_input_shape"] = start["config"]["batch_input_shape"]
        found["config"]["layers"] = [first, *rest]
    return found


def test_an_older_saved_model_is_read_as_carefully():
    save(small(), "folder")
    config = described("folder")
    config["config"]["layers"].insert(1, operator("SlicingOpLambda", "io.write_file", "canary", {"contents": "x"}))
    describe("folder", config)
    older()
    with pytest.raises(ModelError, match=r"folder: layer 'planted': the operator 'io\.write_file' is none"):
        read("folder")
    assert not Path("canary").exists()


def test_a_graph_that_describes_no_layers_is_told_from_a_damaged_one():
    save(small(), "folder")
    older()
    content = PROTO.read_bytes()
    PROTO.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"folder/saved_model\.pb: damaged"):
        read("folder")
    PROTO.write_bytes(content.replace(b'"class_name": "Sequential"', b'"class_name": "Sequentiel"'))
    with pytest.raises(ModelError, match="folder: Sequentiel is a subclassed model"):
        read("folder")


def test_variables_are_no_more_than_there_are():
    save(small(), "folder")
    data = next(Path("folder/variables").glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:20])
    with pytest.raises(ModelError, match=r"folder: refused: its variables are \d+ bytes, of which it has 20"):
        read("folder")
    shutil.rmtree("folder/variables")
    with pytest.raises(ModelError, match="folder: cannot be read as a model of tf_keras"):
        read("folder")


@pytest.mark.parametrize("name", ["saved_model.pb", "keras_metadata.pb", "variables/variables.index"])
def test_changed_bytes_are_refused_in_a_line_or_change_nothing(name):
    """Whatever a byte does to a file of a SavedModel, what is read is one of the lists' or refused."""
    save(small(), "folder")
    if name == "saved_model.pb":
        older()
    file, rng = Path("folder", name), np.random.default_rng(0)
    content = file.read_bytes()
    for _ in range(20):
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(0, len(content), rng.integers(1, 17))] = rng.integers(0, 256)
        file.write_bytes(changed.tobytes())
        try:
            read("folder")
        except ModelError as error:
            said = str(error)
            if "\n" in said:
                pytest.fail(said)
