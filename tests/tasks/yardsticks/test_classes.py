"""Yardsticks of classes and values, against other ways to the same answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestCentroid

from tasks.errors import DataError
from tasks.examples import Arrays, dataset
from tasks.examples import rows as flat
from tasks.examples.dataset import LABEL, RECONSTRUCTION, Spec, TensorSpec, Values
from tasks.members import YARDSTICKS
from tasks.params.yardstick import Logistic, NearestClassMean, Trees
from tasks.quality.score import score
from tasks.yardsticks import trees

RNG = np.random.default_rng(0)
SECTIONS = {
    "nearest-class-mean": NearestClassMean(method="nearest-class-mean"),
    "logistic": Logistic(method="logistic"),
    "trees": Trees(method="trees", trees=30),
}


def told(monkeypatch: pytest.MonkeyPatch, spec: Spec) -> None:
    monkeypatch.setattr(dataset, "spec", lambda: spec)


def answers(name: str, train: Arrays, judged: Arrays, **options: Any) -> Any:
    section = SECTIONS[name]
    return YARDSTICKS.load(name).predict(train, judged, 0, **(section.options | options))


def numbers(x: Any, label: Any) -> Arrays:
    return Arrays({"numbers": np.asarray(x, np.float32)}, {LABEL: np.asarray(label)})


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> tuple[Arrays, Arrays]:
    """Training and judged examples of three of four classes that overlap."""
    told(monkeypatch, Spec({"numbers": TensorSpec((5,), "float32")}, ("a", "b", "never", "c")))
    label = np.array([0, 1, 3])[RNG.integers(0, 3, 300)]
    x = RNG.normal(size=(300, 5)) + label[:, None] * RNG.normal(size=5)
    return numbers(x[:200], label[:200]), numbers(x[200:], label[200:])


def test_the_nearest_mean_is_that_of_scikit_learn(three: tuple[Arrays, Arrays]) -> None:
    train, judged = three
    known = NearestCentroid().fit(train.inputs["numbers"], train.targets[LABEL]).predict(judged.inputs["numbers"])
    np.testing.assert_array_equal(answers("nearest-class-mean", train, judged).argmax(axis=1), known)


def test_of_a_reconstruction_it_is_the_mean_of_what_is_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an example is the more anomalous the farther it lies from there."""
    told(monkeypatch, Spec({"image": TensorSpec((2, 3, 1), "float32")}, ("good", "bad"), "reconstruction"))
    train, x = RNG.normal(3, 1, (50, 2, 3, 1)).astype("f4"), RNG.normal(size=(20, 2, 3, 1)).astype("f4")
    judged = Arrays({"image": x}, {LABEL: np.arange(20) % 2, RECONSTRUCTION: x})
    found = answers("nearest-class-mean", Arrays({"image": train}, {LABEL: np.zeros(50, np.int64)}), judged)
    assert found.shape == x.shape
    far = cdist(x.reshape(20, 6), [train.reshape(50, 6).mean(axis=0)])[:, 0]
    known = roc_auc_score(judged.targets[LABEL], far)
    assert score(found.astype("f4"), judged, "default", "test").value == pytest.approx(known)


def test_logistic_regression_has_the_least_penalized_loss(three: tuple[Arrays, Arrays]) -> None:
    """Its answers are those of the same objective, minimized by SciPy."""
    train, judged = three
    x, label = train.inputs["numbers"].astype(np.float64), train.targets[LABEL]
    mean, scale = x.mean(axis=0), x.std(axis=0)
    place = np.searchsorted([0, 1, 3], label)
    ready = [np.c_[(each - mean) / scale, np.ones(len(each))] for each in (x, judged.inputs["numbers"])]

    def loss(flat: Any) -> float:
        weights = flat.reshape(6, 3)
        nats = -special.log_softmax(ready[0] @ weights, axis=1)[np.arange(len(place)), place].sum()
        return float(nats + np.square(weights[:5]).sum() / 2)

    best = optimize.minimize(loss, np.zeros(18)).x.reshape(6, 3)
    found = answers("logistic", train, judged)
    np.testing.assert_allclose(found[:, [0, 1, 3]], special.softmax(ready[1] @ best, axis=1), atol=2e-3)
    assert not found[:, 2].any()


