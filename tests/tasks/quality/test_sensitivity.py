"""Sensitivity at a fixed specificity, against scikit-learn's ROC curve and by simulation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_curve

from tasks.errors import InvalidError
from tasks.examples import Arrays
from tasks.quality.score import score
from tasks.quality.sensitivity import METRIC, sensitivity


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60))
def test_it_is_the_highest_point_of_the_curve_that_alarms_few_enough(drawn: list[tuple[int, bool]]) -> None:
    scores, truth = (np.array(each) for each in zip(*[*drawn, (3, True), (3, False)], strict=True))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert sensitivity(scores.astype(float), truth.astype(int)) == pytest.approx(true[false <= 0.05 + 1e-12].max())


def test_one_in_twenty_is_allowed_though_a_twentieth_is_no_sum_of_twos() -> None:
    truth = np.repeat([0, 1], 60)
    scores = np.concatenate([np.arange(60), [56.5] * 40 + [0.5] * 20]).astype(float)
    assert sensitivity(scores, truth) == pytest.approx(2 / 3), "three of 60 are above 56.5"


def test_the_interval_holds_the_true_one() -> None:
    """Of normal scores the truth is known: the tail above the 95th percentile of the other class."""
    truth, held, runs = np.repeat([0, 1], 80), 0, 150
    known = float(stats.norm.sf(stats.norm.ppf(0.95) - 2))
    for seed in range(runs):
        scores = np.random.default_rng(seed).normal(size=160) + 2 * truth
        low, high = METRIC.interval(scores, truth)
        held += low <= known <= high
    assert held / runs >= 0.9


def test_two_that_are_alike_seldom_seem_to_differ() -> None:
    truth, differ, runs = np.repeat([0, 1], 40), 0, 150
    for seed in range(runs):
        mine, theirs = np.random.default_rng(seed).normal(size=(2, 80)) + truth
        differ += METRIC.paired(mine, theirs, truth).p_value < 0.05
    assert differ / runs <= 0.08


@pytest.mark.parametrize(("classes", "said"), [(3, r"two classes expected; the answers are \[3\]"), (1, r"\[1\]")])
def test_other_numbers_of_classes_are_refused(classes: int, said: str) -> None:
    examples: Any = Arrays({"x": np.zeros((6, 1))}, {"label": np.arange(6) % 2})
    with pytest.raises(InvalidError, match=said):
        score(np.random.default_rng(0).normal(size=(6, classes)), examples, "default", "test", "sensitivity-95")


def test_examples_of_one_class_alone_are_refused() -> None:
    examples = Arrays({"x": np.zeros((6, 1))}, {"label": np.zeros(6, np.int64)})
    with pytest.raises(InvalidError, match="sensitivity is of two classes, with examples of both; received 1 classes"):
        score(np.zeros((6, 2)), examples, "default", "test", "sensitivity-95")
