"""How often intervals and tests of few examples hold the truth, where it is known, as the numbers are drawn."""

import math

import numpy as np
import pytest
from scipy import stats

from tasks.errors import InvalidError
from tasks.quality.resample import DRAWS, drawn
from tasks.records.metrics import METRICS

RUNS = 150  # the standard error of a coverage of 95 % is 1.8 %


def test_each_draw_has_as_many_examples_as_there_are() -> None:
    times = np.concatenate(list(drawn(7)))
    assert times.shape == (DRAWS, 7)
    assert set(times.sum(axis=1)) == {7.0}
    assert times.mean() == 1


@pytest.mark.parametrize(("name", "truth"), [("mae", math.sqrt(2 / math.pi)), ("rmse", 1.0)])
def test_the_interval_of_an_error_holds_the_true_one(name: str, truth: float) -> None:
    """Of normal errors both are known; 60 squares of them are skewed."""
    judge, held = METRICS.load(name), 0
    for seed in range(RUNS):
        errors = np.random.default_rng(seed).normal(size=60)
        low, high = judge.interval(np.abs(errors) if name == "mae" else np.square(errors), errors)
        held += low <= truth <= high
    assert held / RUNS >= 0.92


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_few_examples_are_judged_by_students_t(n: int) -> None:
    errors = np.random.default_rng(n).gamma(9.0, size=n)
    gains = errors - errors.mean() - 1.0
    expected = stats.t.interval(0.95, n - 1, loc=errors.mean(), scale=stats.sem(errors))
    assert METRICS.load("mae").interval(errors, errors) == pytest.approx((max(expected[0], 0.0), expected[1]))
    found = METRICS.load("mae").paired(-gains, np.zeros(n), errors)
    assert found.p_value == pytest.approx(max(stats.ttest_1samp(gains, 0).pvalue, 2.0 ** (1 - n)))
    assert found.drop_bound == pytest.approx(1.0 + stats.t.ppf(0.95, n - 1) * stats.sem(gains))


@pytest.mark.parametrize("name", ["bits-per-byte", "perplexity", "mae"])
@pytest.mark.parametrize("n", [2, 3])
def test_two_alike_windows_do_not_seem_to_differ(name: str, n: int) -> None:
    judge, differ = METRICS.load(name), 0
    for seed in range(RUNS):
        kept = np.random.default_rng(seed).gamma(4.0, size=(2, n))
        kept = kept if name == "mae" else np.stack([64 + kept, np.full((2, n), 64.0)], axis=2)
        differ += judge.paired(kept[0], kept[1], np.zeros(n)).p_value < 0.05
    assert differ == 0, "of three examples no test can tell so much"


def test_one_example_has_no_interval() -> None:
    for name in ("mae", "rmse"):
        with pytest.raises(InvalidError, match="one example tells nothing of what chance does; two at least"):
            METRICS.load(name).interval(np.ones(1), np.ones(1))


def test_draws_without_a_spread_are_not_taken_for_the_middle() -> None:
    """Of 30 errors two are not 0: one draw in nine has neither, and says nothing of how far the mean may be off."""
    errors = np.zeros(30)
    errors[:2] = 1.0, 2.0
    expected = stats.t.interval(0.95, 29, loc=0.1, scale=stats.sem(errors))
    assert METRICS.load("mae").interval(errors, errors) == pytest.approx((0.0, expected[1]))


@pytest.mark.parametrize("name", ["mae", "rmse", "f1", "auc", "macro-auc"])
def test_two_variants_that_are_alike_seldom_seem_to_differ(name: str) -> None:
    """Each is as often right as the other; p-values under 0.05, and bounds below the true drop of 0, are errors."""
    judge, differ = METRICS.load(name), 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        if name in ("mae", "rmse"):
            kept, truth = np.square(rng.normal(size=(2, 60))), np.zeros(60)
        elif name == "f1":
            truth = np.arange(60) % 3
            kept = np.where(rng.random((2, 60)) < 0.7, truth, rng.integers(0, 3, (2, 60)))
        else:
            truth = (np.arange(60) % 2) if name == "auc" else np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], 1)
            kept = truth + rng.normal(size=(2, *truth.shape))
        differ += judge.paired(kept[0], kept[1], truth).p_value < 0.05
    assert differ / RUNS <= 0.08
