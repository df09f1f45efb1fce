"""Accuracy: its interval and its paired test, against their closed forms and by counting."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.intervals import paired_drop_bound
from tasks.quality.accuracy import mcnemar, sign_test, wilson


@pytest.mark.parametrize(("correct", "n"), [(0, 7), (7, 7), (1, 3), (339, 360), (9885, 10_000)])
def test_the_interval_is_wilsons(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("n", range(1, 11))
def test_the_sign_test_counts_outcomes_at_least_as_uneven(n: int) -> None:
    wins = [bin(outcome).count("1") for outcome in range(2**n)]  # every way n coins can fall
    for better in range(n + 1):
        uneven = sum(abs(2 * w - n) >= abs(2 * better - n) for w in wins)
        assert sign_test(better, n - better) == pytest.approx(uneven / 2**n, rel=1e-12)


def test_the_sign_test_has_its_closed_forms_and_limits() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(0, 5) == 2 * 0.5**5
    assert sign_test(40, 40) == 1
    z = (299 - 1) / math.sqrt(10_001)  # de Moivre and Laplace, with the correction for continuity
    assert sign_test(4851, 5150) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_mcnemar_counts_only_the_discordant() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2], dtype=np.int64)
    reference = np.array([0, 1, 2, 1, 2, 0])  # the first three right
    variant = np.array([0, 2, 0, 0, 0, 1])  # the first and the fourth right
    paired = mcnemar(variant, reference, labels)
    assert (paired.better, paired.worse) == (1, 2)
    assert paired.p_value == 1.0
    assert paired.drop_bound == paired_drop_bound(1, 2, 6)
