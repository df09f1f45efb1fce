"""What is said of few examples, or of answers that are nearly all right or alike, is no more than they can tell."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as theirs

from tasks.intervals import paired_drop_bound
from tasks.quality import shares
from tasks.quality.auc import auc
from tasks.quality.f1 import macro_f1
from tasks.records.metrics import METRICS

RUNS = 200  # the standard error of a coverage of 95 % is 1.5 %


def yes(count: int, n: int) -> Any:
    """So many of n are right."""
    return (np.arange(n) < count).astype(float)


@pytest.mark.parametrize("name", ["direction", "recall-10", "same-top", "ndcg-10"])
@pytest.mark.parametrize("n", [20, 50, 100])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.98])
def test_the_interval_of_a_share_holds_the_true_one(name: str, n: int, share: float) -> None:
    """Counted out over all numbers of right ones, of which each has its binomial chance: no draw decides."""
    judge, chances = METRICS.load(name), stats.binom(n, share).pmf(np.arange(n + 1))
    ends = [judge.interval(yes(count, n), np.zeros(n)) for count in range(n + 1)]
    held = sum(chance for chance, (low, high) in zip(chances, ends, strict=True) if low <= share <= high)
    assert held >= 0.87, "Wilson's, at its worst"


@pytest.mark.parametrize("name", ["direction", "recall-10", "same-top", "ndcg-10"])
def test_all_right_is_no_certainty(name: str) -> None:
    judge, all_right = METRICS.load(name), np.ones(20)
    assert judge.interval(all_right, np.zeros(20)) == pytest.approx((1 / (1 + 1.96**2 / 20), 1.0), abs=1e-3)
    same = judge.paired(all_right, all_right, np.zeros(20))
    assert (same.p_value, same.drop_bound) == (1.0, paired_drop_bound(0, 0, 20))
    one_less = judge.paired(np.minimum(all_right, np.arange(20)), all_right, np.zeros(20))
    assert one_less.p_value == 1
    assert one_less.drop_bound == paired_drop_bound(0, 1, 20)


def test_windows_that_nearly_all_agree_are_not_taken_for_sure() -> None:
    """Of windows of 64 tokens of which one in 5,000 differs, most are all alike, and draws would see too little."""
    judge, held = METRICS.load("same-top"), 0
    for seed in range(RUNS):
        kept = np.random.default_rng(seed).binomial(64, 0.9998, 30) / 64
        low, high = judge.interval(kept, np.zeros(30))
        held += low <= 0.9998 <= high
    assert held / RUNS >= 0.92


def test_many_values_between_the_ends_are_judged_by_drawing_again() -> None:
    rng, held, widths = np.random.default_rng(0), 0, []
    for _ in range(RUNS):
        values = rng.beta(8, 2, 60)
        low, high = shares.interval(values)
        held += low <= 0.8 <= high
        widths.append(high - low)
    assert held / RUNS >= 0.92
    assert np.mean(widths) < 0.1, "a share of 0.8 of 60 would have 0.2"


def test_parts_count_for_less_than_whole_ones() -> None:
    whole, part = shares.by_sums(0, 3, 40), shares.by_sums(0, 2.6, 40)
    assert part.drop_bound < whole.drop_bound
    assert part.p_value == shares.by_sums(0, 2, 40).p_value == 0.5


def test_f1_is_no_surer_than_accuracy_where_all_are_right() -> None:
    truth = np.arange(20) % 2
    judge, usual = METRICS.load("f1"), METRICS.load("accuracy")
    assert judge.interval(truth, truth) == usual.interval(truth, truth)
    same = judge.paired(truth, truth, truth)
    assert (same.p_value, same.drop_bound) == (1.0, paired_drop_bound(0, 0, 20))
    answers = np.where(np.arange(300) % 4, truth[np.arange(300) % 20], 1)  # 38 are wrong: draws tell by themselves
    whole = np.tile(truth, 15)
    low, high = judge.interval(answers, whole)
    assert low < macro_f1(answers, whole) < high


def test_sensitivity_is_no_surer_than_a_share_of_those_who_have_it() -> None:
    truth, judge = np.repeat([0, 1], [60, 20]), METRICS.load("sensitivity-95")
    scores = truth + np.linspace(0, 0.5, 80)
    assert judge.interval(scores, truth)[0] == pytest.approx(1 / (1 + 1.96**2 / 20), abs=1e-3)
    assert judge.paired(scores, scores, truth).drop_bound == paired_drop_bound(0, 0, 20)


def normal(seed: int, rare: int, others: int, area: float) -> tuple[Any, Any]:
    """Scores of one kind of rare examples and one of others, whose true area is known; and which are rare."""
    positive = np.arange(rare + others) < rare
    return np.random.default_rng(seed).normal(size=rare + others) + stats.norm.ppf(area) * math.sqrt(
        2
    ) * positive, positive


@pytest.mark.parametrize(("rare", "others"), [(1, 199), (2, 198), (5, 195), (20, 20)])
@pytest.mark.parametrize("area", [0.7, 0.9, 0.97])
@pytest.mark.parametrize("name", ["auc", "macro-auc"])
def test_the_interval_of_an_area_holds_the_true_one_however_rare_a_kind_is(
    name: str, rare: int, others: int, area: float
) -> None:
    judge, held = METRICS.load(name), 0
    for seed in range(RUNS):
        scores, positive = normal(seed, rare, others, area)
        column = (lambda values: values) if name == "auc" else (lambda values: values[:, None])
        low, high = judge.interval(column(scores), column(positive.astype(int)))
        assert low <= auc(scores, positive) <= high
        held += low <= area <= high
    assert held / RUNS >= 0.91


@pytest.mark.parametrize("name", ["auc", "macro-auc"])
def test_one_example_of_a_kind_proves_nothing(name: str) -> None:
    """Ranked first by one and last by the other: the areas are 1 and 0."""
    scores, positive = normal(0, 1, 199, 0.5)
    first, last = (np.where(positive, end, scores) for end in (9.0, -9.0))
    column = (lambda values: values) if name == "auc" else (lambda values: values[:, None])
    found = METRICS.load(name).paired(column(last), column(first), column(positive.astype(int)))
    assert theirs.roc_auc_score(positive, first) - theirs.roc_auc_score(positive, last) == 1
    assert found.p_value > 0.2
    assert found.drop_bound > 1


def test_the_same_order_of_few_examples_leaves_room_for_a_drop() -> None:
    scores, positive = normal(0, 20, 30, 0.99)
    found = METRICS.load("auc").paired(scores, 2 * scores, positive.astype(int))
    assert (found.p_value, found.drop_bound) == (1.0, paired_drop_bound(0, 0, 20))
