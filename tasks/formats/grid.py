"""The numbers that weights of 4 bits in blocks may be: a scale of each block, a bfloat16, times -7 to 7."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
LEVELS = 7
FOUND = 0.999  # the share of blocks on the grid from which a matrix was made for it
CLOSE = 1e-3  # of a step: float32's rounding of a product, and no more


def rounded_scale(ends: Matrix) -> Matrix:
    """The scales of blocks whose largest weight is as large as this: float32 of the same shape, each a bfloat16.

    A block of zeros has the smallest scale that files can hold.
    """
    bits = (ends / np.float32(LEVELS)).astype(np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    smallest = np.finfo(np.float16).smallest_subnormal
    return np.maximum(bits.view(np.float32).astype(np.float16), smallest).astype(np.float32)


def on_grid(weights: Matrix, block: int) -> float:
    """The share of the blocks whose weights are on the grid that their largest one tells.

    Args:
        weights: [outputs, inputs], the inputs a multiple of `block`.
        block: inputs that share a scale.
    """
    parts = np.ascontiguousarray(weights).reshape(len(weights), -1, block)
    steps = parts / rounded_scale(np.abs(parts).max(axis=2))[..., None]
    return float((np.abs(steps - np.rint(steps)) < CLOSE).all(axis=2).mean())


def made_for(weights: Matrix, block: int) -> bool:
    """Whether the weights [outputs, inputs] were chosen from the grid of such blocks."""
    return weights.shape[1] % block == 0 and on_grid(weights, block) >= FOUND
