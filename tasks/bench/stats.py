"""From raw samples to the figures of a record. Samples are nanoseconds, one array per window, batch of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.intervals import of_median
from tasks.records import Latency, Ratio, Window

Nanoseconds = NDArray[np.uint64]
SUPPORT = {
    50: 1,
    90: 64,
    95: 130,
    99: 662,
}  # samples a window needs; 90 and up: MLPerf's early stopping, 99 % confidence
NOISY_CV = 0.05
CROWDED, PREEMPTED = 0.1, 0.005


def ms(samples: Nanoseconds, percentile: float) -> float:
    """One percentile of one window, in milliseconds, interpolated linearly: an estimate, where MLPerf's is a bound."""
    return float(np.percentile(samples, percentile)) / 1e6


def latency(windows: Sequence[Nanoseconds]) -> Latency:
    """Summarise windows: a percentile is the median over windows of each window's own; the floor is the lowest p10.

    A percentile is null where any window has fewer samples than support it.
    """
    fewest = min(len(window) for window in windows)
    figures = {
        f"ms_p{p}": float(np.median([ms(window, p) for window in windows])) if fewest >= needed else None
        for p, needed in SUPPORT.items()
    }
    return Latency.model_validate(
        {
            "provenance": "measured",
            **figures,
            "ms_p10_floor": min(ms(window, 10) for window in windows),
            "ms_mean": float(np.median([window.mean() for window in windows])) / 1e6,
            "window_cv": variation([ms(window, 50) for window in windows]),
        }
    )


def variation(values: Sequence[float]) -> float | None:
    """Coefficient of variation: sample deviation over mean; null for one value."""
    return float(np.std(values, ddof=1) / np.mean(values)) if len(values) > 1 else None


def noisy(figures: Latency) -> bool:
    """Whether the windows' medians differ too much among themselves."""
    return figures.window_cv is not None and figures.window_cv > NOISY_CV


def ratio(reference: Sequence[Nanoseconds], variant: Sequence[Nanoseconds], period: int = 1) -> Ratio | None:
    """Latency over the reference's: `paired`, of the `floors` of each pair of windows."""
    pairs = [floors(*pair, period) for pair in zip(reference, variant, strict=True)]
    return paired(*([pair[side] for pair in pairs] for side in (0, 1)))


def floors(one: Nanoseconds, other: Nanoseconds, period: int = 1) -> tuple[float, float]:
    """The `floor` of each of two windows, by as many rounds of both.

    The lowest of more samples is lower by chance alone. In the same time the quicker one goes round more often; of it
    those samples count that ran when, by their share of the window, the slower one's did.
    """
    rounds = min(len(one), len(other)) // period
    first, second = (floor(_rounds_of(window, rounds, period), period) for window in (one, other))
    return first, second


def _rounds_of(window: Nanoseconds, rounds: int, period: int) -> Nanoseconds:
    """So many rounds of a window, spread over it: at each moment of theirs the round of the window that runs then."""
    moments = np.arange(rounds * period)
    there = moments * (len(window) // period) // (rounds * period)
    taken: Nanoseconds = window[there * period + moments % period]
    return taken


def floor(window: Nanoseconds, period: int = 1) -> float:
    """The mean over a round of `period` samples of the lowest that each of its places has in a window.

    What disturbs a deterministic program only ever adds time, so the lowest sample is the least disturbed (J. Chen and
    J. Revels, "Robust benchmarking in noisy environments", 2016). That holds between samples of the same work alone: a
    token that comes later has more to read, so each place of a round has a lowest of its own.
    """
    return float(np.mean([window[place::period].min() for place in range(period)]))


def crowded(windows: Sequence[Window], figures: Latency) -> bool:
    """Whether other work of the machine shows in the mean or in the tail; the medians may be right all the same.

    So it is where, in the median window, an inference's mean is over the median by more than a tenth, or it waited for
    a processor for more than a tenth of its time (all threads together had less CPU time than that of the clock), or
    where a p99 is given, more than one inference in two hundred was preempted. For a process that computes itself: one
    that waits for another processor has little CPU time by its nature.
    """
    tail = np.median([window.ms_mean / window.ms_p50 for window in windows]) - 1
    waited = 1 - np.median([window.cpu_ms_mean / window.ms_mean for window in windows])
    preempted = np.median([(window.preempted or 0) / window.runs for window in windows])
    return bool(tail > CROWDED or waited > CROWDED or (figures.ms_p99 is not None and preempted > PREEMPTED))


def paired(reference: Sequence[float], variant: Sequence[float]) -> Ratio | None:
    """Variant over reference: the median of the pairs' ratios, and its 95 % interval.

    Both are of the same quantity, and assume no distribution: `of_median`. Of two runs side by side each is as likely
    to be the disturbed one, so the ratio lies above its median and below it with equal chance. A level that only
    rises, or only falls, disturbs the second run of each pair; as each side is second in half of them
    (`intervals.turned`), the pairs' ratios lie on both sides of the true one, and so do the ends of their range. With
    less than six pairs the record says `range`; a single pair, or a level of 0, gives null.

    `benchmarks/records/coverage.json` has what a simulation says of it: share of intervals that hold the truth, width,
    and error, under autocorrelated noise, drift, heavy tails, switching clocks and effects of each process.
    """
    if len(reference) < 2 or min(*reference, *variant) <= 0:
        return None
    logs = np.log(np.asarray(variant, np.float64) / np.asarray(reference, np.float64))
    low, high, kind = of_median(logs.tolist())
    value, low, high = (float(np.exp(log)) for log in (np.median(logs), low, high))
    return Ratio(value=value, low=low, high=high, pairs=len(logs), kind=kind)


def drifted(level_ms: float, earlier_ms: Sequence[float]) -> bool:
    """Whether the reference now runs more than 5 % off the median of what it did before on this machine."""
    if not earlier_ms:
        return False
    usual: Any = np.median(earlier_ms)
    return bool(abs(level_ms / usual - 1) > 0.05)
