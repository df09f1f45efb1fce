"""Weights that are powers of two, so that a processor shifts where it would multiply.

The rounding of Zhou et al., "Incremental network quantization" (2017), without its training in between.
"""

from typing import Any, Literal

import numpy as np

from tasks.compress import kernels
from tasks.examples import Array
from tasks.members import CompressionMethod
from tasks.params.compress import Method


class Powers(Method):
    """What an entry of `compress` says of this method, beside what it says of all."""

    method: Literal["powers"]
    epochs: Literal[0] = 0  # nothing is trained
    teacher: None = None


def nearest(weights: Array) -> Array:
    """The power of two that is nearest to each weight, with its sign; of two as near the larger; 0 stays."""
    share, exponent = np.frexp(np.abs(weights))  # weight = share * 2**exponent, and share is from 0.5 to under 1
    power = np.ldexp(np.ones_like(weights), np.where(share >= 0.75, exponent, exponent - 1))
    return np.where(weights == 0, 0, np.copysign(power, weights)).astype(weights.dtype)


def apply(model: Any, _section: Powers, _train: Any, _validation: Any, _on_epoch: Any) -> tuple[Any, Any]:
    """Round every kernel of a copy of the model; biases and normalizations stay.

    Raises:
        ModelError: it has no kernel.
    """
    rounded = kernels.copy(model)
    for kernel in kernels.find(rounded, kernels.CLUSTERABLE):
        kernel.weight.assign(nearest(kernel.weight.numpy()))
    return rounded, {}  # no history, as nothing was trained


METHOD = CompressionMethod(schema=Powers, apply=apply)
