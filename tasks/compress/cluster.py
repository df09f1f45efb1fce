"""Weight clustering: Han et al., "Deep Compression" (2015), by TFMOT; zeros are kept when the parent is pruned."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.dataset import Examples
    from tasks.params import Cluster


def apply(
    model: "tf_keras.Model", params: "Cluster", train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Let each kernel share `params.clusters` values, fine-tuning the shared values meanwhile.

    Where a kernel holds zeros, as after pruning, they stay zero, and its other weights share the values.
    A kernel with fewer distinct values than that keeps its own.
    """
    import tensorflow_model_optimization as tfmot
    import tf_keras as keras

    wrapped = keras.models.clone_model(model, clone_function=lambda layer: _wrap(layer, params.clusters))
    history = fit.fit(wrapped, train, validation, params, label="cluster", on_epoch=on_epoch)
    return tfmot.clustering.keras.strip_clustering(wrapped), history


def _wrap(layer: Any, clusters: int) -> Any:
    # `experimental` is where TFMOT keeps preserve_sparsity
    from tensorflow_model_optimization.python.core.clustering.keras import cluster_config
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    kernel = getattr(layer, "kernel", getattr(layer, "embeddings", None))
    if kernel is None:
        return layer
    values = np.unique(kernel.numpy())
    if np.count_nonzero(values) <= clusters:
        return layer
    return cluster.cluster_weights(
        layer,
        number_of_clusters=clusters,
        cluster_centroids_init=cluster_config.CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=0 in values,
    )