def test_trees_tell_what_no_line_can(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, Spec({"numbers": TensorSpec((2,), "float32")}, ("same", "different")))
    x = RNG.uniform(-1, 1, (1200, 2))
    either = (x[:, 0] > 0) ^ (x[:, 1] > 0.2)
    train, judged = numbers(x[:900], either[:900].astype(int)), numbers(x[900:], either[900:].astype(int))
    right = {
        name: (answers(name, train, judged).argmax(axis=1) == judged.targets[LABEL]).mean()
        for name in ("logistic", "trees")
    }
    assert right["trees"] > 0.95
    assert right["logistic"] < 0.75


def test_trees_have_a_probability_for_each_of_several_classes(three: tuple[Arrays, Arrays]) -> None:
    train, judged = three
    found = answers("trees", train, judged)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert not found[:, 2].any()
    assert (found.argmax(axis=1) == judged.targets[LABEL]).mean() > 0.6


def test_trees_tell_values(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, Spec({"numbers": TensorSpec((1,), "float32")}, (), "regression", Values((0.0, 0.0), (1.0, 1.0))))
    x = RNG.uniform(0, 1, (600, 1))
    steps = np.c_[np.floor(4 * x[:, 0]), -np.floor(2 * x[:, 0])]
    found = answers("trees", numbers(x[:500], steps[:500]), numbers(x[500:], steps[500:]), trees=100)
    assert np.abs(found - steps[500:]).mean() < 0.1


@pytest.mark.parametrize("name", SECTIONS)
def test_no_answer_hangs_from_the_truth(name: str, three: tuple[Arrays, Arrays]) -> None:
    train, judged = three
    blind = Arrays(judged.inputs, {})
    np.testing.assert_array_equal(answers(name, train, judged), answers(name, train, blind))


def test_trees_of_many_examples_are_of_steps_and_tell_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers in 255 steps: what lies between two of them is told alike, where exact ones are parted in the middle."""
    told(monkeypatch, Spec({"numbers": TensorSpec((1,), "float32")}, (), "regression", values=Values((0.0,), (1.0,))))
    x = np.arange(2550, dtype=np.float32)[:, None]
    exact = answers("trees", numbers(x, x), numbers(x, x), trees=100)
    monkeypatch.setattr(trees, "MANY", len(x))
    stepped = answers("trees", numbers(x, x), numbers(x, x), trees=100)
    assert len(np.unique(stepped)) <= 255 < len(np.unique(exact))
    assert np.abs(stepped - x).mean() < 10, "ten numbers a step"


@pytest.mark.parametrize("name", ["logistic", "trees"])
def test_one_class_alone_is_told(name: str, three: tuple[Arrays, Arrays]) -> None:
    train, judged = three
    alone = train.take(np.flatnonzero(train.targets[LABEL] == 1))
    with pytest.raises(DataError, match=f"{name}: two classes in training expected; received 'b' alone"):
        answers(name, alone, judged)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_class_with_one_example_is_no_matter(name: str, three: tuple[Arrays, Arrays]) -> None:
    train, judged = three
    lone = np.flatnonzero(train.targets[LABEL] == 3)[0]
    found = answers(name, train.take(np.append(np.flatnonzero(train.targets[LABEL] != 3), lone)), judged)
    assert np.isfinite(found).all()
    assert found.shape == (100, 4)


def test_numbers_stand_as_they_are_and_what_is_numbered_is_counted() -> None:
    inputs = {"numbers": TensorSpec((2, 2), "float32"), "words": TensorSpec((3,), "int32", 4)}
    examples = Arrays({"numbers": np.arange(8.0).reshape(2, 2, 2), "words": np.array([[3, 0, 3], [1, 2, 0]])}, {})
    assert flat.width(inputs) == 8
    assert flat.flat(examples, inputs).tolist() == [[0, 1, 2, 3, 1, 0, 0, 2], [4, 5, 6, 7, 1, 1, 1, 0]]


def test_more_numbers_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(flat, "MOST", 7)
    with pytest.raises(DataError, match="2 examples of 4 numbers are more than 7"):
        flat.rows(numbers(np.zeros((2, 4)), [0, 1]), {"numbers": TensorSpec((4,), "float32")})
