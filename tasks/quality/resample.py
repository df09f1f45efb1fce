"""What chance does to a figure of examples, by drawing the examples again: B. Efron's bootstrap (1979).

The unit that is drawn is the example, of which all answers go together, so two variants are compared in pairs. The
draws are the same in every run. tests/tasks/quality/test_resample.py simulates how often intervals hold the truth.
"""

from collections.abc import Callable, Iterator

import numpy as np

from tasks.examples import Array
from tasks.records import Paired

DRAWS = 2000
AT_ONCE = 2_000_000  # numbers in memory
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

    P. Hall, "Theoretical comparison of bootstrap confidence intervals" (1988).
    """
    mean, error, t = _studentized(values)
    return mean - float(np.quantile(t, 0.975)) * error, mean - float(np.quantile(t, 0.025)) * error


def mean_paired(gains: Array) -> Paired:
    """The comparison of two variants by a mean of gains [n], of the example each: positive where it is better."""
    mean, error, t = _studentized(gains)
    beyond = int((np.abs(t) * error >= abs(mean)).sum())
    bound = max(0.0, float(np.quantile(t, 0.95)) * error - mean)
    return Paired(p_value=min(1.0, (beyond + 1) / (DRAWS + 1)), drop_bound=bound)


def _all(statistic: Statistic, n: int) -> Array:
    return np.concatenate([statistic(times) for times in drawn(n)])


def _studentized(values: Array) -> tuple[float, float, Array]:
    """The mean, its standard error, and what t the draws have."""
    n, mean = len(values), float(values.mean())
    from_mean = values - mean

    def t(times: Array) -> Array:
        away = times @ from_mean / n
        error = np.sqrt(np.maximum(times @ np.square(from_mean) / n - np.square(away), 0) / n)
        return np.divide(away, error, out=np.zeros_like(away), where=error > 0)

    return mean, float(values.std() / np.sqrt(n)), _all(t, n)
