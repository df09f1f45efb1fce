"""Whatever is planted in a model's description, wherever: a refusal in one line, or a model of what is on the lists."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.errors import ModelError
from tasks.foreign import listed, rebuild, safety
from tasks.training import fit
from tests.tasks.foreign.test_safety import FORMATS, describe, described, read, save

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
EVIL = """
open('canary', 'w').close()


def run(*_args, **_kwargs):
    open('canary', 'w').close()


class Dense:
    pass
"""


def network():
    """A small one with everything that nests: a wrapper, cells, an operator, a model in the model, constants."""
    import tensorflow as tf

    inputs = keras.Input((3, 4), name="x")
    y = keras.layers.TimeDistributed(keras.layers.Dense(2, activation="relu", kernel_regularizer="l2"), name="t")(
        inputs
    )
    y = keras.layers.RNN([keras.layers.SimpleRNNCell(2)], return_sequences=True, name="r")(1.0 - tf.nn.relu(y))
    block = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(2, activation=keras.layers.ReLU(), name="d")])
    return keras.Model(inputs, block(y[:, ::-1, :]))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A whole file of each format, made once, and its description."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit.reset(0)
        model = network()
        for path in FORMATS:
            save(model, path)
        return folder, {path: described(path) for path in FORMATS}


def entry(kind, config=None, **more):
    return {"class_name": kind, "config": {"name": "planted", **(config or {})}, "name": "planted"} | more


CALLED = {"inbound_nodes": [["_CONSTANT_VALUE", -1, "canary", {"contents": "x"}]]}
MODULES = (
    "evil_module",
    "os",
    "builtins",
    "subprocess",
    "tf_keras.src.utils.data_utils",
    "tf_keras.utils",
    "tensorflow",
)
NAMES = (
    "run",
    "system",
    "exec",
    "Popen",
    "get_file",
    "load_model",
    "deserialize",
    "get",
    "Lambda",
    "function",
    "Dense",
)
SYMBOLS = (
    "io.write_file", "io.gfile.remove", "io.gfile.GFile", "load_op_library", "py_function", "numpy_function", "print",
    "raw_ops.WriteFile", "compat.v1.py_func", "saved_model.save", "saved_model.load", "map_fn", "nn.relu", "identity",
    "data.Dataset.from_tensor_slices", "random.normal", "zeros", "keras.models.load_model",
)  # fmt: skip
CODE = ["4wAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n", None, None]
OBJECTS = (
    *(entry(kind, {"function": name}, **CALLED) for kind in listed.OPERATOR_LAYERS for name in SYMBOLS),
    *(entry(name, module=module, registered_name=None) for module in MODULES for name in NAMES),
    *(entry("Dense", {"units": 2}, module="keras.layers", registered_name=name) for name in NAMES),
    *({"class_name": "function", "config": name, "module": module, "registered_name": "run"}
      for module in MODULES for name in (*NAMES, "relu")),
    {"class_name": "function", "config": "relu", "module": "builtins", "registered_name": "deserialize"},
    entry("Lambda", {"function": CODE, "function_type": "lambda", "module": "evil_module"}),
    entry("Lambda", {"function": "run", "function_type": "function", "module": "evil_module"}),
    {"class_name": "__lambda__", "config": {"value": CODE[0]}},
    entry("StringLookup", {"vocabulary": "/etc/passwd"}),
    entry("TextVectorization", {"vocabulary": "/etc/passwd"}),
    entry("TFSMLayer", {"filepath": "/tmp", "call_endpoint": "serve"}),
    entry("ClassMethod", {"cls_symbol": "io.gfile.GFile", "method_name": "__init__"}, **CALLED),
    entry("InstanceMethod", {"attr_name": "__class__"}, **CALLED),
    entry("TensorFlowOpLayer", {"node_def": {"op": "WriteFile"}, "constants": {}}, **CALLED),
    {"class_name": "TypeSpec", "type_spec": "tf.TensorSpec", "serialized": []},
    {"class_name": "CompositeTensor", "spec": {}, "tensors": []},
    {"class_name": "__typespec__", "spec_name": "run", "module": "evil_module", "registered_name": None, "config": []},
    {"class_name": "DTypePolicy", "config": {"name": "float32"}, "module": "evil_module", "registered_name": "run"},
    {"class_name": "__tuple__", "items": ["_COMPOSITE_TYPE", '{"class_name": "TypeSpec"}']},
    ["_CONSTANT_VALUE", -1, "canary", {"contents": "x"}],
    [["x", 0, 0], ["nowhere", 0, 0]],
    ["x", 7, 0], "run", "deserialize", "load_model", "/etc/passwd", None, -1, 10**30, [], {},
    {"class_name": ["Lambda"]},
)  # fmt: skip


def places(value, path=()):
    """The path of everything in a description."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from places(part, (*path, index))


