"""Files of tf_keras, whole ones and broken ones: a model with its weights, or one line that says why not."""

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.foreign import load
from tasks.params import Stored
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
h5py = pytest.importorskip("h5py")


@pytest.fixture(autouse=True)
def clean(project):
    fit.reset(0)


def read(path, **more):
    return load.load(Stored(source=str(path), **more))


def network():
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    x = keras.layers.Add()([x, keras.layers.DepthwiseConv2D(3, padding="same")(x)])
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(tf_relu(x)))
    model = keras.Model(inputs, x)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def tf_relu(x):
    import tensorflow as tf

    return tf.nn.relu(x)  # a TFOpLambda layer


def plain():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "mse")
    return model


def save(model, path):
    for weight in model.weights:
        weight.assign(np.random.default_rng(1).random(weight.shape))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file", category=UserWarning)
        model.save(path)
    return model


@pytest.mark.parametrize("path", ["model.keras", "model.h5", "folder"])
@pytest.mark.parametrize("build", [network, plain])
def test_every_format_of_tf_keras_gives_the_same_model(build, path):
    model = save(build(), path)
    found = read(path)
    examples = np.random.default_rng(0).random((5, *model.input_shape[1:]), np.float32)
    np.testing.assert_array_equal(found(examples).numpy(), model(examples).numpy())
    assert [layer.name for layer in found.layers] == [layer.name for layer in model.layers]
    assert found.optimizer is None


def test_there_must_be_a_file_of_a_known_kind(project):
    (project / "model.pkl").write_bytes(b"\x80\x04.")
    (project / "model.tflite").write_bytes(b"1234TFL3")
    for name, reason in {
        "absent.keras": "absent.keras: no such file; a .keras or .h5 file, a SavedModel folder of tf_keras, or",
        "model.pkl": "model.pkl: no kind of file that is known",
        "model.tflite": "a LiteRT file cannot be trained; set train.epochs: 0, and scheme as-is",
        ".": "no SavedModel of tf_keras .keras_metadata.pb is missing.",
    }.items():
        with pytest.raises(ModelError, match=reason):
            read(name)


@pytest.mark.parametrize("keep", [0, 10, 300, -30])
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_truncated_file_is_refused_in_one_line(project, name, keep):
    save(plain(), name)
    (project / name).write_bytes((project / name).read_bytes()[:keep])
    with pytest.raises(ModelError, match=rf"^{name}: .*(not a whole|damaged)") as caught:
        read(name)
    assert "\n" not in str(caught.value)


def test_flipped_bytes_are_found(project):
    save(plain(), "model.keras")
    content = bytearray((project / "model.keras").read_bytes())
    content[len(content) // 2] ^= 255
    (project / "model.keras").write_bytes(bytes(content))
    with pytest.raises(ModelError, match=r"^model.keras: .*(damaged|not a whole)"):
        read("model.keras")


def test_weights_alone_are_no_model():
    plain().save_weights("weights.h5")
    with pytest.raises(ModelError, match="holds weights and no model; save the whole model"):
        read("weights.h5")


def test_a_graph_without_layers_is_no_model_of_keras():
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), "graph")
    with pytest.raises(ModelError, match=r"graph: no SavedModel of tf_keras"):
        read("graph")


