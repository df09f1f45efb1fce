"""How good the answers of an artifact are."""

import hashlib
import math
from typing import Any, Literal

import numpy as np

from tasks.errors import InvalidError
from tasks.examples import Array, Examples
from tasks.examples.dataset import LABEL, NORMAL, RECONSTRUCTION
from tasks.quality import heads
from tasks.records import Score, Split

Z95 = 1.959963984540054  # the 97.5th percentile of the normal distribution


def score(outputs: Any, examples: Examples, kernels: Literal["default", "reference"], split: Split) -> Score:
    """The quality of what an artifact answered on a split.

    Of classes it is the accuracy. Of reconstructions it is the area under the ROC curve (AUC) of each example's mean
    squared error, where the examples that are not normal ought to have the larger ones; then nothing is predicted.

    Args:
        outputs: float32 [n, classes], or [n, ...] as the input.
        examples: the split.
        kernels: whose answers they are.
        split: its name.

    Raises:
        InvalidError: outputs are no finite numbers, which have no order: the place of one is no class.
    """
    check_finite(outputs, f"{split} examples")
    n = len(outputs)
    labels = examples.targets[LABEL]
    predictions: tuple[int, ...] = ()
    if heads.judged(examples.targets) == RECONSTRUCTION:
        errors = reconstruction_errors(outputs, examples.targets[RECONSTRUCTION])
        metric, value = "auc", auc(errors, labels != NORMAL)
        low, high = hanley_mcneil(value, int((labels != NORMAL).sum()), int((labels == NORMAL).sum()))
    else:
        chosen = outputs.argmax(axis=1)
        predictions = tuple(int(p) for p in chosen)
        correct = int((chosen == labels).sum())
        metric, value = "accuracy", correct / n
        low, high = wilson(correct, n)
    return Score(
        metric=metric,
        value=value,
        low=low,
        high=high,
        n=n,
        kernels=kernels,
        split=split,
        predictions=predictions,
        outputs_sha256=hashlib.sha256(np.ascontiguousarray(outputs, np.float32).tobytes()).hexdigest(),
    )


def check_finite(outputs: Any, what: str) -> None:
    """Refuse answers of which some are no numbers.

    Raises:
        InvalidError: how many of them, and which is the first.
    """
    bad = np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1))
    if bad.size:
        raise InvalidError(
            f"the answers to {bad.size} of {len(outputs)} {what} are no finite numbers, the first to example {bad[0]}"
        )


def reconstruction_errors(outputs: Array, inputs: Array) -> Array:
    """The mean squared error of each example: float64 [n], of two arrays [n, ...]."""
    difference = outputs.astype(np.float64) - inputs
    errors: Array = np.square(difference).reshape(len(outputs), -1).mean(axis=1)
    return errors


def auc(scores: Array, positive: Array) -> float:
    """The probability that a positive example has a higher score than a negative one; a tie counts one half.

    Args:
        scores: [n].
        positive: bool [n], of both kinds.
    """
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[rank]  # from 1; equal scores share the mean of their ranks
    positives = int(positive.sum())
    wins = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(scores) - positives)))


def hanley_mcneil(value: float, positives: int, negatives: int, z: float = Z95) -> tuple[float, float]:
    """The interval of an AUC: Hanley and McNeil, "The meaning and use of the area under a ROC curve" (1982).

    It has no width where the two kinds are wholly apart.
    """
    square = value * value
    by_positives = (positives - 1) * (value / (2 - value) - square)
    by_negatives = (negatives - 1) * (2 * square / (1 + value) - square)
    variance = (value * (1 - value) + by_positives + by_negatives) / (positives * negatives)
    spread = z * math.sqrt(max(0.0, variance))
    return max(0.0, value - spread), min(1.0, value + spread)


def wilson(correct: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion: E. B. Wilson, "Probable inference" (1927)."""
    share = correct / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends rounding could leave the share itself outside
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return min(max(0.0, low), share), max(min(1.0, high), share)
