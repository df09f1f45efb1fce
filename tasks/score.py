"""How good the answers of an artifact are."""

import hashlib
import math
from typing import Any, Literal

import numpy as np

from tasks.dataset import LABEL, Examples
from tasks.records import Score, Split

Z95 = 1.959963984540054  # the 97.5th percentile of the normal distribution


def score(outputs: Any, examples: Examples, kernels: Literal["default", "reference"], split: Split) -> Score:
    """The quality of what an artifact answered on a split.

    Args:
        outputs: float32 [n, classes].
        examples: the split.
        kernels: whose answers they are.
        split: its name.
    """
    predictions = outputs.argmax(axis=1)
    correct, n = int((predictions == examples.targets[LABEL]).sum()), len(predictions)
    low, high = wilson(correct, n)
    return Score(
        metric="accuracy",
        value=correct / n,
        low=low,
        high=high,
        n=n,
        kernels=kernels,
        split=split,
        predictions=tuple(int(p) for p in predictions),
        outputs_sha256=hashlib.sha256(np.ascontiguousarray(outputs, np.float32).tobytes()).hexdigest(),
    )


def wilson(correct: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion: E. B. Wilson, "Probable inference" (1927)."""
    share = correct / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends rounding could leave the share itself outside
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return min(max(0.0, low), share), max(min(1.0, high), share)