def test_a_damaged_saved_model_is_refused(project):
    save(plain(), "folder")
    metadata = (project / "folder/keras_metadata.pb").read_bytes()
    (project / "folder/keras_metadata.pb").write_bytes(metadata[: len(metadata) // 2])
    with pytest.raises(ModelError, match=r"keras_metadata.pb: damaged"):
        read("folder")
    (project / "folder/keras_metadata.pb").write_bytes(metadata)
    next((project / "folder/variables").glob("*.index")).unlink()
    with pytest.raises(ModelError, match=r"folder: cannot be read as a model of tf_keras"):
        read("folder")


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def test_a_subclassed_model_is_refused():
    model = Subclassed()
    model(np.zeros((1, 3), np.float32))
    model.save("folder", save_format="tf")
    with pytest.raises(ModelError, match="Subclassed is a subclassed model, whose layers are joined by its code"):
        read("folder")


# Archives


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, content in members.items():
            made.writestr(name, content)


def test_what_is_no_model_within_a_zip_is_refused():
    archive("model.keras", {"readme.txt": "hello"})
    with pytest.raises(ModelError, match=r"not a .keras file: There is no item named 'config.json' in the archive"):
        read("model.keras")
    archive("model.keras", {"config.json": "{", "metadata.json": "{}"})
    with pytest.raises(ModelError, match=r"config.json in it is damaged"):
        read("model.keras")
    archive("model.keras", {"config.json": "[" * 100_000, "metadata.json": "{}"})
    with pytest.raises(ModelError, match=r"config.json in it is damaged"):
        read("model.keras")
    archive("model.keras", {"config.json": "[]", "metadata.json": "{}"})
    with pytest.raises(ModelError, match="a mapping is expected, received list"):
        read("model.keras")


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a\\..\\..\\evil", "C:evil"])
def test_a_member_that_leads_out_of_the_archive_is_refused(name):
    archive("model.keras", {"config.json": "{}", "metadata.json": "{}", name: "x"})
    with pytest.raises(ModelError, match="leads out of the archive"):
        read("model.keras")


def test_a_bomb_is_refused_before_it_is_unpacked():
    archive("model.keras", {"config.json": b"0" * 30_000_000, "metadata.json": "{}"}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=r"config.json' grows from \d+ to 30000000 bytes, which no model does"):
        read("model.keras")


@pytest.mark.parametrize("kind", ["link", "external", "virtual"])
def test_weights_are_taken_from_no_other_file(project, kind):
    with h5py.File("other.h5", "w") as other:
        other["secret"] = np.ones(4)
    (project / "raw").write_bytes(np.ones(4).tobytes())
    save(plain(), "model.h5")
    with h5py.File("model.h5", "a") as file:
        if kind == "link":
            file["model_weights/x"] = h5py.ExternalLink("other.h5", "secret")
        elif kind == "external":
            file.create_dataset("x", (4,), "f8", external=[("raw", 0, 32)])
        else:
            layout = h5py.VirtualLayout((4,), "f8")
            layout[:] = h5py.VirtualSource("other.h5", "secret", (4,))
            file.create_virtual_dataset("x", layout)
    with pytest.raises(ModelError, match=r"model.h5: refused: .*another file"):
        read("model.h5")


# Code


def changed(path, change):
    """The same .keras file with another configuration."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    archive(path, members | {"config.json": json.dumps(config)})


def dense(config):
    return config["config"]["layers"][1]


MARK = "touched"
EVIL = "open('touched', 'w').close()"


def refused(path, reason, project, **more):
    with pytest.raises(ModelError, match=reason):
        read(path, **more)
    assert not (project / MARK).exists()


@pytest.mark.parametrize("path", ["model.keras", "model.h5", "folder"])
def test_a_lambda_runs_only_where_the_user_says_so(project, path):
    inputs = keras.Input((4,))
    layer = keras.layers.Lambda(lambda x: x * 2 if Path("touched").touch() is None else x, name="mine")
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    save(model, path)
    (project / MARK).unlink()
    refused(path, rf"^{path}: layer 'mine' \(Lambda\) holds Python code; `lambdas: true` runs it", project)
    found = read(path, lambdas=True)
    np.testing.assert_array_equal(found(np.ones((1, 4))).numpy(), model(np.ones((1, 4))).numpy())
    assert (project / MARK).exists()


def test_a_lambda_deep_in_a_nested_model_is_found(project):
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x, name="deep")])
    wrapped = keras.layers.TimeDistributed(keras.layers.Lambda(lambda x: x, name="wrapped"))
    save(keras.Model(inputs, inner(inputs)), "model.h5")
    refused("model.h5", r"layer 'deep' \(Lambda\)", project)
    inputs = keras.Input((4, 2))
    save(keras.Model(inputs, wrapped(inputs)), "model.keras")
    refused("model.keras", r"layer 'wrapped' \(Lambda\)", project)


def test_a_function_of_another_module_is_not_called(project):
    (project / "evil_module.py").write_text(f"{EVIL}\ndef run(x):\n    return x\n")
    save(plain(), "model.keras")
    evil = {"module": "evil_module", "class_name": "function", "config": "run", "registered_name": "run"}
    changed("model.keras", lambda config: dense(config)["config"].update(activation=evil))
    refused("model.keras", r"the function 'run' of evil_module is no activation of Keras", project)
    known = evil | {"config": "relu"}
    changed("model.keras", lambda config: dense(config)["config"].update(activation=known))
    refused("model.keras", r"the function 'relu' of evil_module is no activation of Keras", project)


@pytest.mark.parametrize("name", ["get_file", "load_model", "deserialize_keras_object"])
def test_a_function_of_keras_that_is_no_activation_is_not_called(project, name):
    save(plain(), "model.keras")
    evil = {"module": "keras.utils", "class_name": "function", "config": name, "registered_name": name}
    changed("model.keras", lambda config: dense(config)["config"].update(activation=evil))
    refused("model.keras", rf"the function '{name}' of keras.utils is no activation of Keras", project)


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "evil_module", "class_name": "Dense"},
        {"module": "evil_module", "class_name": "Layer", "registered_name": "Evil>Layer"},
        {"module": "subprocess", "class_name": "Popen", "registered_name": None},
        {"module": "keras_evil", "class_name": "Dense", "registered_name": None},
    ],
)
def test_a_class_of_another_module_is_not_imported(project, entry):
    for name in ("evil_module", "tf_keras_evil"):
        (project / f"{name}.py").write_text(EVIL)
    save(plain(), "model.keras")
    changed("model.keras", lambda config: dense(config).update(entry))
    refused("model.keras", r"layer 'dense': .* is no layer of tf_keras; for one of your own, set `layers`", project)


def test_an_initializer_of_another_module_is_not_imported(project):
    save(plain(), "model.keras")
    evil = {"module": "os", "class_name": "system", "config": {"command": "touch touched"}, "registered_name": None}
    changed("model.keras", lambda config: dense(config)["config"].update(kernel_initializer=evil))
    refused("model.keras", r"layer 'dense': system is no initializer of tf_keras", project)


def test_an_operator_of_tensorflow_that_is_no_arithmetic_is_refused(project):
    save(network(), "model.keras")

    def write_file(config):
        layer = next(entry for entry in config["config"]["layers"] if entry["class_name"] == "TFOpLambda")
        layer["config"]["function"] = "io.write_file"

    changed("model.keras", write_file)
    refused("model.keras", r"the operator 'io.write_file' is none that is taken from a file", project)


def test_a_layer_that_reads_files_is_refused(project):
    save(plain(), "model.keras")
    reader = {
        "module": "keras.layers",
        "class_name": "StringLookup",
        "config": {"name": "s", "vocabulary": "/etc/passwd"},
    }
    changed("model.keras", lambda config: dense(config).update(reader))
    refused("model.keras", r"layer 's' \(StringLookup\) reads files", project)


OWN = """
import tf_keras

@tf_keras.saving.register_keras_serializable("shop")
class Doubled(tf_keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2
"""


@pytest.mark.parametrize("path", ["model.keras", "model.h5", "folder"])
def test_layers_of_ones_own_come_from_the_module_that_is_named(project, path):
    name = f"own_{path.replace('.', '_')}"
    (project / f"{name}.py").write_text(OWN.replace("shop", name))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project)
        module = __import__(name)
    inputs = keras.Input((4,))
    model = save(keras.Model(inputs, keras.layers.Dense(3)(module.Doubled(name="twice")(inputs))), path)
    known = keras.saving.get_custom_objects()
    del known[f"{name}>Doubled"]
    known["other>Doubled"] = type("Doubled", (module.Doubled,), {})  # of another package: no reason to take it
    refused(path, rf"layer 'twice': {name}>Doubled is no layer of tf_keras; .*`layers`", project)
    known[f"{name}>Doubled"] = module.Doubled
    found = read(path, layers=name)
    del known["other>Doubled"]
    np.testing.assert_array_equal(found(np.ones((2, 4))).numpy(), model(np.ones((2, 4))).numpy())


def test_a_module_that_is_missing_or_broken_is_one_line(project):
    save(plain(), "model.h5")
    with pytest.raises(ModelError, match=r"layers: no Python module 'absent' in "):
        read("model.h5", layers="absent")
    (project / "broken_layers.py").write_text("raise RuntimeError('no licence')")
    with pytest.raises(ModelError, match=r"layers: 'broken_layers' cannot be imported: RuntimeError: no licence$"):
        read("model.h5", layers="broken_layers")
