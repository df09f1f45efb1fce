"""Paired quality: what is told of seeded losses, and of none."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from tasks.examples import Array
from tasks.gate.decide import OUTSIDE, judge
from tasks.gate.quality import drop
from tasks.intervals import paired_drop
from tasks.params import Gate
from tasks.quality.score import grade, keep
from tasks.records import Score

LIMIT = Gate().max_quality_drop
TRIALS, N, CLASSES = 100, 10_000, 10
assert LIMIT is not None


def scored(right: Array, truth: Array) -> Score:
    """Of answers that are right where `right` says so."""
    answers = np.where(right, truth, (truth + 1) % CLASSES)
    return grade(keep(np.eye(CLASSES, dtype=np.float32)[answers], {}, "accuracy"), truth, "default", "test", "accuracy")


def outcome(loss: float, both: float, seed: int, n: int = N) -> str:
    """What is told where so large a share of all examples was lost, and `both` won and lost besides."""
    rng = np.random.default_rng(seed)
    truth, before = rng.integers(0, CLASSES, n), rng.random(n) < 0.95
    chance = rng.random(n)
    lost = before & (chance < (loss + both) / 0.95)
    won = ~before & (chance < both / 0.05)
    change = drop(scored((before & ~lost) | won, truth), scored(before, truth), truth)
    assert change is not None
    assert change.low <= change.value <= change.high
    return judge(change, LIMIT)


@pytest.mark.parametrize("both", [0.0, 0.002, 0.005])  # a share as large on either side, by chance
def test_one_point_is_found_and_none_is_no_loss(both: float) -> None:
    lost = [outcome(0.01, both, seed) for seed in range(TRIALS)]
    same = [outcome(0.0, both, seed) for seed in range(TRIALS)]
    assert lost.count("breach") >= 95
    assert same.count("breach") <= 1
    assert same.count("passed") >= 95


@pytest.mark.parametrize("apart", [7, 8, 12, 40, 100])
def test_no_loss_is_told_where_there_is_none_more_often_than_is_said(apart: int) -> None:
    """Of examples that only one of two equals gets right each is as likely to be the one's as the other's."""
    n = 359
    truth = np.zeros(n, int)
    chance = 0.0
    for worse in range(apart + 1):
        place = np.arange(n)
        change = drop(scored(place >= worse, truth), scored((place < worse) | (place >= apart), truth), truth)
        assert change is not None
        assert change.value == pytest.approx((2 * worse - apart) / n)
        chance += float(binom.pmf(worse, apart, 0.5)) if change.low > 0 else 0.0
    assert chance <= OUTSIDE
    assert (chance > 0) == (apart >= 8)


def test_a_few_examples_cannot_tell_and_the_gate_says_how_many_could() -> None:
    assert outcome(0.0, 0.01, 3, n=359) == "undecided"
    assert outcome(0.01, 0.01, 3, n=359) == "undecided"


def test_of_no_change_at_all_as_many_examples_are_needed_as_the_bound_says() -> None:
    truth = np.zeros(2000, int)
    for n, told in ((400, "undecided"), (700, "passed")):
        right = np.arange(n) > 10
        change = drop(scored(right, truth[:n]), scored(right, truth[:n]), truth[:n])
        assert change is not None
        assert change.value == 0
        assert judge(change, LIMIT) == told


@pytest.mark.parametrize(("better", "worse"), list(product((0, 3, 20), (0, 2, 30))))
def test_the_two_ends_are_each_others_with_the_sides_exchanged(better: int, worse: int) -> None:
    low, high = paired_drop(better, worse, 400, 2.5)
    assert (-high, -low) == pytest.approx(paired_drop(worse, better, 400, 2.5))
    assert low <= (worse - better) / 400 <= high


def test_an_error_that_rises_is_a_loss_in_its_own_unit() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4000, 1))
    answers = truth + rng.normal(size=truth.shape)

    def errors(outputs: Array) -> Score:
        kept = keep(outputs.astype(np.float32), {"label": truth}, "mae")
        return grade(kept, truth, "default", "test", "mae")

    change = drop(errors(truth + 1.1 * (answers - truth)), errors(answers), truth)
    assert change is not None
    assert change.value == pytest.approx(0.1 * float(np.abs(answers - truth).mean()), rel=1e-3)
    assert 0 < change.low < change.value < change.high
    gain = drop(errors(answers), errors(truth + 1.1 * (answers - truth)), truth)
    assert gain is not None
    assert gain.value == pytest.approx(-change.value)
    assert gain.low <= gain.value <= gain.high <= 0
