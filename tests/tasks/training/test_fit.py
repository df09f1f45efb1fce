import gc
import math
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from tasks import paths
from tasks.errors import ModelError
from tasks.examples import Arrays, dataset
from tasks.examples.feed import epochs
from tasks.files import write_json
from tasks.params import Params, Training
from tasks.records import ModelCard
from tasks.stages import train
from tasks.track.contents import curve_points
from tasks.training import fit, optimizers

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
ROOT = Path(__file__).resolve().parents[3]


def examples(count=60, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, count)
    return Arrays({"x": (rng.normal(size=(count, 4)) + label[:, None]).astype(np.float32)}, {"label": label})


def model(units=8):
    fit.reset(7)
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(units, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))


def run(params, **more):
    made = model()
    history = fit.fit(made, examples(), examples(30, seed=1), params, label="test", **more)
    return made.get_weights(), history


def equal(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_two_runs_give_the_same_bits():
    params = Training(epochs=3, batch_size=16, optimizer="adam")
    assert equal(run(params)[0], run(params)[0])
    assert not equal(run(params)[0], run(params.model_copy(update={"seed": 1}))[0])  # the seed orders the batches


@pytest.mark.parametrize("optimizer", [pytest.param("momentum", marks=pytest.mark.slow), "adamw"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, optimizer):
    params = Training(epochs=4, batch_size=16, optimizer=optimizer, schedule="cosine", learning_rate=0.01)
    whole, history = run(params, checkpoint=tmp_path / "whole")

    def killed(epoch, _):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(params, checkpoint=tmp_path / "cut", on_epoch=killed)
    seen = []
    resumed, again = run(params, checkpoint=tmp_path / "cut", on_epoch=lambda epoch, _: seen.append(epoch))
    assert seen == [2, 3]  # the two finished epochs are not repeated
    assert equal(whole, resumed)
    assert history == again


def test_each_epoch_sees_every_example_once_and_in_another_order():
    data = Arrays({"x": np.arange(10, dtype=np.float32)}, {"label": np.arange(10)})
    batches = list(epochs(data, data.targets, 4, 0, range(2)).as_numpy_iterator())
    batches = [(inputs, targets["label"]) for inputs, targets in batches]
    assert [len(labels) for _, labels in batches] == [4, 4, 2] * 2
    first, second = (np.concatenate([labels for _, labels in batches[i : i + 3]]) for i in (0, 3))
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    assert all(np.array_equal(inputs["x"], labels) for inputs, labels in batches)  # inputs stay with their labels


def test_early_stopping_keeps_the_best_epoch(tmp_path):
    weights, worst = {}, Training(epochs=30, batch_size=8, optimizer="sgd", learning_rate=5.0)
    made = model()
    history = fit.fit(
        made,
        examples(),
        examples(30, seed=1),
        worst,
        label="test",
        checkpoint=tmp_path / "c",
        patience=2,
        on_epoch=lambda epoch, _: weights.setdefault(epoch, made.get_weights()),
    )
    best = fit.best_epoch(history)
    assert history["val_loss"][best] == min(history["val_loss"])
    assert len(history["val_loss"]) == best + 1 + 2  # two more epochs, and no third
    assert equal(made.get_weights(), weights[best])


def test_a_validation_loss_that_is_no_number_is_never_the_best():
    assert fit.best_epoch({"val_loss": [None, 0.5, 0.4, None, 0.6]}) == 2


def test_training_goes_on_behind_a_validation_loss_that_is_no_number(tmp_path):
    """As after a step that was too large; the loss of training is what ends one."""
    far = Arrays({"x": np.full((8, 4), 3e38, np.float32)}, {"label": np.arange(8) % 3})
    told, usual = [], Training(epochs=3, batch_size=8, optimizer="sgd", learning_rate=0.01)
    keys = {"label": "test", "checkpoint": tmp_path / "c", "patience": 5}
    history = fit.fit(model(), examples(), far, usual, on_epoch=lambda _, each: told.append(each), **keys)
    assert history["val_loss"] == [None] * 3 == [each["val_loss"] for each in told]
    assert all(map(math.isfinite, history["loss"]))
    assert fit.fit(model(), examples(), far, usual, **keys) == history, "it goes on from its checkpoint"
    card = ModelCard(
        model="a", parent=None, method="train", parameters=1, epochs=3, total_epochs=3, layers=(),
        history={name: tuple(values) for name, values in history.items()},
    )  # fmt: skip
    assert ModelCard.model_validate_json(card.model_dump_json()).history["val_loss"] == (None,) * 3
    assert {point.key for point in curve_points(0, told[0])} == {"train_loss", "train_accuracy", "val_accuracy"}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda step: 0.1),
        ("cosine", lambda step: 0.05 * (1 + math.cos(math.pi * step / 100))),
        ("exponential", lambda step: 0.1 * 0.01 ** (step / 100)),
        ("step", lambda step: 0.1 if step <= 50 else 0.01 if step <= 75 else 0.001),
    ],
)
def test_schedules_follow_their_formulas(schedule, expected):
    rate = optimizers.learning_rate(Training(epochs=1, learning_rate=0.1, schedule=schedule), 100)
    for step in (0, 50, 51, 75, 76, 99):
        received = float(rate(step)) if callable(rate) else rate
        assert received == pytest.approx(expected(step), rel=1e-4)


