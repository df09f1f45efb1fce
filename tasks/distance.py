"""How far answers lie from what was expected: one measure, whoever compares."""

from typing import Any

import numpy as np

UNIT = 2.0**-23  # in the last place of a float32, relative to it
KERNELS = 16  # such units of the largest answer: kernels approximate exp and tanh, and add in an order of their own


def apart(a: Any, b: Any) -> float:
    """The distance of `a` from `b`, over the spread of `b`; both float32 [n, ...]. Infinite where shapes differ."""
    if a.shape != b.shape:
        return float("inf")
    difference, spread = rms(a - b), rms(b - b.mean())
    return difference / spread if spread else difference


def rounded(answers: Any) -> float:
    """What float32's arithmetic alone may move answers by, in their own unit, however little they spread."""
    return KERNELS * UNIT * float(np.abs(answers).max(initial=0))


def rms(values: Any) -> float:
    """The root mean square of an array."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
