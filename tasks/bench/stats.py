"""From raw samples to the figures of a record. Samples are nanoseconds, one array per window, batch of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.records import Latency, Ratio

Nanoseconds = NDArray[np.uint64]
SUPPORT = {
    50: 1,
    90: 64,
    95: 130,
    99: 662,
}  # samples a window needs; 90 and up: MLPerf's early stopping, 99 % confidence
NOISY_CV = 0.05


def ms(samples: Nanoseconds, percentile: float) -> float:
    """One percentile of one window, in milliseconds, interpolated linearly."""
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


def ratio(reference: Sequence[Nanoseconds], variant: Sequence[Nanoseconds]) -> Ratio | None:
    """Variant over reference from interleaved windows, R V R V …; null for a single pair, which has no interval.

    The value is the ratio of the least disturbed inferences, the lowest sample of all windows of each side: what
    disturbs a deterministic program only ever adds time (J. Chen and J. Revels, "Robust benchmarking in noisy
    environments", 2016). The interval is Student's, 95 %, of the logarithms of each pair's ratio of lowest samples,
    widened to hold the value.

    Chosen by trial of 60 estimators, int8 over float32 of a two-convolution CNN, on a two-core virtual machine under a
    load of 1.5 to 3 of other work, which switches it between two speeds (float32 75 or 107 µs, int8 41 or 67 µs) for
    seconds. 60 repeats of quick mode: any 5 in a row differed by 2 % in the median and 5 % in 9 of 10 cases (worst 9
    %); the ratio of the lowest p10, and every mean or median of paired ratios of p10 or p50, by over 50 % at worst. The
    interval held the settled value in 58. 12 repeats of 5 windows of 1 s: 1.2 % at worst, held in all.
    """
    if len(reference) < 2:
        return None
    from scipy.special import stdtrit

    r, v = (np.array([window.min() for window in side], np.float64) for side in (reference, variant))
    value, logs = v.min() / r.min(), np.log(v / r)
    half = stdtrit(len(logs) - 1, 0.975) * np.std(logs, ddof=1) / np.sqrt(len(logs))
    low, high = np.exp(np.mean(logs) - half), np.exp(np.mean(logs) + half)
    return Ratio(value=value, low=min(low, value), high=max(high, value), pairs=len(logs))


def drifted(level_ms: float, earlier_ms: Sequence[float]) -> bool:
    """Whether the reference now runs more than 5 % off the median of what it did before on this machine."""
    if not earlier_ms:
        return False
    usual: Any = np.median(earlier_ms)
    return bool(abs(level_ms / usual - 1) > 0.05)
