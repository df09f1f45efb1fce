"""Coverage, enumerated over every outcome: no draw, so no luck."""

from collections.abc import Iterator
from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, multinomial, wilcoxon

from tasks.errors import DataError
from tasks.intervals import FEWEST, holm, of_median, of_symmetric, paired_drop, paired_drop_bound

SHARES = (0.0, 0.001, 0.005, 0.02, 0.07, 0.2)  # of examples that only one of the two classifiers gets right
NEGLIGIBLE = 1e-10  # an outcome that is less likely is left out

bound = cache(paired_drop_bound)


def outcomes(n: int, better: float, worse: float) -> Iterator[tuple[int, int, float]]:
    """How many examples only the one gets right, how many only the other, and the chance of both."""
    for b in range(n + 1):
        first = binom.pmf(b, n, better)
        if first < NEGLIGIBLE:
            continue
        rest = binom.pmf(range(n - b + 1), n - b, worse / (1 - better))
        yield from ((b, w, first * chance) for w, chance in enumerate(rest) if first * chance > NEGLIGIBLE)


@pytest.mark.parametrize("n", [48, 144, 359])
def test_the_bound_holds_the_true_drop_as_often_as_it_says(n: int) -> None:
    """A score test is not exact: over the grid its coverage lies around 95 %, and never below 93.5 %.

    Where there is no drop the bound cannot miss it: it is never below 0.
    """
    covered = [
        sum(chance for b, w, chance in outcomes(n, better, worse) if bound(b, w, n) >= worse - better)
        for better, worse in product(SHARES, SHARES)
        if worse > better
    ]
    assert min(covered) >= 0.935
    assert sum(covered) / len(covered) >= 0.95


@pytest.mark.parametrize(("better", "worse", "n"), [(3, 10, 144), (0, 5, 48), (20, 20, 359), (7, 5, 1200)])
def test_the_bound_is_where_the_score_test_rejects(better: int, worse: int, n: int) -> None:
    seen = (worse - better) / n
    expected = brentq(lambda drop: deviation(better, worse, n, drop) + 1.6448536269514722, seen, seen + 0.3)
    assert paired_drop_bound(better, worse, n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("better", "worse", "n"), [(3, 10, 144), (20, 20, 359), (7, 50, 1200), (50, 7, 1200)])
def test_both_ends_of_a_drop_are_where_the_score_test_rejects(better: int, worse: int, n: int) -> None:
    z, seen = 2.5, (worse - better) / n
    low = brentq(lambda drop: deviation(better, worse, n, drop) - z, seen - 0.3, seen)
    high = brentq(lambda drop: deviation(better, worse, n, drop) + z, seen, seen + 0.3)
    assert paired_drop(better, worse, n, z) == pytest.approx((low, high), abs=1e-6)


def deviation(better: int, worse: int, n: int, drop: float) -> float:
    """Tango's score, with the restricted likelihood maximized by search, not by its formula."""

    def unlikely(q: float) -> float:
        counts, shares = [better, worse, n - better - worse], [q, q + drop, 1 - 2 * q - drop]
        return -multinomial.logpmf(counts, n, shares)

    top = (1 - drop) / 2
    q = minimize_scalar(unlikely, bounds=(max(0, -drop), top), method="bounded", options={"xatol": 1e-12}).x
    return float((worse - better - n * drop) / (n * (2 * q + drop * (1 - drop))) ** 0.5)


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=14, unique=True))
def test_the_ends_around_a_centre_are_where_wilcoxons_test_rejects(values: list[float]) -> None:
    found = of_symmetric(values, 0.005)
    assert found is not None
    low, centre, high = found
    assert low <= centre <= high
    step = 1e-6 * (1 + max(abs(value) for value in values))
    for end, side in ((low, 1), (high, -1)):
        outside, inside = ([side * (value - end + side * by) for value in values] for by in (step, -step))
        if min(abs(value) for value in (*outside, *inside)) > step / 2:  # scipy has no exact test of a 0
            assert wilcoxon(outside, alternative="greater", method="exact").pvalue <= 0.005
            assert wilcoxon(inside, alternative="greater", method="exact").pvalue > 0.005


