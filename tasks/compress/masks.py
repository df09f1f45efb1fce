"""Which weights stay: masks by magnitude, single or in blocks, and N zeros in each M. True is kept."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.compress import kernels
from tasks.compress.kernels import Kernel

if TYPE_CHECKING:
    import tf_keras

PRUNED = 0.05  # a share of exact zeros that training alone never gives
Mask = NDArray[np.bool_]
Values = NDArray[np.floating[Any]]


def by_magnitude(values: Values, sparsity: float, block: tuple[int, int] = (1, 1)) -> Mask:
    """Let the smallest magnitudes go, until `sparsity` of all weights is gone.

    Args:
        values: [..., inputs, outputs]; with blocks of one, any shape.
        sparsity: the share that goes. No block is parted, so it is reached to within one block; the last one stays.
        block: so many inputs and outputs go or stay together, by their mean magnitude, at each position of a
            convolution on its own. Blocks at the far edges are cut off where the kernel ends.

    Returns:
        The mask, of the shape of `values`; of equal magnitudes the first go.
    """
    means, sizes = _pooled(np.abs(values), block)
    order = np.argsort(means, axis=None, kind="stable")
    gone = np.cumsum(sizes.ravel()[order]) <= min(round(sparsity * values.size), values.size - 1)
    kept = np.ones(means.size, bool)
    kept[order[gone]] = False
    if block == (1, 1):
        return kept.reshape(values.shape)
    rows, columns = values.shape[-2:]
    spread = kept.reshape(means.shape).repeat(block[0], axis=-2).repeat(block[1], axis=-1)
    return spread[..., :rows, :columns]


def by_pattern(values: Values, zeros: int, group: int) -> Mask:
    """Of each `group` weights in a row along the last axis, let the `zeros` smallest go (2:4 sparsity).

    Where the axis is no multiple of `group`, the rest counts as filled up with zeros, which go first.
    Mishra et al., "Accelerating Sparse Deep Neural Networks" (2021).
    """
    length = values.shape[-1]
    filled = np.pad(np.abs(values), [(0, 0)] * (values.ndim - 1) + [(0, -length % group)], constant_values=-1)
    groups = filled.reshape(*values.shape[:-1], -1, group)
    ranks = np.argsort(np.argsort(groups, axis=-1, kind="stable"), axis=-1, kind="stable")
    kept: Mask = (ranks >= zeros).reshape(filled.shape)[..., :length]
    return kept


def zeros(found: Iterable[Kernel]) -> list[tuple[Kernel, Mask]]:
    """The masks that keep what is zero by now; a kernel without zeros needs none."""
    masks = [(kernel, kernel.weight.numpy() != 0) for kernel in found]
    return [(kernel, mask) for kernel, mask in masks if not mask.all()]


def keep(model: "tf_keras.Model") -> list[Any]:
    """Keras callbacks by which each kernel that was pruned keeps its zeros in further training; none, if none was."""
    found = pruned(model)
    return [Hold(found).callback] if found else []


def pruned(model: "tf_keras.Model") -> list[tuple[Kernel, Mask]]:
    """The kernels that were pruned, with the masks that keep what is zero.

    One counts as pruned from a share of zeros on that training alone never gives; one of zeros only was not.
    """
    found = zeros(kernels.every(model, kernels.PRUNABLE))
    return [(kernel, mask) for kernel, mask in found if PRUNED < 1 - mask.mean() < 1]


class Hold:
    """Sets the weights where a mask is False to zero: now, and by `callback` after each batch of the training."""

    def __init__(self, masks: Iterable[tuple[Kernel, Mask]]) -> None:
        import tensorflow as tf

        self._masks = [(kernel, tf.Variable(mask, trainable=False)) for kernel, mask in masks]
        self.apply = kernels.compiled(self._apply)
        self.callback = kernels.after_batch(self.apply, [mask for _, mask in self._masks])

    def narrow(self, kernel: Kernel, mask: Mask) -> None:
        """Take away what `mask` takes away too; what is gone stays gone."""
        own = next(variable for other, variable in self._masks if other is kernel)
        own.assign(own.numpy() & mask)

    def _apply(self) -> None:
        import tensorflow as tf

        for kernel, mask in self._masks:
            # not a product with 0, which turns negative weights into -0.0 and so costs bits under gzip
            kernel.weight.assign(tf.where(mask, kernel.weight, tf.zeros_like(kernel.weight)))


def _pooled(magnitudes: Values, block: tuple[int, int]) -> tuple[Values, NDArray[np.int64]]:
    """The mean magnitude of each block, and how many weights are in it."""
    if block == (1, 1):
        return magnitudes, np.ones(magnitudes.shape, np.int64)
    sums, counts = (_sums(array, block) for array in (magnitudes.astype(np.float64), np.ones(magnitudes.shape)))
    return sums / counts, counts.astype(np.int64)


def _sums(array: Values, block: tuple[int, int]) -> Values:
    rows, columns = array.shape[-2:]
    by_rows = np.add.reduceat(array, range(0, rows, block[0]), axis=-2)
    summed: Values = np.add.reduceat(by_rows, range(0, columns, block[1]), axis=-1)
    return summed
