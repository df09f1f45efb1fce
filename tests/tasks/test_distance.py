"""The distance against numbers by hand."""

import numpy as np
import pytest

from tasks.distance import apart


def test_the_distance_is_relative_to_the_spread() -> None:
    b = np.array([[0.0, 2.0], [4.0, 6.0]], np.float32)  # its spread about the mean of 3 is the root of 5
    assert apart(b + 0.1, b) == pytest.approx(0.1 / 5**0.5, rel=1e-5)
    assert apart(1000 * b + 100, 1000 * b) == pytest.approx(0.1 / 5**0.5, rel=1e-3)
    assert apart(b, b) == 0
    assert apart(b[:1], b) == float("inf")
    assert np.isnan(apart(np.full_like(b, np.nan), b))
