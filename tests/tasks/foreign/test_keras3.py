"""Models of Keras 3 rebuilt in tf_keras: the same answers as Keras 3 gave, or a refusal that names the layer."""

import ast
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.foreign import keras3, load
from tasks.params import Stored
from tasks.training import fit, keras_files

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
ROOT = Path(__file__).resolve().parents[3]
WORKING = ("residual", "sequential", "transformer", "recurrent", "two", "nested", "shapes")


@pytest.fixture(autouse=True)
def clean():
    fit.reset(0)


def read(path, **more):
    return load.load(Stored(source=str(path), **more))


@pytest.mark.parametrize("name", WORKING)
def test_a_model_answers_as_in_keras_3(files, name):
    model = read(files / f"{name}.keras")
    with np.load(files / f"{name}.npz") as stored:
        given = [stored[f"in/{name}"] for name in model.input_names]
        expected = [stored[key] for key in stored.files if key.startswith("out/")]
    answers = model(given if len(given) > 1 else given[0], training=False)
    flat = [answers[key] for key in sorted(answers)] if isinstance(answers, dict) else [answers]
    for ours, theirs in zip(flat, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_keras_3_is_imported_where_it_has_a_process_of_its_own():
    found = set()
    for file in (ROOT / "tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {file.name for name in names if name.split(".")[0] == "keras"}
    assert found == {"keras3_reader.py"}


def test_a_caller_that_is_killed_leaves_no_reader_behind(tmp_path):
    """In the place of Keras 3 stands a module that takes a minute to be imported."""
    slow = "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    (tmp_path / "keras.py").write_text(slow)
    code = (
        "from pathlib import Path; from tasks.params import Stored; from tasks.foreign import keras3;"
        "keras3.ask(Path('m'), Stored(source='m.keras'), {}, [], Path('m'))"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    try:
        reader = Path("/proc", awaited(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()), "stat")
    finally:
        caller.kill()
        caller.wait(timeout=30)
    awaited(lambda: not reader.exists() or reader.read_text().split()[2] == "Z", patience_s=10)


def awaited(found, patience_s=50):
    end = time.monotonic() + patience_s
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


def test_layers_keep_their_names_and_what_follows_one_is_a_layer(files):
    model = read(files / "residual.keras")
    names = [layer.name for layer in model.layers]
    assert names[0] == "pixels"
    assert model.get_layer("depth").activation is keras.activations.swish
    assert isinstance(model.get_layer("separable_conv2d_activation"), keras.layers.ReLU)
    assert model.get_layer("activation").max_value == 6


def test_a_rebuilt_model_is_saved_and_read_again(files, tmp_path):
    for name in ("residual", "transformer", "two"):
        model = read(files / f"{name}.keras")
        inputs = keras3.random_inputs(model, {"class_name": "Embedding", "config": {"input_dim": 30}})
        keras_files.save(model, tmp_path)
        again = keras.models.load_model(tmp_path / "model.h5", compile=False)
        expected, found = (m(inputs)["label"] if name == "two" else m(inputs) for m in (model, again))
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_an_h5_file_of_keras_3_is_rebuilt_too(files):
    assert [type(layer).__name__ for layer in read(files / "old.h5").layers][1:3] == ["Rescaling", "Conv2D"]


def renamed(source, target, **names):
    """The same file, with other words in its configuration."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            for name, other in names.items() if member.endswith(".json") else ():
                assert name.encode() in content or member == "metadata.json"
                content = content.replace(f'"{name}"'.encode(), f'"{other}"'.encode())
            new.writestr(member, content)


@pytest.mark.slow
def test_an_initializer_by_the_name_it_had_until_keras_3_6(files, tmp_path):
    renamed(files / "recurrent.keras", tmp_path / "old.keras", Orthogonal="OrthogonalInitializer")
    new, old = (read(path) for path in (files / "recurrent.keras", tmp_path / "old.keras"))
    for ours, theirs in zip(old.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "grouped",
            r"layer 'grouped_query_attention': GroupQueryAttention is a layer of Keras 3 that tf_keras has no ",
        ),
        (
            "hard",
            r"layer 'lstm\w*': activation 'hard_sigmoid' of Keras 3: tf_keras has none that computes the same; save",
        ),
        (
            "spectral",
            r"layer 'spectral_\w+': tf_keras has no SpectralNormalization that computes and is stored alike; save",
        ),
        ("quantized", r"layer 'dense\w*': it was quantized by Keras \(QuantizedDTypePolicy\); save the float model"),
        ("stateful", r"layer 'lstm\w*': stateful, so an answer hangs from .*; build the model with stateful=False"),
        ("lambda", r"layer 'lambda' \(Lambda\) holds Python code; `lambdas: true` runs it"),
        (
            "median",
            r"operation 'median': Median is an operation of Keras 3 that tf_keras has no match for; save the model",
        ),
        ("subclassed", r"Subclassed is no layer of tf_keras"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(files, name, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        read(files / f"{name}.keras")
    assert "\n" not in str(caught.value)


def test_a_lambda_runs_where_the_user_says_so(files):
    model = read(files / "lambda.keras", lambdas=True)
    np.testing.assert_array_equal(model.predict(np.ones((1, 4)), verbose=0), np.full((1, 4), 2.0))


def test_a_layer_that_computes_something_else_is_named(files, monkeypatch):
    from tasks.foreign import counterparts

    monkeypatch.setitem(counterparts.CALLED, "silu", "gelu")
    with pytest.raises(
        ModelError,
        match=r"layer 'depth' answers otherwise in tf_keras than in Keras 3.*; convert it to .tflite in Keras 3",
    ):
        read(files / "residual.keras")


def test_weights_in_another_order_are_found_by_what_the_layer_answers(files, monkeypatch):
    ask = keras3.ask

    def exchanged(*args):
        told = ask(*args)
        key = "weights/batch_normalization"
        return told | {f"{key}/0": told[f"{key}/1"], f"{key}/1": told[f"{key}/0"]}

    monkeypatch.setattr(keras3, "ask", exchanged)
    with pytest.raises(ModelError, match=r"layer 'batch_normalization' answers otherwise"):
        read(files / "residual.keras")


def test_a_weight_of_another_shape_is_named(files, monkeypatch):
    ask = keras3.ask
    monkeypatch.setattr(keras3, "ask", lambda *args: ask(*args) | {"weights/dense/0": np.zeros((3, 3))})
    with pytest.raises(
        ModelError, match=r"layer 'dense': its weights are \[\(3, 3\), \(10,\)\] in Keras 3, \[\(8, 10\)"
    ):
        read(files / "residual.keras")


OWN = """
import tf_keras

@tf_keras.saving.register_keras_serializable("own")
class Scale(tf_keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")

    def call(self, inputs):
        return inputs * self.scale
"""


def test_a_layer_of_ones_own_is_registered_by_its_module_in_both(files, project):
    """The module is written for tf_keras; Keras 3 gets it as well, to read the file and to compare."""
    with pytest.raises(ModelError, match=r"layer 'scale': own>Scale is no layer of tf_keras; .* set `layers` to"):
        read(files / "own.keras")
    (project / "own_scale.py").write_text(OWN)
    model = read(files / "own.keras", layers="own_scale")
    assert type(model.layers[-1]).__name__ == "Scale"
    np.testing.assert_array_equal(model(np.ones((1, 4))).numpy(), np.full((1, 4), 3.0))
