"""Intervals that assume nothing of a distribution's shape, and what may be said of paired losses in quality. Pure."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from statistics import NormalDist, median
from typing import Literal

from tasks.errors import DataError

Kind = Literal["interval", "range"]
OUTSIDE = 0.05  # what a 95 % interval may miss, on both sides together
Z_ONE_SIDED = 1.6448536269514722  # the 95th percentile of the normal distribution
FEWEST = next(n for n in range(1, 99) if 2 * 0.5**n <= OUTSIDE)  # values whose median has such an interval: 6
COUNTED = 80  # values whose ranks are counted out: a tenth of a second, and the normal distribution is off by one sum
HALVINGS = 60  # of an interval of width 2: past the last digit of a float


def of_median(values: Sequence[float]) -> tuple[float, float, Kind]:
    """The 95 % interval of what `values` have as their median: two of the values in order, by the sign test.

    Each value lies above the median or below it with equal chance, so the number below it is binomial, whatever the
    values' distribution and scale (W. J. Conover, "Practical Nonparametric Statistics", 3.2). Six values are the fewest
    that can say so much: all of them lie on one side of it with a chance of 2/64. Of fewer it is their range, which
    claims nothing.

    Returns:
        low, high, and whether they are such an interval.

    Raises:
        DataError: there are no values.
    """
    if not values:
        raise DataError("the interval of a median: received no values; at least one is needed")
    ordered, n = sorted(values), len(values)
    below, left_out = 0.5**n, 0  # the chance that so few of them, or fewer, lie on one side
    while 2 * below <= OUTSIDE:
        left_out += 1
        below += math.comb(n, left_out) * 0.5**n
    first = max(left_out - 1, 0)
    return ordered[first], ordered[n - 1 - first], "interval" if left_out else "range"


def of_symmetric(values: Sequence[float], outside: float) -> tuple[float, float, float] | None:
    """The interval of what `values` lie around, by Wilcoxon's signed ranks: its low end, the estimate, its high end.

    Values that are as likely to be so far above it as below have it for their centre; nothing else is assumed of them.
    The estimate is the median of all means of two of them, the ends are two of these means (J. L. Hodges and E. L.
    Lehmann, "Estimates of location based on rank tests", 1963). It needs half as many values as `of_median`.

    Args:
        values: differences, say.
        outside: the chance that it lies below the low end, and likewise above the high one.

    Returns:
        Null where values are too few for so much.
    """
    left_out = _left_out(len(values), outside)
    if not left_out:
        return None
    means = sorted((one + other) / 2 for i, one in enumerate(values) for other in values[i:])
    return means[left_out - 1], median(means), means[-left_out]


@cache
def _left_out(n: int, outside: float) -> int:
    """How many rank sums of `n` values, from 0 on, have together a chance of at most `outside`.

    Counted out for few values; of many they are as good as normal.
    """
    if n > COUNTED:
        centre, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return math.floor(centre + NormalDist().inv_cdf(outside) * deviation)
    chances = [1.0]  # of each sum of the ranks of those above the centre
    for rank in range(1, n + 1):
        without, with_it = [*chances, *[0.0] * rank], [*[0.0] * rank, *chances]
        chances = [(one + other) / 2 for one, other in zip(without, with_it, strict=True)]
    return bisect_right(list(accumulate(chances)), outside)


def turned(turn: int) -> bool:
    """Whether the variant goes first in this turn, counted from 0.

    So windows go R V, V R, V R, R V, R V, V R, … Each side goes first as often, early and late, so that a steady drift
    cancels. Were the sides to go first in strict turn (R V, V R, R V, …), the same side would often run twice in a row:
    of a machine that changes between two speeds neighbouring pairs would then err to the same side, and their interval
    would be too narrow.
    """
    return (turn + 1) // 2 % 2 == 1


def paired_drop_bound(better: float, worse: float, n: int) -> float:
    """The one-sided 95 % upper bound of a drop in accuracy, of two classifiers that answered the same examples.

    The drop is (worse - better) / n; the bound is the largest true drop that the score test does not reject (T. Tango,
    "Equivalence test and confidence interval for the difference in proportions for the paired-sample design", 1998),
    and never below 0, for it says nothing of gains. Enumerated over every outcome, at least 93.5 % of all samples of
    48 examples or more have their true drop below it, 96 % in the mean over true drops.

    Args:
        better: examples that only the second one, whose drop is asked, gets right; of parts their sum.
        worse: examples that only the first one gets right; likewise.
        n: all examples.

    Returns:
        A share of examples from 0 to 1, never below the drop that was seen.

    Raises:
        DataError: numbers that no comparison gives.
    """
    _check(better, worse, n)
    return max(0.0, _largest(better, worse, n, Z_ONE_SIDED))


def paired_drop(better: float, worse: float, n: int, z: float) -> tuple[float, float]:
    """The interval of a drop in accuracy, of which `paired_drop_bound` is one end; below 0 it is a gain.

    Args:
        better: as there.
        worse: as there.
        n: as there.
        z: the deviations of the normal distribution that each end lies away.

    Raises:
        DataError: as there.
    """
    _check(better, worse, n)
    return -_largest(worse, better, n, z), _largest(better, worse, n, z)


def _check(better: float, worse: float, n: int) -> None:
    if min(better, worse, n - better - worse, n - 1) < 0:
        raise DataError(f"a paired drop: received {better} better and {worse} worse of {n} examples")


def _largest(better: float, worse: float, n: int, z: float) -> float:
    """The largest true drop that the score test does not reject."""
    low, high = (worse - better) / n, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        # of a gain the other one drops
        far = -_deviation(worse, better, n, -middle) if middle < 0 else _deviation(better, worse, n, middle)
        if far >= -z:
            low = middle
        else:
            high = middle
    return high


def _deviation(better: float, worse: float, n: int, drop: float) -> float:
    """How many standard deviations the seen drop lies above `drop`, were that the true one."""
    linear = (2 * n + better - worse) * drop - better - worse
    free = better * drop * (1 - drop)
    # the likeliest share of `better`, given that of `worse` is larger by the drop: a root of 2 n q² + linear q - free
    share = (math.sqrt(max(0.0, linear * linear + 8 * n * free)) - linear) / (4 * n)
    variance = n * (2 * share + drop * (1 - drop))
    seen = worse - better - n * drop
    return seen / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, seen) if seen else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of tests that were made together, each raised so that one in twenty such reports errs at all.

    S. Holm, "A simple sequentially rejective multiple test procedure" (1979): the k-th smallest of m is multiplied by
    m - k + 1, and none is below a smaller one's. It needs no independence.
    """
    raised, floor = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[i]))
        raised[i] = floor
    return raised
