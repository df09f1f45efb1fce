"""What two days' windows say of a change, against scipy's own test and by the size of the chances it promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from tasks.gate.again import grown
from tasks.gate.decide import OUTSIDE, judge

windows = st.lists(st.floats(0.01, 1e4), min_size=2, max_size=12, unique=True)


@given(windows, windows)
def test_the_interval_is_welchs(now, then):
    found = grown(now, then)
    result = ttest_ind(np.log(now), np.log(then), equal_var=False)
    low, high = result.confidence_interval(1 - 2 * OUTSIDE)
    assert found.value == pytest.approx(math.expm1(np.log(now).mean() - np.log(then).mean()), rel=1e-6, abs=1e-9)
    assert found.low == pytest.approx(math.expm1(low), rel=1e-6, abs=1e-9)
    assert math.log1p(found.high) == pytest.approx(high, rel=1e-6, abs=1e-9)
    assert found.n == min(len(now), len(then))


def test_one_window_tells_of_nothing():
    assert grown([1.0], [1.0, 2.0]) is None


def test_windows_that_do_not_differ_are_exact():
    found = grown([2.2, 2.2], [2.0, 2.0, 2.0])
    assert (found.low, found.value, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_a_day_that_is_as_fast_is_seldom_taken_for_a_slower_one():
    """1 in 200 by the interval; a tenth slower by windows that differ by 1 % is always found."""
    draw = np.random.default_rng(3)
    same = [grown(np.exp(draw.normal(0, 0.03, 6)), np.exp(draw.normal(0, 0.03, 6))) for _ in range(2000)]
    assert sum(judge(each, 0.05) == "breach" for each in same) <= 2000 * OUTSIDE * 2
    slower = [grown(1.1 * np.exp(draw.normal(0, 0.01, 6)), np.exp(draw.normal(0, 0.01, 6))) for _ in range(200)]
    assert all(judge(each, 0.05) == "breach" for each in slower)
