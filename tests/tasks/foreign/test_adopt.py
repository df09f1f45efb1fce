"""Models of one's own through the stages: taken over, fine-tuned, compared with, and LiteRT files as they are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.errors import ConversionError, ModelError, ParamsError
from tasks.examples.dataset import load
from tasks.params import Params, check
from tasks.records import ArtifactCard, Evaluation, ModelCard, read
from tasks.stages import evaluate
from tasks.stages.compress import compress
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.train import train
from tasks.training import fit, keras_files
from tasks.training.custom import OURS

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
GOLDEN = Path(__file__).resolve().parents[2] / "golden"
OWN = """
import tf_keras

@tf_keras.saving.register_keras_serializable("kept")
class Halved(tf_keras.layers.Layer):
    def call(self, inputs):
        return inputs * 0.5
"""


def settings(model, train=None, compress=None, quantize=None):
    return check(
        Params,
        {
            "name": "own",
            "prepare": {"source": "digits", "limit": 60, "calibration": 10},
            "model": {"family": "file", **model},
            "train": {"epochs": 0, **(train or {})},
            "compress": compress or {},
            "quantize": quantize or {"fp32": {"model": "baseline", "scheme": "float32"}},
            "benchmark": {
                "reference": next(iter(quantize or {"fp32": 0})),
                "devices": ["host-cpu"],
                "protocol": {"mode": "quick"},
            },
            "bundle": {},
        },
        Path("params.yaml"),
    )


def network(scale=None):
    inputs = keras.Input((28, 28, 1), name="pixels")
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    x = scale(x) if scale else x
    return keras.Model(inputs, keras.layers.Dense(10, "softmax")(x), name="mine")


@pytest.fixture
def prepared(project, monkeypatch):
    fit.reset(0)
    prepare(settings({"source": "absent"}))
    return project


def to_keras(model, name="own.keras"):
    model.save(name)
    return {"source": name}


def test_a_trained_model_is_taken_over_as_it_is(prepared):
    model = network()
    given = to_keras(model)
    train(settings(given))
    found, card = keras_files.load("baseline")
    for kept, was in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, was)
    assert found.input_names == ["image"]
    assert (card.method, card.parent, card.epochs, card.total_epochs, card.history) == ("train", None, 0, 0, {})
    assert card.parameters == model.count_params()
    first = (paths.model("baseline") / "model.h5").read_bytes()
    train(settings(given))
    assert (paths.model("baseline") / "model.h5").read_bytes() == first


def test_what_came_pruned_is_to_be_kept_by_later_methods(prepared):
    model = network()
    kernel, bias = model.layers[-1].get_weights()
    kernel[::2] = 0
    model.layers[-1].set_weights([kernel, bias])
    train(settings(to_keras(model)))
    assert read(ModelCard, paths.model("baseline") / "card.json").preserves == ("sparsity",)


def test_epochs_go_on_from_the_files_weights(prepared):
    model = network()
    params = settings(to_keras(model), {"epochs": 2, "learning_rate": 1e-6})
    train(params)
    found, card = keras_files.load("baseline")
    assert (card.epochs, card.total_epochs, len(card.history["loss"])) == (2, 2, 2)
    for tuned, was in zip(found.get_weights(), model.get_weights(), strict=True):
        assert not np.array_equal(tuned, was)
        np.testing.assert_allclose(tuned, was, atol=1e-4)


def test_another_model_stands_beside_for_comparing_and_its_parent_is_not_read(prepared):
    model = network()
    given = to_keras(model)
    params = settings(given, compress={"theirs": {"method": "external", "parent": "baseline", **given}})
    compress(params, "theirs")
    found, card = keras_files.load("theirs")
    assert (card.method, card.parent, card.total_epochs) == ("external", "baseline", 0)
    np.testing.assert_array_equal(found.get_weights()[0], model.get_weights()[0])


def test_own_layers_are_found_by_every_later_stage(prepared, monkeypatch):
    (prepared / "kept_layers.py").write_text(OWN)
    monkeypatch.syspath_prepend(prepared)
    module = __import__("kept_layers")
    given = to_keras(network(module.Halved()))
    tuned = {"method": "finetune", "parent": "baseline", "epochs": 1, "batch_size": 16}
    params = settings({**given, "layers": "kept_layers"}, compress={"tuned": tuned})
    train(params)
    known = keras.saving.get_custom_objects()
    for name in [name for name in known if not name.startswith(OURS)]:
        del known[name]
    monkeypatch.delitem(__import__("sys").modules, "kept_layers")
    compress(params, "tuned")
    cards = [read(ModelCard, paths.model(name) / "card.json") for name in ("baseline", "tuned")]
    assert cards[0].code == cards[1].code
    assert cards[0].code.module == "kept_layers"
    (prepared / "kept_layers.py").write_text(OWN.replace("0.5", "0.25"))
    train(params)
    assert read(ModelCard, paths.model("baseline") / "card.json").code != cards[0].code


# LiteRT files


def to_litert(model, name="own.tflite"):
    import tensorflow as tf

    Path(name).write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return {"source": name}


ASIS = {"as-is": {"model": "baseline", "scheme": "as-is"}}


def test_a_litert_file_is_evaluated_as_it_is(prepared):
    model = network()
    given = to_litert(model)
    params = settings(given, quantize=ASIS)
    train(params)
    card = read(ModelCard, paths.model("baseline") / "card.json")
    assert (card.parameters, card.layers, card.epochs) == (None, (), 0)
    quantize(params, "as-is")
    made = read(ArtifactCard, paths.artifact("as-is") / "card.json")
    assert (paths.artifact("as-is") / made.file).read_bytes() == Path(given["source"]).read_bytes()
    assert made.inputs[0].name == "pixels"
    assert made.inputs[0].shape == (28, 28, 1)
    assert made.operators["CONV_2D"] == 1
    assert made.stablehlo is None
    assert "scheme as-is" in made.no_stablehlo
    evaluate.evaluate(params, "as-is")
    scores = {score.split: score for score in read(Evaluation, paths.evaluation("as-is")).scores}
    for split, score in scores.items():
        examples = load(split)
        expected = model.predict(examples.inputs["image"], verbose=0).argmax(axis=1)
        assert list(score.predictions) == expected.tolist()


def test_two_litert_files_are_compared(prepared):
    given = to_litert(network())
    params = settings(given, compress={"theirs": {"method": "external", "parent": "baseline", **given}}, quantize=ASIS)
    train(params)
    compress(params, "theirs")
    assert (paths.model("theirs") / keras_files.LITERT).is_file()


def test_nothing_else_can_be_done_with_a_litert_file(prepared):
    given = to_litert(network())
    tuned = {"method": "finetune", "parent": "baseline", "epochs": 1}
    params = settings(given, compress={"tuned": tuned})
    train(params)
    for stage, key in ((compress, "tuned"), (quantize, "fp32")):
        with pytest.raises(
            ModelError, match=r"^model 'baseline' is a LiteRT file, which can be neither .*scheme as-is"
        ):
            stage(params, key)
    with pytest.raises(ModelError, match=r"a LiteRT file cannot be trained; set train.epochs: 0"):
        train(settings(given, {"epochs": 1}))


def test_a_keras_model_needs_a_scheme(prepared):
    params = settings(to_keras(network()), quantize=ASIS)
    train(params)
    with pytest.raises(
        ModelError, match=r"variant 'as-is': scheme as-is takes a .tflite file as it is; 'baseline' is a Keras"
    ):
        quantize(params, "as-is")


def asis(source):
    params = settings({"source": source}, quantize=ASIS)
    train(params)
    quantize(params, "as-is")


def test_a_damaged_litert_file_is_refused_in_one_line(prepared):
    to_litert(network())
    content = Path("own.tflite").read_bytes()
    Path("text.tflite").write_bytes(b"hello, I am a model")
    with pytest.raises(ModelError, match=r"source: text.tflite: not a LiteRT file: its first bytes"):
        asis("text.tflite")
    with pytest.raises(ModelError, match=r"source: absent.tflite: no such file"):
        asis("absent.tflite")
    for end in (9, 40, len(content) // 2):
        Path("short.tflite").write_bytes(content[:end])
        with pytest.raises((ModelError, ConversionError), match=r"model 'baseline': not a whole LiteRT file") as caught:
            asis("short.tflite")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("float32", r"input 'image' takes \[-1, 8, 8, 1\]; the data has \[1, 28, 28, 1\]"),
        ("two", r"takes the inputs b, a; the data has image; several inputs are matched by name"),
        ("tokens", r"input 'tokens' takes \[-1, 5\]; the data has \[1, 28, 28, 1\]"),
    ],
)
def test_a_litert_file_that_does_not_fit_the_data_is_refused(prepared, file, reason):
    shutil.copy(GOLDEN / f"{file}.tflite", "golden.tflite")
    with pytest.raises(ModelError, match=rf"model 'baseline': {reason}"):
        asis("golden.tflite")


def test_an_output_of_other_classes_is_refused(prepared):
    inputs = keras.Input((28, 28, 1))
    to_litert(keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(inputs))))
    with pytest.raises(ModelError, match=r"gives dense \[4\]; one output of \[10\] is expected"):
        asis("own.tflite")


def test_a_batch_that_is_fixed_is_refused(prepared):
    inputs = keras.Input((28, 28, 1), batch_size=4)
    to_litert(keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs))))
    with pytest.raises(ModelError, match=r"takes \[4, 28, 28, 1\]; the data has \[1, 28, 28, 1\]"):
        asis("own.tflite")


def test_only_a_file_is_trained_already(project):
    with pytest.raises(ParamsError, match="only models of the families file and decoder are trained already"):
        settings({"family": "cnn"})


def test_the_card_of_a_file_says_null_and_not_zero(prepared):
    asis(to_litert(network())["source"])
    assert json.loads((paths.model("baseline") / "card.json").read_text())["parameters"] is None
