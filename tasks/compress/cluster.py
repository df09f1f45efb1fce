"""Weights that share few values: Han et al., "Deep Compression" (2015), with the assignments trained too.

While the model is trained each weight has a hidden value, which takes all of the optimizer's steps; after each batch
the weights become the means of their hidden values' clusters, and a weight changes its cluster when another mean is
nearer (the straight-through estimator of Bengio et al., 2013). Zeros of a pruned parent stay zero.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.compress import kernels, sensitivity
from tasks.compress.masks import Values
from tasks.members import CompressionMethod
from tasks.params.compress import Cluster
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.compress.kernels import Kernel
    from tasks.examples import Examples

CANDIDATES = (2, 4, 8, 16, 32, 64, 128, 256)  # what `auto` tries
ROUNDS = 100  # of k-means, at most
log = logging.getLogger(__name__)


def apply(
    model: "tf_keras.Model", params: Cluster, train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Let each kernel share so many values, fine-tuning them meanwhile.

    Where a kernel holds zeros, as after pruning, they stay zero and zero is one of its values. A kernel with fewer
    values than that keeps to as many as it has. Depthwise kernels, normalizations and biases are left; a custom
    layer names its weights by `get_clusterable_weights`.

    Returns:
        A new model, and the history of the fine-tuning.

    Raises:
        ModelError: no layer can be clustered, or `layers` names one that cannot.
    """
    clustered = kernels.copy(model)
    found = kernels.find(clustered, kernels.CLUSTERABLE)
    names = list(dict.fromkeys(kernel.layer for kernel in found))
    kernels.check_names(params.layers, names, clustered, "cluster")
    free = [kernel for kernel in found if kernel.layer not in params.layers]
    if params.clusters == "auto":
        counts = fewest(clustered, free, params, validation)
        log.info("cluster: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    else:
        counts = dict.fromkeys(names, params.clusters)
    shared = share(found, counts | params.layers)
    history = fit.fit(clustered, train, validation, params, label="cluster", callbacks=[shared], on_epoch=on_epoch)
    return clustered, history


def fewest(model: "tf_keras.Model", found: list["Kernel"], params: Cluster, validation: "Examples") -> dict[str, int]:
    """For each layer the fewest clusters that, in that layer alone and without training, cost little.

    Args:
        model: its weights are put back.
        found: the kernels to choose for.
        params: `tolerance` says how little: of the accuracy, or without one of the loss, as a share of it.
        validation: the examples that it is measured on.
    """
    measure = sensitivity.measure(model, validation, params)
    own = measure([]).value
    layers: dict[str, list[Kernel]] = {}
    for kernel in found:
        layers.setdefault(kernel.layer, []).append(kernel)
    counts = {}
    for name, group in layers.items():
        for count in CANDIDATES:
            counts[name] = count
            values = [(kernel, clustered_values(kernel.weight.numpy(), count)) for kernel in group]
            if measure(values).value >= own - params.tolerance:
                break
    return counts


def clustered_values(values: Values, clusters: int) -> Values:
    """The values with each replaced by its cluster's mean; zero keeps a cluster of its own where there is a zero."""
    alive = values != 0
    means = centroids(values[alive], clusters - (not alive.all()))
    return np.where(alive, means[_nearest(means, values)], 0).astype(values.dtype)


def centroids(values: Values, clusters: int) -> Values:
    """The means, rising, of at most `clusters` clusters of numbers, by Lloyd's k-means (1957).

    It starts with means as dense as the cube root of the numbers' density, which is best where they are many (Panter
    and Dite, "Quantization distortion in pulse-count modulation", 1951): at equal steps of the sum of gaps^(2/3).
    """
    distinct = np.unique(values)
    if len(distinct) <= clusters:
        return distinct if len(distinct) else np.zeros(1, values.dtype)
    steps = np.concatenate([[0.0], np.cumsum(np.diff(distinct).astype(np.float64) ** (2 / 3))])
    starts = np.interp((np.arange(clusters) + 0.5) / clusters * steps[-1], steps, distinct)
    return _lloyd(np.sort(values, axis=None), starts.astype(values.dtype))


def share(found: list["Kernel"], counts: Mapping[str, int]) -> Any:
    """Give each kernel its few values now; the Keras callback that comes keeps to as many while it is trained."""
    shared = [_Shared(kernel.weight, counts[kernel.layer]) for kernel in found]

    def step() -> None:
        for kernel in shared:
            kernel.step()

    return kernels.after_batch(kernels.compiled(step), [each for kernel in shared for each in kernel.variables])


class _Shared:
    """One weight, its hidden values, and the means that it is made of."""

    def __init__(self, weight: Any, clusters: int) -> None:
        import tensorflow as tf

        values = weight.numpy()
        alive = values != 0
        means = centroids(values[alive], clusters - (not alive.all()))
        self._weight = weight
        self._places = tf.constant(np.argwhere(alive))  # the zeros have no hidden values
        self._hidden = tf.Variable(values[alive], trainable=False)
        self._means = tf.Variable(means, trainable=False)
        weight.assign(clustered_values(values, clusters))
        self._placed = tf.Variable(weight, trainable=False)
        self.variables = (self._hidden, self._means, self._placed)

    def step(self) -> None:
        """Add what the optimizer did to the hidden values, and draw clusters and weights anew."""
        import tensorflow as tf

        hidden = self._hidden.assign_add(tf.gather_nd(self._weight - self._placed, self._places))
        ids = tf.searchsorted((self._means[1:] + self._means[:-1]) / 2, hidden)
        clusters = self._means.shape[0]
        counts, sums = (tf.math.unsorted_segment_sum(x, ids, clusters) for x in (tf.ones_like(hidden), hidden))
        self._means.assign(tf.where(counts > 0, tf.math.divide_no_nan(sums, counts), self._means))
        placed = tf.scatter_nd(self._places, tf.gather(self._means, ids), tf.shape(self._placed, tf.int64))
        self._weight.assign(self._placed.assign(placed))


def _lloyd(ordered: Values, means: Values) -> Values:
    """Rising numbers in clusters are runs, so a round is a search of the borders and a sum of each run.

    Each run is summed by itself: a difference of running sums would lose a small number beside large ones.
    """
    for _ in range(ROUNDS):
        edges = np.concatenate([[0], np.searchsorted(ordered, _borders(means)), [len(ordered)]])
        counts, new = np.diff(edges), means.copy()
        filled = counts > 0  # the runs that are left touch each other
        new[filled] = np.add.reduceat(ordered, edges[:-1][filled], dtype=np.float64) / counts[filled]
        if np.array_equal(new, means):
            break
        means = new
    return means


def _borders(means: Values) -> NDArray[np.float64]:
    """What is above it is nearer to the next of two neighbouring means; in float64, where no half is lost."""
    return (means[1:].astype(np.float64) + means[:-1]) / 2


def _nearest(means: Values, values: Values) -> NDArray[np.int64]:
    return np.searchsorted(_borders(means), values)


METHOD = CompressionMethod(schema=Cluster, apply=apply)
