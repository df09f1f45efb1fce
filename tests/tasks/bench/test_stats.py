import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tasks.bench import stats

US = 1000


def window(*microseconds: float) -> np.ndarray:
    return np.array([round(us * US) for us in microseconds], np.uint64)


@pytest.mark.parametrize("percentile", [90, 95, 99])
def test_thresholds_are_those_of_early_stopping(percentile: int) -> None:
    """The fewest queries of which one may be over the percentile at 99 % confidence (MLPerf Inference rules)."""
    fewest = next(n for n in range(1, 2000) if binom.cdf(1, n, 1 - percentile / 100) <= 0.01)
    assert stats.SUPPORT[percentile] == fewest


@pytest.mark.parametrize(("n", "supported"), [(63, []), (64, [90]), (129, [90]), (130, [90, 95]), (662, [90, 95, 99])])
def test_a_percentile_is_null_below_its_support(n: int, supported: list[int]) -> None:
    plenty = window(*range(1, 1001))
    figures = stats.latency([plenty, window(*range(1, n + 1)), plenty])
    for percentile in (90, 95, 99):
        assert (getattr(figures, f"ms_p{percentile}") is not None) == (percentile in supported)


def test_latency_is_the_median_of_windows_and_the_floor_the_lowest_p10() -> None:
    windows = [window(*(base + i for i in range(101))) for base in (100, 400, 200)]
    figures = stats.latency(windows)
    assert figures.provenance == "measured"
    assert figures.ms_p50 == pytest.approx(0.250)
    assert figures.ms_p90 == pytest.approx(0.290)
    assert figures.ms_p10_floor == pytest.approx(0.110)
    assert figures.ms_mean == pytest.approx(0.250)
    medians = [150.0, 450.0, 250.0]
    mean = sum(medians) / 3
    assert figures.window_cv == pytest.approx((sum((m - mean) ** 2 for m in medians) / 2) ** 0.5 / mean)
    assert stats.noisy(figures)


def test_one_window_has_no_variation_and_is_not_called_noisy() -> None:
    figures = stats.latency([window(1, 2, 3)])
    assert figures.window_cv is None
    assert not stats.noisy(figures)


def test_ratio_is_of_the_least_disturbed_inferences() -> None:
    reference = [window(100, 130, 900), window(104, 500), window(160, 170)]
    variant = [window(55, 90), window(50, 80), window(70, 71)]
    found = stats.ratio(reference, variant)
    assert found is not None
    assert found.value == pytest.approx(50 / 100)
    assert found.pairs == 3
    logs = np.log([55 / 100, 50 / 104, 70 / 160])
    half = 4.302652729911275 * logs.std(ddof=1) / 3**0.5  # Student's t, 2 degrees of freedom, 97.5 %: a printed table
    assert found.low == pytest.approx(np.exp(logs.mean() - half))
    assert found.high == pytest.approx(np.exp(logs.mean() + half))


def test_the_interval_holds_the_value_even_where_pairs_agree_on_another() -> None:
    found = stats.ratio([window(100), window(50)], [window(50), window(25.5)])
    assert found is not None
    assert found.low <= found.value <= found.high
    disturbed = stats.ratio([window(100), window(200)], [window(100), window(200)])  # one slow moment hits both
    assert disturbed is not None
    assert (disturbed.low, disturbed.value, disturbed.high) == (1, 1, 1)


def test_a_single_pair_has_no_ratio() -> None:
    assert stats.ratio([window(1)], [window(1)]) is None


@given(st.lists(st.tuples(st.integers(50, 500), st.integers(50, 500)), min_size=2, max_size=6), st.integers(2, 9))
def test_a_machine_of_another_speed_changes_no_ratio(pairs: list[tuple[int, int]], slower: int) -> None:
    here = stats.ratio([window(r) for r, _ in pairs], [window(v) for _, v in pairs])
    there = stats.ratio([window(r * slower) for r, _ in pairs], [window(v * slower) for _, v in pairs])
    assert here is not None
    assert there is not None
    assert (there.value, there.low, there.high) == pytest.approx((here.value, here.low, here.high))


def test_drift_needs_an_earlier_level_and_more_than_five_percent() -> None:
    assert not stats.drifted(1.0, [])
    assert not stats.drifted(1.049, [1.0, 0.9, 1.1])
    assert stats.drifted(1.051, [1.0, 0.9, 1.1])
    assert stats.drifted(0.949, [1.0])
