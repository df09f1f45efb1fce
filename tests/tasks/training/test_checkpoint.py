"""Whatever is trained goes on where it was killed: to the same bits as one that was not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tasks import paths
from tasks.compress.model import make
from tasks.examples import Arrays, dataset
from tasks.examples.dataset import Spec, TensorSpec
from tasks.files import write_json
from tasks.params import Params, Quantize, Training
from tasks.params.compress import Cluster, Distill, Factorize, Finetune, Prune, Slim
from tasks.quantize import aware, litert
from tasks.records import ModelCard
from tasks.stages import compress as stage
from tasks.stages import quantize as converting
from tasks.training import checkpoint, fit, keras_files

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
ROOT = Path(__file__).resolve().parents[3]
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(64, 8, 8, 2)).astype(np.float32), RNG.integers(0, 3, 64)
DATA = Arrays({"image": IMAGES}, {"label": LABELS})
SPEC = Spec({"image": TensorSpec((8, 8, 2), "float32")}, ("a", "b", "c"))
EPOCHS, KILLED = 3, 2
STUDENT = {"family": "cnn", "filters": [8], "dense": [12], "dropout": 0.3}
FITTING = {"epochs": EPOCHS, "batch_size": 16, "learning_rate": 0.01}


def network(zeros=0.0, values=None):
    """With normalization and dropout, both of which have a state of their own."""
    fit.reset(0)
    inputs = keras.Input((8, 8, 2), name="image")
    x = keras.layers.Conv2D(16, 3, use_bias=False, name="wide")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Flatten()(keras.layers.Conv2D(16, 3, activation="relu", name="deep")(x))
    x = keras.layers.Dropout(0.3)(keras.layers.Dense(16, activation="relu", name="hidden")(x))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    for name in ("wide", "deep", "hidden"):
        kernel = model.get_layer(name).kernel
        given = kernel.numpy()
        given[np.abs(given) < np.quantile(np.abs(given), zeros)] = 0
        kernel.assign(given if values is None else np.round(given / given.max() * values) * given.max() / values)
    return model


@pytest.fixture
def parent(project, monkeypatch):
    """A function that puts a parent into the project; every split of its data are the same images."""
    monkeypatch.setattr(dataset, "load", lambda _split: DATA)
    monkeypatch.setattr(dataset, "spec", lambda: SPEC)
    write_json(paths.DATA / "card.json", {})

    def put(**keys):
        model, folder = network(**keys), paths.model("baseline")
        folder.mkdir(parents=True)
        keras_files.save(model, folder)
        ModelCard(
            model="baseline", parent=None, method="train", parameters=model.count_params(), epochs=1, total_epochs=1,
            layers=keras_files.layers(model), history={},
        ).save(folder / "card.json")  # fmt: skip

    return put


@pytest.fixture
def killed(monkeypatch):
    """A function that calls what is killed after its second epoch, and again; how many epochs it then made."""
    save, made = checkpoint.save, []

    def counted(*args):
        save(*args)
        made.append(1)
        if len(made) == KILLED:
            raise KeyboardInterrupt

    def twice(call):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", counted)
            with pytest.raises(KeyboardInterrupt):
                call()
            result = call()
        return result, len(made) - KILLED

    return twice


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left.get_weights(), right.get_weights(), strict=True))


METHODS = {
    "prune": (Prune(method="prune", parent="baseline", sparsity=0.7, **FITTING), {}),
    "pattern": (Prune(method="prune", parent="baseline", pattern="2:4", **FITTING), {}),
    "cluster": (Cluster(method="cluster", parent="baseline", clusters=4, **FITTING), {"zeros": 0.5}),
    "factorize": (Factorize(method="factorize", parent="baseline", energy=0.5, **FITTING), {"zeros": 0.5}),
    "slim": (Slim(method="slim", parent="baseline", keep=0.5, **FITTING), {}),
    "student": (
        Distill(
            method="distill", parent="baseline", teacher="baseline", model=STUDENT, features={"conv2d": "wide"},
            **FITTING,
        ),
        {},
    ),
    "taught": (
        Finetune(
            method="finetune", parent="baseline", teacher="baseline", augment={"flip": "horizontal", "shift": 0.2},
            **FITTING,
        ),
        {"zeros": 0.5},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("pattern", "factorize", "slim")),
             "prune", "cluster", "student", "taught"],
)  # fmt: skip
def test_every_method_goes_on_where_it_was_killed(name, parent, killed):
    entry, keys = METHODS[name]
    parent(**keys)

    def made():
        with checkpoint.kept(f"compress.{name}", entry.model_dump_json()):
            make(paths.model(name), name, entry, paths.model, DATA, lambda *_: None)
        model, card = keras_files.load_from(paths.model(name))
        return model, card.history

    whole, history = made()
    (resumed, again), rest = killed(made)
    assert rest == EPOCHS - KILLED
    assert same(whole, resumed)
    assert history == again
    assert len(history["loss"]) == EPOCHS


@pytest.mark.parametrize(
    "keys",
    [
        {},
        pytest.param({"zeros": 0.6}, marks=pytest.mark.slow),
        pytest.param({"values": 6}, marks=pytest.mark.slow),
        pytest.param({"zeros": 0.6, "values": 6}, marks=pytest.mark.slow),
    ],
)
def test_training_that_is_aware_of_rounding_goes_on_where_it_was_killed(keys, parent, killed):
    parent(**keys)
    entry = Quantize(model="baseline", scheme="int8", aware_epochs=EPOCHS, batch_size=16)
    kept = (["sparsity"] if "zeros" in keys else []) + (["clusters"] if "values" in keys else [])

    def made():
        fit.reset(0)
        model, card = keras_files.load_from(paths.model("baseline"))
        with checkpoint.kept("quantize.int8", entry.model_dump_json()):
            return aware.apply(model, card.model_copy(update={"preserves": tuple(kept)}), entry, DATA, DATA)

    whole = made()
    resumed, rest = killed(made)
    assert rest == EPOCHS - KILLED
    assert same(whole, resumed)


L = keras.layers
WRAPPED = {
    "both ways": lambda: L.Bidirectional(L.LSTM(4)),
    "both ways, dropping": lambda: L.Bidirectional(L.GRU(4, dropout=0.3)),
    "states dropping": lambda: L.LSTM(4, recurrent_dropout=0.3),
    "a cell": lambda: L.RNN(L.LSTMCell(4, dropout=0.3)),
    "cells": lambda: L.RNN([L.GRUCell(4, dropout=0.3), L.SimpleRNNCell(4, recurrent_dropout=0.3)]),
    "steps": lambda: keras.Sequential([L.TimeDistributed(L.Dropout(0.3)), L.Flatten()]),
}


PARTS = ("both ways", "states dropping", "a cell")  # each in one of the others, too


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in PARTS else []) for name in WRAPPED]
)
def test_layers_within_layers_are_trained_and_go_on_and_are_converted(name, project, killed):
    rows = Arrays({"x": RNG.normal(size=(32, 6, 8)).astype(np.float32)}, {"label": RNG.integers(0, 3, 32)})

    def made():
        fit.reset(0)
        inputs = keras.Input((6, 8), name="x")
        model = keras.Model(inputs, L.Dense(3, activation="softmax")(WRAPPED[name]()(inputs)))
        with checkpoint.kept("compress.a", name):
            fit.fit(model, rows, rows, Training(**FITTING | {"optimizer": "adam"}), label="test")
        return model

    whole = made()
    resumed, rest = killed(made)
    assert rest == EPOCHS - KILLED
    assert same(whole, resumed)
    assert litert.convert(whole, "float32", None)


def settings(**entry):
    found = yaml.safe_load((ROOT / "infra/presets/smoke.yaml").read_text())
    found["compress"] = {
        "again": {"method": "finetune", "parent": "baseline", **FITTING, **entry},
        "none": {"method": "slim", "parent": "baseline", "keep": 0.5, "epochs": 0},
    }
    variant = found["benchmark"]["reference"]
    found["quantize"] = {
        variant: {"model": "baseline", "scheme": "float32"},
        "int8": {"model": "baseline", "scheme": "int8", "aware_epochs": EPOCHS, "batch_size": 16},
    }
    return Params.model_validate(found)


@pytest.mark.parametrize(
    "changed", [None, "entry", *(pytest.param(n, marks=pytest.mark.slow) for n in ("parent", "teacher"))]
)
def test_the_stage_goes_on_unless_something_has_changed(changed, parent, killed):
    parent()
    shutil.copytree(paths.model("baseline"), paths.model("none"))
    taught = {"parent": "none", "teacher": "baseline"} if changed == "teacher" else {}

    def made():
        again = paths.CHECKPOINTS.exists()
        if again and changed in ("parent", "teacher"):
            write_json(paths.model("baseline") / "beside.json", {})
        rate = {"learning_rate": 0.02} if again and changed == "entry" else {}
        stage.compress(settings(**taught, **rate), "again")

    _, rest = killed(made)
    assert rest == (EPOCHS if changed else EPOCHS - KILLED)
    assert not paths.CHECKPOINTS.exists()


def test_the_stage_of_a_variant_goes_on(parent, killed):
    parent()
    _, rest = killed(lambda: converting.quantize(settings(), "int8"))
    assert rest == EPOCHS - KILLED
    assert not paths.CHECKPOINTS.exists()


def test_what_trains_nothing_keeps_nothing(parent, monkeypatch):
    parent()
    monkeypatch.setattr(checkpoint, "kept", lambda *_: pytest.fail("reads what it need not"))
    stage.compress(settings(), "none")
    assert paths.model("none").exists()


def test_each_fitting_of_a_method_has_a_place_of_its_own(project):
    with checkpoint.kept("compress.twice", "a") as folder:
        first = [checkpoint.place(), checkpoint.place()]
    with checkpoint.kept("compress.twice", "a"):
        assert [checkpoint.place(), checkpoint.place()] == first == [folder / "1", folder / "2"]
    with checkpoint.kept("compress.twice", "b"):
        assert checkpoint.place() not in first
    assert checkpoint.place() is None


def test_one_of_other_shapes_is_not_gone_on_from(tmp_path, caplog):
    import tensorflow as tf

    checkpoint.save(tmp_path / "c", [tf.Variable([1.0, 2.0])], {"loss": [1.0]}, None)
    other = tf.Variable([3.0])
    assert checkpoint.resume(tmp_path / "c", [other]) == {}
    assert other.numpy() == [3.0]
    assert "begins anew" in caplog.text
    same = tf.Variable([0.0, 0.0])
    assert checkpoint.resume(tmp_path / "c", [same]) == {"loss": [1.0]}
    assert list(same.numpy()) == [1, 2]
