"""How far answers lie from what was expected: one measure, whoever compares."""

from typing import Any

import numpy as np


def apart(a: Any, b: Any) -> float:
    """The distance of `a` from `b`, over the spread of `b`; both float32 [n, ...]. Infinite where shapes differ."""
    if a.shape != b.shape:
        return float("inf")
    difference, spread = rms(a - b), rms(b - b.mean())
    return difference / spread if spread else difference


def rms(values: Any) -> float:
    """The root mean square of an array."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
