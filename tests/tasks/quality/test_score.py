"""Scores against another implementation and by hand."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from tasks.errors import InvalidError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, RECONSTRUCTION
from tasks.quality.auc import auc, hanley_mcneil, influence, shrunk_variance
from tasks.quality.kept import reconstruction_errors
from tasks.quality.score import score
from tasks.records import Tensor, judged


def test_the_predicted_class_is_the_highest_score() -> None:
    outputs = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]], np.float32)
    examples = Arrays({"x": np.zeros((4, 1), np.float32)}, {LABEL: np.array([1, 0, 0, 0])})
    found = score(outputs, examples, "default", "test")
    assert found.predictions == (1, 0, 1, 0)
    assert (found.value, found.n, found.split) == (0.75, 4, "test")
    moved = score(outputs + np.float32(1e-3), examples, "default", "test")
    assert moved.outputs_sha256 != found.outputs_sha256


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("target", [LABEL, RECONSTRUCTION])
def test_what_is_no_number_is_no_class_and_no_error(bad: float, target: str) -> None:
    outputs = np.full((5, 2), 0.5, np.float32)
    outputs[3, 1] = outputs[4, 0] = bad
    targets = {LABEL: np.array([1, 0, 0, 0, 1]), target: np.zeros((5, 2)) if target != LABEL else np.zeros(5, int)}
    examples = Arrays({"x": np.zeros((5, 2), np.float32)}, targets)
    with pytest.raises(InvalidError, match=r"the answers to 2 of 5 test examples are no finite numbers, .* example 3"):
        score(outputs, examples, "default", "test")


@pytest.mark.parametrize("decimals", [0, 1, 6])  # many ties, some and none
def test_the_area_is_the_statistic_of_mann_and_whitney(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    positive = rng.random(80) < 0.3
    values = np.round(rng.normal(size=80) + positive, decimals)
    wins = mannwhitneyu(values[positive], values[~positive]).statistic
    assert auc(values, positive) == pytest.approx(wins / (positive.sum() * (~positive).sum()), abs=1e-12)


def test_the_interval_of_an_area_is_hanley_and_mcneils() -> None:
    rng = np.random.default_rng(0)  # exponential scores, which their formula is of: P(a > b) = 1 / (1 + 1 / 3)
    positive = np.arange(60) < 20
    drawn = [auc(rng.exponential(np.where(positive, 3.0, 1.0)), positive) for _ in range(3000)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.005)
    assert math.sqrt(hanley_mcneil(0.75, 20, 40)) == pytest.approx(np.std(drawn), rel=0.04)
    assert hanley_mcneil(1.0, 20, 40) == 0 < shrunk_variance(1.0, 20, 40) < shrunk_variance(1.0, 10, 40)


def test_what_each_example_does_to_an_area_tells_how_far_two_areas_differ() -> None:
    """Against many draws of two scores that have half of their noise in common."""
    positive = np.arange(90) < 30

    def drawn(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        common = positive + rng.normal(size=90)
        return [common + rng.normal(size=90) for _ in range(2)]

    gains = [auc(one, positive) - auc(other, positive) for one, other in map(drawn, range(2000))]
    errors = []
    for one, other in map(drawn, range(50)):
        apart = influence(one, positive) - influence(other, positive)
        assert apart.mean() == pytest.approx(0, abs=1e-12)
        errors.append(np.sqrt(np.square(apart).sum()) / 90)
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.06)


def test_a_reconstruction_is_scored_by_the_area_under_its_errors() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 4, 3)).astype(np.float32)
    label = (np.arange(60) % 3 == 0).astype(np.int64)
    outputs = inputs + rng.normal(size=inputs.shape) * (0.5 + 0.5 * label[:, None, None])
    examples = Arrays({"x": inputs}, {LABEL: label, RECONSTRUCTION: inputs})
    found = score(outputs.astype(np.float32), examples, "default", "test")
    errors = [float(np.mean((a - b) ** 2)) for a, b in zip(outputs, inputs, strict=True)]
    assert np.allclose(reconstruction_errors(outputs, {RECONSTRUCTION: inputs}), errors)
    wins = mannwhitneyu(np.array(errors)[label == 1], np.array(errors)[label == 0]).statistic
    assert (found.metric, found.n, found.predictions) == ("auc", 60, ())
    assert found.value == pytest.approx(wins / (20 * 40), abs=0.01)
    assert found.low < found.value < found.high


def test_of_several_outputs_the_one_named_label_is_judged() -> None:
    first, label = (Tensor(name=name, shape=(4,), dtype="float32") for name in ("depth", LABEL))
    assert judged((first, label)) == "label"
    assert judged((first, first)) == "depth"
