"""Examples that a small network learns in seconds, for the projects of these tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def quarters(count: int = 240, side: int = 12, channels: int = 3) -> tuple[Array, Array]:
    """Images with one bright quarter, float32 [count, side, side, channels], and which one it is."""
    rng = np.random.default_rng(0)
    label, half = rng.integers(0, 4, count), side // 2
    images = rng.uniform(0, 0.4, (count, side, side, channels)).astype(np.float32)
    for image, number in zip(images, label, strict=True):
        row, column = divmod(int(number), 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 0.6
    return images, label


def waves(count: int = 240, steps: int = 12, channels: int = 4) -> tuple[Array, Array]:
    """Waves of three lengths in noise, float32 [count, steps, channels], and which length it is."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, count)
    lengths = np.sin(np.arange(steps)[None, :, None] * (label[:, None, None] + 1) * 0.5)
    return (lengths + rng.normal(0, 0.3, (count, steps, channels))).astype(np.float32), label


def held(count: int) -> Array:
    """Which examples `write_data` gives to the test split."""
    return np.arange(count) % 4 == 3