@pytest.mark.parametrize("n", [8, 40, 80, 81, 200])
def test_a_centre_lies_outside_as_seldom_as_is_said(n: int) -> None:
    """Of draws of a heavy tail, 4,000 times at once by numpy; counted ranks and normal ones alike."""
    rng, outside = np.random.default_rng(n), 0.02
    ranks = np.abs(drawn := rng.standard_t(2, (4000, n))).argsort(axis=1).argsort(axis=1) + 1
    above = np.where(drawn > 0, ranks, 0).sum(axis=1)
    pairs = n * (n + 1) // 2
    found = of_symmetric([float(i) for i in range(n)], outside)
    assert found is not None
    # the ends of 0, 1, 2, … are means of two of them: how many of those lie at the low end or below is known
    means = sorted((i + j) / 2 for i in range(n) for j in range(i, n))
    fewest = sum(mean < found[0] for mean in means)
    share = float((above <= fewest).mean())
    assert share <= binom.ppf(0.9999, 4000, outside) / 4000
    assert pairs - fewest > pairs / 2


def test_too_few_values_have_no_interval_around_their_centre() -> None:
    assert of_symmetric([1.0] * 7, 0.005) is None
    assert of_symmetric([1.0] * 8, 0.005) == (1.0, 1.0, 1.0)
    assert of_symmetric([], 0.005) is None


@given(st.integers(0, 150), st.integers(0, 150), st.integers(1, 300))
def test_more_losses_never_lower_the_bound(better: int, worse: int, others: int) -> None:
    n = better + worse + others
    found = paired_drop_bound(better, worse, n)
    assert max(0, (worse - better) / n) <= found <= 1
    assert paired_drop_bound(better, worse + 1, n) >= found


@pytest.mark.parametrize(("better", "worse", "n"), [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0)])
def test_numbers_that_no_comparison_gives_are_refused(better: int, worse: int, n: int) -> None:
    with pytest.raises(DataError, match=f"{better} better and {worse} worse of {n}"):
        paired_drop_bound(better, worse, n)


@pytest.mark.parametrize("n", range(1, 40))
def test_the_median_lies_between_two_of_the_values_as_often_as_is_said(n: int) -> None:
    """The median lies outside where fewer than `low` values are below it, or fewer than that above it."""
    low, high, kind = of_median(list(range(n)))
    assert low + high == n - 1
    outside = 2 * binom.cdf(low, n, 0.5)
    assert (kind == "interval") == (n >= 6)
    if kind == "interval":
        assert outside <= 0.05
        assert 2 * binom.cdf(low + 1, n, 0.5) > 0.05  # the next pair would say too much
    else:
        assert (low, high) == (0, n - 1)


def test_no_values_have_no_interval() -> None:
    with pytest.raises(DataError, match="no values"):
        of_median([])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@example([0.01, 0.02, 0.03])
@example([0.5, 0.5])
def test_holm_closes_bonferroni(p_values: list[float]) -> None:
    """By the closure principle: a test fails in every group of tests that it is in, each judged by Bonferroni."""
    m = range(len(p_values))
    groups = [group for size in range(1, len(p_values) + 1) for group in combinations(m, size)]
    closed = [max(min(1.0, len(group) * min(p_values[j] for j in group)) for group in groups if i in group) for i in m]
    assert holm(p_values) == pytest.approx(closed)


def test_holm_of_no_test_is_none() -> None:
    assert holm([]) == []


def test_the_fewest_values_are_those_whose_median_has_an_interval() -> None:
    kinds = {n: of_median([float(i) for i in range(n)])[2] for n in range(1, 12)}
    assert FEWEST == min(n for n, kind in kinds.items() if kind == "interval") == 6
