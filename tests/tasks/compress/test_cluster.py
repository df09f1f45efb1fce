"""Clustering: how many values each kernel has, which, and that they stay few while they are trained."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.compress import cluster, kernels, masks
from tasks.compress.preserves import preserved
from tasks.errors import ModelError
from tasks.params import Cluster
from tasks.training import fit, keras_files

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


def params(**entry):
    return Cluster.model_validate({"method": "cluster", "parent": "baseline", "epochs": 1, "batch_size": 16} | entry)


def network(*, recurrent=False):
    """With recurrent layers and attention it takes its time to build."""
    fit.reset(0)
    layers = keras.layers
    x = keras.Input((8, 8, 2), name="image")
    y = layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.DepthwiseConv2D(3, name="depthwise")(y)
    y = layers.Reshape((4, 32), name="tokens")(y)
    if recurrent:
        y = layers.MultiHeadAttention(2, 4, name="attention")(y, y)
        y = layers.Bidirectional(layers.GRU(6, reset_after=False), name="both")(y)
    else:
        y = layers.GlobalAveragePooling1D(name="mean")(y)
    return keras.Model(x, layers.Dense(4, activation="softmax", name="head")(y), name="network")


def run(architectures, model, **entry):
    data = architectures.examples(model, 64)
    return cluster.apply(model, params(**entry), data, data, lambda *_: None)[0]


def counts(model):
    found = {}
    for kernel in kernels.find(model, kernels.CLUSTERABLE):
        found.setdefault(kernel.layer, []).append(len(np.unique(kernel.weight.numpy())))
    return found


def test_training_keeps_the_values_few_and_the_zeros_zero(architectures):
    fit.reset(0)
    layers = [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.Flatten()]
    head = keras.layers.Dense(4, activation="softmax")
    model = keras.Sequential([keras.Input((8, 8, 2), name="image"), *layers, head])
    masks.Hold([(k, masks.by_magnitude(k.weight.numpy(), 0.5)) for k in kernels.find(model, kernels.PRUNABLE)])
    given = [kernel.weight.numpy() for kernel in kernels.find(model, kernels.CLUSTERABLE)]
    data = architectures.examples(model, 64)
    clustered, history = cluster.apply(model, params(clusters=8, epochs=2), data, data, lambda *_: None)
    for before, kernel in zip(given, kernels.find(clustered, kernels.CLUSTERABLE), strict=True):
        after = kernel.weight.numpy()
        assert 4 < len(np.unique(after)) <= 8  # a value may lose all its weights
        assert np.array_equal(after == 0, before == 0)
    assert len(history["loss"]) == 2
    assert preserved(clustered) == ("sparsity", "clusters")
    again, _ = cluster.apply(model, params(clusters=8, epochs=2), data, data, lambda *_: None)
    assert all(np.array_equal(a, b) for a, b in zip(clustered.get_weights(), again.get_weights(), strict=True))
    same = kernels.find(model, kernels.CLUSTERABLE)
    assert all(np.array_equal(a, k.weight.numpy()) for a, k in zip(given, same, strict=True))  # the given model's


def test_each_layer_has_its_own_number(architectures, disturb):
    model = network(recurrent=True)
    clustered = run(architectures, model, clusters=8, layers={"head": 2, "conv": 32})
    assert counts(clustered) == {"conv": [32], "attention": [8] * 4, "both": [8] * 4, "head": [2]}
    told = {layer.name: layer.unique_values for layer in keras_files.layers(clustered)}
    assert (told["conv"], told["head"]) == (32, 2)
    assert len(np.unique(clustered.get_layer("depthwise").get_weights()[0])) == 9 * 8


def test_two_clusters_of_a_pruned_kernel_are_zero_and_one_more(architectures, disturb):
    model = network()
    head = next(k for k in kernels.find(model, kernels.PRUNABLE) if k.layer == "head")
    masks.Hold([(head, masks.by_magnitude(head.weight.numpy(), 0.5))])
    values = np.unique(run(architectures, model, clusters=2).get_layer("head").kernel.numpy())
    assert len(values) == 2
    assert 0 in values


def test_fewer_values_than_clusters_stay_as_few(architectures, disturb):
    model = network()
    conv = model.get_layer("conv").kernel
    conv.assign(np.sign(conv.numpy()) * np.array([1, 0], np.float32)[:, None])  # three values, one of them 0
    model.get_layer("head").kernel.assign(np.zeros((32, 4)))
    clustered = run(architectures, model, clusters=16)
    assert len(np.unique(clustered.get_layer("conv").kernel.numpy())) == 3
    assert np.all(clustered.get_layer("head").kernel.numpy() == 0)


@pytest.mark.parametrize(("name", "said"), [("haed", "is no layer.*did you mean 'head'"), ("norm", "BatchNormal")])
def test_a_name_that_cannot_be_clustered_is_refused(architectures, name, said):
    with pytest.raises(ModelError, match=f"cluster: layers: '{name}' .*{said}"):
        run(architectures, network(), layers={name: 4})


def test_auto_gives_few_values_to_a_layer_that_changes_nothing(architectures, disturb):
    fit.reset(0)
    x = keras.Input((16,), name="x")
    useful = keras.layers.Dense(16, name="useful")(x)
    useless = keras.layers.Rescaling(0.0, name="mute")(keras.layers.Dense(16, name="useless")(x))
    y = keras.layers.Add(name="sum")([useful, useless])
    model = keras.Model(x, keras.layers.Dense(4, activation="softmax", name="head")(y))
    data = architectures.examples(model, 300)
    data.targets["label"] = model.predict(data.inputs, verbose=0).argmax(axis=1)  # so that it has something to lose
    entry = params(clusters="auto", tolerance=0.1, layers={"head": 5})
    clustered, _ = cluster.apply(model, entry, data, data, lambda *_: None)
    found = {name: count for name, (count,) in counts(clustered).items()}
    assert found["useless"] == 2
    assert found["head"] == 5
    least = found["useful"]
    assert least in cluster.CANDIDATES[1:]
    kernel = model.get_layer("useful").kernel
    own = kernel.numpy()

    def drop(values):
        kernel.assign(values)
        return 1 - np.mean(model.predict(data.inputs, verbose=0).argmax(axis=1) == data.targets["label"])

    assert drop(cluster.clustered_values(own, least)) <= 0.1
    assert drop(cluster.clustered_values(own, least // 2)) > 0.1


@pytest.mark.parametrize("clusters", [2, 4, 16, 64])
def test_the_squared_error_is_about_that_of_scikit_learn(clusters):
    from sklearn.cluster import KMeans

    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    ours = np.square(values - cluster.clustered_values(values, clusters)).sum()
    theirs = KMeans(clusters, n_init=5, random_state=0).fit(values.reshape(-1, 1)).inertia_
    assert ours <= 1.05 * theirs


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), st.integers(2, 9))
@example([0.0, 1.0, 0.5, 0.75, 0.875, 2.0**-126, -1.0], 6)  # the least normal number between large ones
def test_any_numbers_become_the_means_of_at_most_so_many_clusters(numbers, clusters):
    values = np.array(numbers, np.float32)
    after = cluster.clustered_values(values, clusters)
    assert len(np.unique(after)) <= clusters
    assert np.all(after[values == 0] == 0)
    if len(np.unique(values)) <= clusters:
        assert np.array_equal(after, values)
    for shared in np.unique(after[values != 0]):
        members = values[(after == shared) & (values != 0)]
        mean = sum(map(Fraction, members.tolist())) / len(members)
        assert abs(Fraction(float(shared)) - mean) <= Fraction(float(np.spacing(np.abs(members).max())))


def test_a_weight_changes_its_cluster_when_its_hidden_value_has_moved():
    fit.reset(0)
    import tensorflow as tf

    weight = tf.Variable(np.array([0.0, 1.0, 1.1, 3.0, 3.1], np.float32))
    callback = cluster.share([kernels.Kernel("x", weight, None)], {"x": 3})
    assert weight.numpy() == pytest.approx([0, 1.05, 1.05, 3.05, 3.05])
    for _ in range(5):  # the third moves up by 0.3 at each batch: from 1.1 to 2.6
        weight.assign_add([0.5, 0, 0.3, 0, 0])
        callback.on_train_batch_end(0, {})
    assert weight.numpy() == pytest.approx([0, 1, (2.6 + 3 + 3.1) / 3, 2.9, 2.9], abs=1e-5)


def test_a_custom_layer_is_clustered_as_it_declares(architectures, disturb, of_own_layer):
    model = of_own_layer(get_clusterable_weights=lambda layer: [("matrix", layer.matrix)])
    own = run(architectures, model, clusters=4).get_layer("own")
    assert len(np.unique(own.matrix.numpy())) == 4
    assert len(np.unique(own.table.numpy())) == 64


@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 10)
def test_any_architecture_is_clustered(architectures, disturbance, attempt, data):
    model = architectures.build(data.draw(architectures.models(recurrent=True)))
    clusters = data.draw(st.integers(2, 6))
    with disturbance():
        clustered = attempt(model, lambda model: run(architectures, model, clusters=clusters))
    if clustered is not None:
        assert all(count <= clusters for found in counts(clustered).values() for count in found)
