"""What chance does to a figure of examples, by drawing the examples again: B. Efron's bootstrap (1979).

The unit that is drawn is the example, of which all answers go together, so two variants are compared in pairs. The
draws are the same in every run. tests/tasks/quality/test_resample.py simulates how often intervals hold the truth.
"""

from collections.abc import Callable, Iterator

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array
from tasks.records import Paired

DRAWS = 2000
AT_ONCE = 2_000_000  # numbers in memory
FEWEST = 8  # examples: of fewer the draws are few different ones
ENDLESS = 0.01  # the share of draws without a spread that makes an end of an interval mean nothing
ROUNDING = 1e-12  # of a mean: a spread below it is none
Statistic = Callable[[Array], Array]  # of how often each example was drawn, [draws, n], to [draws]


def drawn(n: int) -> Iterator[Array]:
    """How often each of `n` examples is drawn: float64 [some, n], 2,000 draws in all."""
    rng, rows = np.random.default_rng(0), max(1, AT_ONCE // n)
    for start in range(0, DRAWS, rows):
        count = min(rows, DRAWS - start)
        places = rng.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        yield np.bincount(places.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def interval(statistic: Statistic, n: int) -> tuple[float, float]:
    """The 95 % interval of a statistic of `n` examples: the percentiles of its draws."""
    low, high = np.quantile(_all(statistic, n), (0.025, 0.975))
    return float(low), float(high)


def paired(gain: Statistic, n: int) -> Paired:
    """The comparison of two variants by what one gains over the other: positive where it is better."""
    draws = _all(gain, n)
    fewer = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return Paired(
        p_value=min(1.0, 2 * (fewer + 1) / (DRAWS + 1)), drop_bound=max(0.0, -float(np.quantile(draws, 0.05)))
    )


def mean_interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of a mean of `values` [n]: the bootstrap-t, which keeps its word where they are skewed too.

    P. Hall, "Theoretical comparison of bootstrap confidence intervals" (1988). Where draws of few values, or of nearly
    all the same, have no spread of their own it is Student's t, which takes the values for normal.

    Raises:
        InvalidError: there is one value.
    """
    mean, error, t = _studentized(values)
    if t is None:
        reach = _students_t(len(values), 0.975) * error
        return mean - reach, mean + reach
    return mean - float(np.quantile(t, 0.975)) * error, mean - float(np.quantile(t, 0.025)) * error


def mean_paired(gains: Array) -> Paired:
    """The comparison of two variants by a mean of gains [n], of the example each: positive where it is better.

    Raises:
        InvalidError: as `mean_interval`, which says by what.
    """
    mean, error, t = _studentized(gains)
    if t is None:
        return _by_student(mean, error, len(gains))
    beyond = int((np.abs(t) * error >= abs(mean)).sum())
    bound = max(0.0, float(np.quantile(t, 0.95)) * error - mean)
    return Paired(p_value=min(1.0, (beyond + 1) / (DRAWS + 1)), drop_bound=bound)


def _by_student(mean: float, error: float, n: int) -> Paired:
    """No p-value is below what n examples that are all of one sign can tell."""
    from scipy.special import stdtr  # not for every start

    p_value = 2 * float(stdtr(n - 1, -abs(mean) / error)) if error else float(mean == 0)
    bound = max(0.0, _students_t(n, 0.95) * error - mean)
    return Paired(p_value=min(1.0, max(p_value, 2.0 ** (1 - n) if mean else 1.0)), drop_bound=bound)


def _students_t(n: int, share: float) -> float:
    """The quantile of Student's t of n values."""
    from scipy.special import stdtrit  # not for every start

    return float(stdtrit(n - 1, share))


def _all(statistic: Statistic, n: int) -> Array:
    return np.concatenate([statistic(times) for times in drawn(n)])


def _studentized(values: Array) -> tuple[float, float, Array | None]:
    """The mean, its standard error, and what t the draws have; None of these where too many have no spread."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        raise InvalidError("one example tells nothing of what chance does; two at least are needed")
    from_mean = values - mean

    def t(times: Array) -> Array:
        away = times @ from_mean / n
        error = np.sqrt(np.maximum(times @ np.square(from_mean) / n - np.square(away), 0) / n)
        endless = np.copysign(np.where(away, np.inf, 0.0), away)
        return np.divide(away, error, out=endless, where=error > ROUNDING * abs(mean))

    drawn_t = _all(t, n) if n >= FEWEST else None
    if drawn_t is not None and np.isinf(drawn_t).mean() < ENDLESS:
        return mean, float(values.std() / np.sqrt(n)), drawn_t
    return mean, float(values.std(ddof=1) / np.sqrt(n)), None
