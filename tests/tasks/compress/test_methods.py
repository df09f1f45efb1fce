"""Pruning and clustering on a small convolutional network, and what later steps keep of them."""

import numpy as np
import pytest

from tasks import fit, keras_models
from tasks.compress import cluster, finetune, prune
from tasks.compress.stage import preserved
from tasks.dataset import Examples, Spec, TensorSpec
from tasks.models import cnn
from tasks.params import Cluster, Cnn, Finetune, Prune

pytest.importorskip("tf_keras", reason="the training stack is not installed")


def examples(count=96):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, count)
    image = rng.random((count, 12, 12, 1)).astype(np.float32)
    for i, k in enumerate(label):
        image[i, 3 * k : 3 * k + 3] += 1
    return Examples({"image": image}, {"label": label})


@pytest.fixture(scope="module")
def data():
    return examples()


@pytest.fixture
def model():
    fit.reset(0)
    spec = Spec({"image": TensorSpec((12, 12, 1), "float32")}, ("a", "b", "c", "d"))
    return cnn.build(Cnn(family="cnn", filters=(8, 16), dense=(24,)), spec)


def ignore(_epoch, _metrics):
    pass


def kernels(model):
    return [max(layer.get_weights(), key=lambda w: w.size) for layer in model.layers if layer.weights]


def test_prune_reaches_its_target_in_every_layer(model, data):
    params = Prune(method="prune", parent="baseline", sparsity=0.75, epochs=3, batch_size=16)
    pruned, history = prune.apply(model, params, data, data, ignore)
    for kernel in kernels(pruned):
        assert np.mean(kernel == 0) == pytest.approx(0.75, abs=1 / kernel.size + 0.01)
    assert len(history["loss"]) == 3
    assert preserved(keras_models.layers(pruned)) == ("sparsity",)


def test_cluster_shares_values_and_keeps_the_zeros_of_its_parent(model, data):
    pruning = Prune(method="prune", parent="baseline", sparsity=0.5, epochs=2, batch_size=16)
    pruned, _ = prune.apply(model, pruning, data, data, ignore)
    zeros = [kernel == 0 for kernel in kernels(pruned)]
    params = Cluster(method="cluster", parent="pruned", clusters=8, epochs=1, batch_size=16)
    clustered, _ = cluster.apply(pruned, params, data, data, ignore)
    for kernel, were_zero in zip(kernels(clustered), zeros, strict=True):
        assert len(np.unique(kernel)) <= 8
        assert np.all(kernel[were_zero] == 0)
    assert preserved(keras_models.layers(clustered)) == ("sparsity", "clusters")


def test_cluster_leaves_a_kernel_of_few_values_alone(model, data):
    first = model.layers[1]
    kernel = np.sign(first.kernel.numpy())
    first.set_weights([kernel, first.bias.numpy()])
    params = Cluster(method="cluster", parent="baseline", clusters=4, epochs=1, batch_size=16)
    clustered, _ = cluster.apply(model, params, data, data, ignore)
    sizes = [len(np.unique(k)) for k in kernels(clustered)]
    assert sizes[0] > 4  # trained on, not clustered
    assert max(sizes[1:]) <= 4


def test_finetune_only_trains(model, data):
    before = kernels(model)
    params = Finetune(method="finetune", parent="baseline", epochs=2, batch_size=16)
    tuned, history = finetune.apply(model, params, data, data, ignore)
    assert history["loss"][-1] < history["loss"][0]
    assert not np.array_equal(before[0], kernels(tuned)[0])
    assert preserved(keras_models.layers(tuned)) == ()
