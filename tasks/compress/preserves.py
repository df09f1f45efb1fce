"""What a model has that a later method must keep, read off its kernels rather than off what was asked for."""

from typing import TYPE_CHECKING

import numpy as np

from tasks.compress import kernels, masks
from tasks.compress.masks import Values
from tasks.records.artifacts import Preserved

if TYPE_CHECKING:
    import tf_keras

CLUSTERED = 256  # a kernel of so few values, each shared by two or more of its weights that are not zero, was clustered


def preserved(model: "tf_keras.Model") -> Preserved:
    """What any kernel has of it: a method may leave the largest out, as `prune` by `layers`.

    Args:
        model: Sequential or Functional.
    """
    pruned: Preserved = ("sparsity",) if masks.pruned(model) else ()
    shared = any(_is_clustered(kernel.weight.numpy()) for kernel in kernels.every(model, kernels.CLUSTERABLE))
    return (*pruned, "clusters") if shared else pruned


def _is_clustered(values: Values) -> bool:
    return len(np.unique(values)) <= min(CLUSTERED, np.count_nonzero(values) / 2)
