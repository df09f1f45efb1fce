"""Model files that ask for more than a machine has: one line, at once, and before the memory is asked for."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.foreign import limits
from tasks.foreign.fit_to_data import adapt
from tasks.training import fit
from tests.tasks.foreign.test_safety import FORMATS, describe, described, read, save, small

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
h5py = pytest.importorskip("h5py")
GROWTH = 64 << 20  # bytes that a refusal may take: TensorFlow's own arenas


@pytest.fixture(autouse=True)
def clean(project):
    fit.reset(0)


def refused(path, reason):
    """The reading is refused in one line, and the process has hardly grown by it."""
    before = resident()
    with pytest.raises(ModelError, match=reason) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert resident() - before < GROWTH


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# HDF5


def test_groups_that_lead_in_circles_are_refused():
    save(small(), "model.h5")
    with h5py.File("model.h5", "r+") as file:
        file["model_weights/dense/loop"] = file["model_weights"]
    refused("model.h5", r"model.h5: refused: .*/loop leads in circles")


def test_groups_that_are_nested_without_end_are_refused():
    save(small(), "model.h5")
    with h5py.File("model.h5", "r+") as file:
        file.create_group("/".join("a" * 1500))
    refused("model.h5", r"model.h5: refused: its groups are nested deeper than 64 levels")


@pytest.mark.parametrize("value", [np.zeros(1000), np.array(["{}", "{}"], "S2"), 3.0])
def test_a_description_that_is_no_text_is_refused(value):
    save(small(), "model.h5")
    with h5py.File("model.h5", "r+") as file:
        file.attrs["model_config"] = value
    refused("model.h5", r"model.h5: model_config in it is damaged: one text is expected")


@pytest.mark.parametrize("chunks", [None, (1 << 20,)])
def test_data_that_is_promised_and_not_there_is_refused(chunks):
    save(small(), "model.h5")
    with h5py.File("model.h5", "r+") as file:
        file.create_dataset("model_weights/dense/huge", (1 << 36,), "f4", chunks=chunks)
    refused("model.h5", r"model.h5: refused: its data sets grow from \d+ to \d+ bytes, which no model does")


def test_weights_within_an_archive_are_looked_at_alike():
    save(small(), "model.keras")
    with zipfile.ZipFile("model.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    Path("weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File("weights.h5", "r+") as file:
        file.create_dataset("huge", (1 << 36,), "f4")
    members["model.weights.h5"] = Path("weights.h5").read_bytes()
    with zipfile.ZipFile("model.keras", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    refused("model.keras", r"model.keras: refused: its data sets grow")


# Archives


def test_members_that_are_small_one_by_one_are_counted_together():
    save(small(), "model.keras")
    with zipfile.ZipFile("model.keras", "a", zipfile.ZIP_DEFLATED) as file:
        for number in range(200):
            file.writestr(f"assets/{number}", bytes(1 << 20))
    refused("model.keras", r"model.keras: refused: its members grow from \d+ to \d+ bytes")


# Sizes in the description


@pytest.mark.parametrize("path", FORMATS)
def test_weights_are_no_more_than_the_file_holds(path):
    save(small(), path)
    config = described(path)
    config["config"]["layers"][1]["config"]["units"] = 1 << 24
    describe(path, config)
    refused(path, rf"{path}: its layers ask for more than the [\d,]+ numbers that its weights are")


def changed(path, change):
    inputs = keras.Input((8, 1), name="x")
    y = keras.layers.UpSampling1D(2, name="wide")(keras.layers.RepeatVector(4, name="again")(inputs[:, :, 0]))
    y = keras.layers.LSTM(2, unroll=True, name="steps")(y)
    save(keras.Model(inputs, keras.layers.Dense(2, name="last")(y)), path)
    config = described(path)
    layers = {layer["name"]: layer for layer in config["config"]["layers"]}
    change(layers)
    describe(path, config)


def test_weights_of_keras_3_are_no_more_than_the_file_holds(files):
    shutil.copy(files / "sequential.keras", "model.keras")
    config = described("model.keras")
    config["config"]["layers"][-1]["config"]["units"] = 1 << 24
    describe("model.keras", config)
    refused("model.keras", r"model.keras: its layers ask for more than the [\d,]+ numbers that its weights are")


NO_MACHINE = [
    ("x", "batch_input_shape", [None, 10**18, 1]),
    ("again", "n", 10**10),
    ("wide", "size", 10**9),
    ("last", "units", 10**30),
    ("last", "units", -3),
    ("last", "units", [1] * 1000),
    ("last", "units", "many"),
    ("steps", "units", 10**9),
    ("steps", "activation", 7),
]


@pytest.mark.parametrize("path", FORMATS[:2])
def test_a_size_that_no_machine_has_is_refused(path):
    for layer, key, value in NO_MACHINE:
        changed(path, lambda layers: layers[layer]["config"].update({key: value}))  # noqa: B023  # called at once
        refused(path, f"^{path}: ")


def test_a_tensor_between_the_layers_is_of_a_sane_size():
    inputs = keras.Input((8, 8, 1), name="x")
    save(keras.Model(inputs, keras.layers.Resizing(1 << 15, 1 << 15, name="wide")(inputs)), "model.keras")
    refused("model.keras", "layer 'wide' gives 1,073,741,824 numbers for one example; at most 268,435,456 are taken")


def test_the_first_axis_counts_where_it_is_none_of_examples():
    import tensorflow as tf

    inputs = keras.Input((2,), name="x")
    tall = tf.fill([1 << 16, 1 << 14], tf.reduce_mean(inputs))
    save(keras.Model(inputs, keras.layers.Dense(2)(inputs) + tf.reduce_max(tall)), "model.keras")
    refused("model.keras", "layer 'tf.fill' gives 1,073,741,824 numbers for one example")


def test_a_batch_of_a_fixed_size_is_so_many_examples():
    inputs = keras.Input((1 << 20,), batch_size=1 << 9, name="x")
    save(keras.Model(inputs, keras.layers.MaxPooling1D(1 << 20)(keras.layers.Reshape((-1, 1))(inputs))), "model.keras")
    assert read("model.keras").input_shape == (1 << 9, 1 << 20)


def test_a_size_that_the_file_leaves_open_is_looked_at_with_the_data():
    inputs = keras.Input((None, None, 1), name="x")
    y = keras.layers.UpSampling2D(4096, name="wide")(inputs)
    save(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(y))), "model.keras")
    model = read("model.keras")
    spec = Spec({"x": TensorSpec((8, 8, 1), "float32")}, ("a", "b"))
    with pytest.raises(ModelError, match="layer 'wide' gives 1,073,741,824 numbers for one example"):
        adapt(model, spec, "model.keras")


def test_what_takes_for_ever_is_ended(monkeypatch):
    """A number among a call's outputs that there is not, in a named argument: Keras waits for it without end."""
    monkeypatch.setattr(limits, "CPU_S", 3.0)
    inputs = keras.Input((4, 2), name="x")
    save(keras.Model(inputs, keras.layers.Attention(name="attention")([inputs, inputs])), "model.keras")
    config = described("model.keras")
    config["config"]["layers"][1]["inbound_nodes"][0][0][3]["mask"] = ["x", 0, 7]
    describe("model.keras", config)
    with pytest.raises(ModelError, match="its layers could not be put together within 3 s"):
        read("model.keras")


def test_memory_that_no_check_foresaw_is_not_given():
    with pytest.raises(ModelError, match="more memory than this machine can spare"), limits.budget(0):
        bytearray(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    assert len(bytearray(1 << 20)) == 1 << 20