def plant(config, number, piece, way):
    """Put a piece in the place of that number, or into the mapping or the list that stands there."""
    found = list(places(config))
    path = found[number % len(found)]
    if not path:
        return
    holder = config
    for key in path[:-1]:
        holder = holder[key]
    there, piece = holder[path[-1]], copy.deepcopy(piece)
    if way == "into" and isinstance(there, dict) and isinstance(piece, dict):
        there |= piece
    elif way == "into" and isinstance(there, list):
        there.append(piece)
    else:
        holder[path[-1]] = piece


PLANTED = st.tuples(st.integers(0, 5000), st.sampled_from(OBJECTS), st.sampled_from(("instead", "into")))
KNOWN = (
    listed.LAYERS | listed.INITIALIZERS | listed.REGULARIZERS | listed.CONSTRAINTS | listed.VALUES
) | set(listed.OPERATOR_LAYERS)  # fmt: skip


def objects(value):
    """Every mapping of a description that names a class."""
    for path in places(value):
        part = value
        for key in path:
            part = part[key]
        if isinstance(part, dict) and "class_name" in part:
            yield part


def refused_in_a_line(said):
    assert said
    assert "\n" not in said


def check(path, config, known, *, keras3):
    """It is refused in one line, or everything that Keras would look up in what is left of it is on a list."""
    try:
        clean = safety.read(Path(path), config, lambdas=False, keras3=keras3)
    except ModelError as error:
        refused_in_a_line(str(error))
        return
    for item in objects(clean):
        assert item["class_name"] in known
        assert item.get("registered_name") in (None, item["class_name"])
        assert (item.get("module") or "keras").split(".")[0] in ("keras", "tf_keras")
        assert "compile_config" not in item
        if item["class_name"] in listed.OPERATOR_LAYERS:
            assert item["config"]["function"] in listed.OPERATORS | listed.SLICES
    text = json.dumps(clean)
    assert "evil_module" not in text.replace('"name": "evil_module"', "")
    assert "_COMPOSITE_TYPE" not in text


@settings(max_examples=1500)
@given(path=st.sampled_from(FORMATS), planted=st.lists(PLANTED, min_size=1, max_size=3))
@example(path="model.keras", planted=[(586, entry("run"), "instead")])
@example(path="folder", planted=[(40, {"class_name": {"class_name": "Dense"}}, "into")])
def test_what_keras_gets_names_nothing_but_what_is_listed(originals, path, planted):
    config = copy.deepcopy(originals[1][path])
    for piece in planted:
        plant(config, *piece)
    check(path, config, KNOWN, keras3=False)


@settings(max_examples=500)
@given(
    name=st.sampled_from(("residual", "transformer", "recurrent")), planted=st.lists(PLANTED, min_size=1, max_size=3)
)
def test_what_keras_3_gets_names_nothing_but_what_is_listed(files, name, planted):
    config = described(str(files / f"{name}.keras"))
    for piece in planted:
        plant(config, *piece)
    check(name, config, KNOWN.union(*safety.KERAS3.values()), keras3=True)


@settings(max_examples=60)
@given(path=st.sampled_from(FORMATS), planted=st.lists(PLANTED, min_size=1, max_size=2))
def test_nothing_runs_while_a_file_is_read(originals, project, path, planted):
    (project / "evil_module.py").write_text(EVIL)
    for name in FORMATS:
        if not Path(name).exists():
            Path(name).symlink_to(originals[0] / name)
    config = copy.deepcopy(originals[1][path])
    for piece in planted:
        plant(config, *piece)
    describe(path, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project)
        try:
            model = read(path)
        except ModelError as error:
            refused_in_a_line(str(error))
            model = None
        finally:
            describe(path, originals[1][path])
    assert not (project / "canary").exists()
    if model is not None:
        kinds = {type(layer).__name__ for layer in model.submodules if isinstance(layer, keras.layers.Layer)}
        assert kinds <= KNOWN
        assert np.isfinite(model.count_params())


def sent(*history):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": list(history)}}


ARRAY = {"class_name": "__numpy__", "config": {"value": [[1], [1, 2]], "dtype": "float32"}}


@pytest.mark.parametrize(
    ("shape", "given", "inputs"),
    [
        ([None, 4], sent("x", 0), [["x", 0, 0]]),
        ([None, 4], sent("x", 0, 0, 0), [["x", 0, 0]]),
        ([None, -4], sent("x", 0, 0), [["x", 0, 0]]),
        ([None, 4], ARRAY, [["x", 0, 0]]),
        ([None, 4], sent("x", 0, 0), []),
    ],
)
def test_a_graph_of_keras_3_that_is_none_is_refused_in_a_line(shape, given, inputs):
    source = {"name": "x", "batch_shape": shape, "dtype": "float32"}
    layers = [
        {"class_name": "InputLayer", "name": "x", "config": source},
        {"class_name": "Dense", "name": "d", "config": {"name": "d", "units": 2}, "module": "keras.layers"}
        | {"inbound_nodes": [{"args": [given], "kwargs": {}}]},
    ]
    config = {"name": "m", "layers": layers, "input_layers": inputs, "output_layers": [["d", 0, 0]]}
    with pytest.raises(ModelError, match="description is damaged") as refused:
        rebuild.network({"class_name": "Functional", "config": config})
    refused_in_a_line(str(refused.value))
