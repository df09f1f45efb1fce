"""Scores against another implementation and by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.dataset import LABEL, Examples
from tasks.score import score, wilson


@pytest.mark.parametrize(("correct", "n"), [(0, 7), (7, 7), (1, 3), (339, 360), (9885, 10_000)])
def test_the_interval_is_wilsons(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_predicted_class_is_the_highest_score() -> None:
    outputs = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]], np.float32)
    examples = Examples({"x": np.zeros((4, 1), np.float32)}, {LABEL: np.array([1, 0, 0, 0])})
    found = score(outputs, examples, "default", "test")
    assert found.predictions == (1, 0, 1, 0)
    assert (found.value, found.n, found.split) == (0.75, 4, "test")
    moved = score(outputs + np.float32(1e-3), examples, "default", "test")
    assert moved.outputs_sha256 != found.outputs_sha256
