"""Each operation of Keras 3 in a Functional model answers as in Keras 3: rebuilt, stored again, and in integers."""

import json
import zipfile

import numpy as np
import pytest

from tasks.foreign import listed, load
from tasks.params import Stored
from tasks.training import fit, keras_files

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
operations = pytest.importorskip("tasks.foreign.operations", reason="the training stack is not installed")
FAMILIES = (
    "arithmetic", "functions", "rare_functions", "conditions", "over_axes", "activations", "shapes", "slices", "values",
    "images",
)  # fmt: skip
SPELLINGS = {"Abs", "Fabs"}  # classes whose functions write another name, or nothing


@pytest.mark.parametrize("name", FAMILIES)
def test_operations_answer_as_in_keras_3(made, name, tmp_path):
    fit.reset(0)
    path = made(f"ops_{name}")
    model = load.load(Stored(source=str(path)))
    with np.load(path.with_suffix(".npz")) as stored:
        (given,) = (stored[key] for key in stored.files if key.startswith("in/"))
        expected = [stored[f"out/{i}"] for i in range(len(model.outputs))]
    keras_files.save(model, tmp_path)
    again = keras.models.load_model(tmp_path / "model.h5", compile=False)
    copy = keras.models.clone_model(again)  # operations have no weights, and a copy is no more right than its origin
    for network in (model, copy):
        for tensor, ours, theirs in zip(model.outputs, network(given, training=False), expected, strict=True):
            assert ours.shape == theirs.shape, tensor.name
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=tensor.name)


@pytest.mark.parametrize("name", ["Cumsum", "Cumprod"])
def test_what_goes_through_all_examples_is_refused(name):
    with pytest.raises(ValueError, match="all numbers of all examples is not supported; give an axis"):
        operations.TABLE[name](keras.Input((6, 4)))


def test_what_a_file_may_name_is_what_the_table_has():
    assert operations.TABLE.keys() == listed.KERAS3_OPERATIONS
    assert all(keras.saving.get_registered_object(f"tercet>{name}").__name__ == name for name in listed.KERAS3_LAYERS)


def test_every_operation_of_the_table_is_tried(made):
    """By the names in the files that the families are made of."""
    tried = set()
    for name in FAMILIES:
        with zipfile.ZipFile(made(f"ops_{name}")) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        tried |= {layer["class_name"] for layer in layers}
    assert listed.KERAS3_OPERATIONS - tried == SPELLINGS


def test_what_has_no_integers_by_its_own_operator_has_them_by_another():
    """TensorFlow's converter leaves SQUARE, POW, NEG, SPLIT, SPLIT_V and UNPACK in floats."""
    from tasks.examples import Arrays
    from tasks.quantize import guard, litert

    given = keras.Input((6, 4), name="x")
    called = [
        ("Square", {}), ("Power", {"x2": 2}), ("Power", {"x2": 3.0}), ("Negative", {}), ("Norm", {"axis": -1}),
        ("Split", {"indices_or_sections": [1, 4], "axis": 1}), ("Split", {"indices_or_sections": 2, "axis": -1}),
        ("Unstack", {"axis": 1}), ("Celu", {"alpha": 2.0}), ("LogSigmoid", {}), ("Squareplus", {}),
    ]  # fmt: skip
    answers = [operations.TABLE[name](given, **how) for name, how in called]
    model = keras.Model(given, [answer[-1] if isinstance(answer, list) else answer for answer in answers])
    x = np.random.default_rng(0).normal(size=(24, 6, 4)).astype(np.float32)
    content = litert.convert(model, "int8", Arrays({"x": x}, {}))
    assert guard.check(content, "int8", Arrays({"x": x}, {}), model) < 0.1
