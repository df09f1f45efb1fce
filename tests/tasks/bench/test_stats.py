import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tasks.bench import stats
from tasks.records import Latency, Window

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


def test_ratio_is_of_the_least_disturbed_inferences_and_the_median_of_its_pairs() -> None:
    reference = [window(100, 130, 900), window(104, 500), window(160, 170), window(100), window(100), window(100)]
    variant = [window(55, 90), window(50, 80), window(70, 71), window(51), window(90), window(40)]
    found = stats.ratio(reference, variant)
    assert found is not None
    # in order: 0.4, 0.4375, 0.481, 0.51, 0.55, 0.9
    assert found.value == pytest.approx((50 / 104 * 51 / 100) ** 0.5)
    assert (found.low, found.high) == pytest.approx((0.4, 0.9))
    assert (found.pairs, found.kind) == (6, "interval")


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_of_both_windows_as_many_rounds_count_and_each_place_as_often(period: int, one: int, other: int) -> None:
    """Every sample tells its round: a lowest of as many rounds of both is seen, and none is taken twice."""
    windows = [np.repeat(np.arange(1, n + 1), period).astype(np.uint64) for n in (one, other)]
    fewest = min(one, other)
    for window in windows:
        taken = stats._rounds_of(window, fewest, period).reshape(fewest, period)
        assert (np.diff(taken.astype(int), axis=0) > 0).all()
        assert len(window) > fewest * period or (taken == window.reshape(fewest, period)).all()
    assert stats.floors(*windows, period) == stats.floors(*windows[::-1], period)[::-1]


def test_a_window_with_twice_the_rounds_is_not_the_quicker_for_it() -> None:
    """The same tokens, now and then late: of one round nothing can be the lowest, so of two rounds only one counts."""
    late = window(*[100, 150] * 8)
    found = stats.ratio([late] * 6, [np.concatenate([late, window(*[150, 100] * 8)])] * 6, period=16)
    assert found is not None
    assert found.value == pytest.approx(1)


def test_pairs_too_few_for_an_interval_have_a_range() -> None:
    found = stats.ratio([window(100)] * 5, [window(us) for us in (50, 51, 52, 53, 54)])
    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.52, 0.54))
    assert found.kind == "range"


@given(st.floats(-0.3, 3.0), st.integers(1, 3), st.floats(0.3, 3.0))
def test_a_level_that_only_rises_or_falls_never_leaves_the_true_ratio_outside(
    drift: float, quads: int, true: float
) -> None:
    """R V V R R V V R …, each window at its place on a line."""
    levels = np.linspace(1, 1 + drift, 4 * quads)
    pairs = levels.reshape(-1, 2)
    reference = [pair[turn % 2] for turn, pair in enumerate(pairs)]
    variant = [true * pair[1 - turn % 2] for turn, pair in enumerate(pairs)]
    found = stats.paired(reference, variant)
    assert found is not None
    assert found.low <= true * (1 + 1e-12)
    assert found.high >= true * (1 - 1e-12)


def seen(ms_mean: float = 1.0, cpu_ms: float = 1.0, preempted: int | None = 0, runs: int = 1000) -> Window:
    return Window(
        variant="v", runs=runs, seconds=1.0, busy_s=0.9, ms_p10=1.0, ms_p50=1.0, ms_mean=ms_mean, cpu_ms_mean=cpu_ms,
        preempted=preempted, load_ms=1.0, first_ms=1.0, peak_memory_kib=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("windows", "ms_p99", "crowded"),
    [
        ([seen()] * 3, 1.0, False),
        ([seen(ms_mean=1.09, cpu_ms=1.05)] * 3, 1.0, False),
        ([seen(ms_mean=1.11, cpu_ms=1.11)] * 3, 1.0, True),  # the mean is far above the median
        ([seen(), seen(ms_mean=1.5, cpu_ms=1.5), seen()], 1.0, False),  # in one window, and the record has their median
        ([seen(cpu_ms=0.89)] * 3, 1.0, True),  # it waited, and all inferences alike
        ([seen(cpu_ms=3.5)] * 3, 1.0, False),  # four threads
        ([seen(preempted=6)] * 3, 1.0, True),
        ([seen(preempted=6)] * 3, None, False),  # there is no tail to spoil
        ([seen(preempted=4)] * 3, 1.0, False),
        ([seen(preempted=None)] * 3, 1.0, False),
    ],
)
def test_crowded_is_a_mean_or_a_tail_that_other_work_has_made(
    windows: list[Window], ms_p99: float | None, crowded: bool
) -> None:
    figures = Latency(provenance="measured", ms_p50=1.0, ms_p99=ms_p99)
    assert stats.crowded(windows, figures) == crowded


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