def test_a_loss_that_is_not_finite_is_an_error():
    wild = Training(epochs=3, batch_size=8, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(ModelError, match=r"loss of epoch \d is not finite; try a lower learning_rate"):
        fit.fit(model(), examples(), examples(), wild, label="train")


def stage(project, monkeypatch, units, killed_in=None):
    """The stage `train` of three epochs, on a network of so many units; which epochs it has made."""
    epochs = []

    def on_epoch(epoch, _metrics):
        epochs.append(epoch)
        if epoch == killed_in:
            raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "spec", lambda: None)
    monkeypatch.setattr(dataset, "load", lambda split: examples(30, seed=len(split)))
    family = SimpleNamespace(build=lambda params, spec: model(units))
    monkeypatch.setattr(train, "FAMILIES", SimpleNamespace(load=lambda name: family))
    monkeypatch.setattr(train.track, "curves", lambda *_: nullcontext(on_epoch))
    write_json(paths.DATA / "card.json", {})
    settings = yaml.safe_load((ROOT / "infra/presets/smoke.yaml").read_text())
    settings["train"]["epochs"] = 3
    train.train(Params.model_validate(settings))
    return epochs


@pytest.mark.parametrize("changed", ["files", pytest.param("libraries", marks=pytest.mark.slow), None])
def test_a_checkpoint_of_other_code_is_neither_resumed_nor_kept(changed, project, monkeypatch):
    hangs_from = {"files": {"tasks/stages/train.py": "0"}, "libraries": {"tensorflow": "2"}}
    write_json(paths.code("train"), hangs_from)
    with pytest.raises(KeyboardInterrupt):
        stage(project, monkeypatch, 8, killed_in=1)
    assert len(list(paths.CHECKPOINTS.iterdir())) == 1
    if changed:
        write_json(paths.code("train"), hangs_from | {changed: {}})
    # what changed code builds need not fit into the old one's variables
    assert stage(project, monkeypatch, 9 if changed else 8) == ([0, 1, 2] if changed else [2])
    assert not paths.CHECKPOINTS.exists()


def test_a_stage_keeps_no_graph_of_the_one_before():
    """`silu` has a gradient of its own, by which TensorFlow would keep every graph with it, and the weights in that."""
    import tensorflow as tf

    fit.reset(0)
    kernel = tf.Variable(tf.ones((4, 4)))
    traced = tf.function(lambda x: tf.nn.silu(x @ kernel)).get_concrete_function(tf.TensorSpec((2, 4)))
    graph = weakref.ref(traced.graph)
    del traced
    gc.collect()
    assert graph() is not None, "TensorFlow keeps none: the mending is not needed any more"
    fit.reset(0)
    assert graph() is None
