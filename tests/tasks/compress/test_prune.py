"""Pruning: where the zeros are, how many, and that they stay."""

import logging
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.compress import kernels, prune
from tasks.compress.preserves import preserved
from tasks.errors import ModelError
from tasks.params import Prune
from tasks.training import fit, keras_files

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


def params(**entry):
    return Prune.model_validate({"method": "prune", "parent": "baseline", "epochs": 1, "batch_size": 16} | entry)


def network():
    """Convolutions, one transposed, one separable, one depthwise; a normalization; dense."""
    fit.reset(0)
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="first")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Conv2DTranspose(12, 3, padding="same", activation="relu", name="transposed")(x)
    x = layers.SeparableConv2D(16, 3, strides=4, name="separable")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(image, layers.Dense(4, activation="softmax", name="head")(x), name="network")


def sequential():
    """Attention and a recurrent layer, which take their time to build."""
    fit.reset(0)
    tokens = keras.Input((5, 16), name="tokens")
    x = keras.layers.MultiHeadAttention(2, 8, name="attention")(tokens, tokens)
    x = keras.layers.LSTM(8, unroll=True, name="lstm")(x)
    return keras.Model(tokens, keras.layers.Dense(4, activation="softmax", name="head")(x), name="sequential")


def run(architectures, model, **entry):
    data = architectures.examples(model, 128)
    return prune.apply(model, params(**entry), data, data, lambda *_: None)[0]


def by_layer(model):
    found = {}
    for kernel in kernels.find(model, kernels.PRUNABLE):
        found.setdefault(kernel.layer, []).append(kernel.weight.numpy())
    return found


def sparsity(values):
    return np.mean(np.concatenate([v.ravel() for v in values]) == 0)


def test_every_layer_reaches_the_target_by_training(architectures):
    fit.reset(0)
    layers = [keras.layers.DepthwiseConv2D(3, name="depthwise"), keras.layers.Conv2D(16, 3), keras.layers.Flatten()]
    head = keras.layers.Dense(4, activation="softmax")
    model = keras.Sequential([keras.Input((12, 12, 2), name="image"), *layers, head])
    data = architectures.examples(model, 96)
    before = model.get_weights()
    pruned, history = prune.apply(model, params(sparsity=0.75, epochs=2), data, data, lambda *_: None)
    for name, values in by_layer(pruned).items():
        assert [np.sum(v == 0) for v in values] == [round(0.75 * v.size) for v in values], name
    assert np.all(pruned.get_layer("depthwise").get_weights()[0] != 0)
    assert len(history["loss"]) == 2
    assert preserved(pruned) == ("sparsity",)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))  # the given one's
    assert not any(np.signbit(v[v == 0]).any() for values in by_layer(pruned).values() for v in values)


@pytest.mark.parametrize(
    ("make", "axes"),
    [(network, {"first": 2, "transposed": 3, "separable": 2, "head": 0}), (sequential, {"lstm": 0, "head": 0})],
)
def test_two_of_four_along_the_inputs_of_each_layer(architectures, disturb, make, axes):
    found = by_layer(run(architectures, make(), pattern="2:4"))
    for name, axis in axes.items():
        for values in found[name]:
            last = np.moveaxis(values, axis, -1)
            filled = np.pad(last, [(0, 0)] * (last.ndim - 1) + [(0, -last.shape[-1] % 4)])
            assert (np.count_nonzero(filled.reshape(-1, 4), axis=1) <= 2).all(), name
            whole = last[..., : last.shape[-1] // 4 * 4].reshape(-1, 4)
            assert (np.count_nonzero(whole, axis=1) == 2).all(), name
    if make is network:
        return
    *inner, output = found["attention"]  # [inputs, heads, size] thrice, and [heads, size, outputs]
    for values in (*inner, output.transpose(1, 0, 2)):
        assert (np.count_nonzero(values.reshape(-1, 4, *values.shape[1:]), axis=1) == 2).all()


def test_the_pattern_passes_tfmot_s_own_check(architectures, disturb):
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils

    pruned = run(architectures, network(), pattern="3:4")
    for name in ("first", "head"):
        kernel = tf.constant(pruned.get_layer(name).kernel.numpy())
        assert pruning_utils.is_pruned_m_by_n(kernel, (3, 4)), name
    assert not pruning_utils.is_pruned_m_by_n(tf.constant(network().get_layer("head").kernel.numpy()), (3, 4))


def test_a_pattern_that_nothing_fits_is_refused(architectures):
    fit.reset(0)
    model = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Dense(4, activation="softmax")])
    with pytest.raises(
        ModelError, match=r"pattern 2:4: nothing to prune, as none of the layers has 4 inputs or more: 'dense'"
    ):
        run(architectures, model, pattern="2:4")


@pytest.mark.parametrize(
    ("share", "unit"),
    [
        ({"sparsity": 0.5, "block": [2, 2]}, "block of 2 inputs by 2 outputs"),
        ({"sparsity": 0.1}, "weight"),
    ],
)
def test_a_share_that_is_not_one_weight_or_block_is_refused(architectures, share, unit):
    fit.reset(0)
    model = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Dense(2, name="only", activation="softmax")])
    with pytest.raises(ModelError, match=f"nothing to do: so small a share of each layer is not one {unit}: 'only'"):
        run(architectures, model, **share)


def test_blocks_are_whole_in_every_layer(architectures, disturb):
    pruned = run(architectures, network(), sparsity=0.5, block=[2, 4])
    found = by_layer(pruned)
    head = found["head"][0]
    assert set(np.count_nonzero(head.reshape(-1, 2, 1, 4), axis=(1, 3)).ravel()) == {0, 8}
    transposed = found["transposed"][0].swapaxes(2, 3)  # [3, 3, outputs 12, inputs 8], turned
    assert set(np.count_nonzero(transposed.reshape(3, 3, 4, 2, 3, 4), axis=(3, 5)).ravel()) == {0, 8}
    assert all(sparsity(values) == pytest.approx(0.5, abs=0.1) for values in found.values())


def test_layers_named_have_their_own_sparsity(architectures, disturb):
    pruned = run(architectures, network(), sparsity=0.5, layers={"first": 0, "separable": 0.9})
    told = {layer.name: layer.sparsity for layer in keras_files.layers(pruned)}
    assert told["first"] == 0
    assert told["separable"] == pytest.approx(0.9, abs=0.01)
    assert told["head"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("heat", "'heat' is no layer of the model; allowed: first, head, .* did you mean 'head'"),
        ("norm", "'norm' is a BatchNormalization, to which it does nothing"),
        ("depthwise", "'depthwise' is a DepthwiseConv2D, to which it does nothing"),
    ],
)
def test_a_name_that_cannot_be_pruned_is_refused(architectures, name, said):
    with pytest.raises(ModelError, match=f"prune: layers: {said}"):
        run(architectures, network(), sparsity=0.5, layers={name: 0.5})


def test_the_zeros_of_the_parent_stay_where_they_are(architectures, disturb):
    once = run(architectures, network(), pattern="2:4")
    twice = run(architectures, once, sparsity=0.75, layers={"first": 0})
    for name, values in by_layer(once).items():
        for before, after in zip(values, by_layer(twice)[name], strict=True):
            assert np.all(after[before == 0] == 0), name
            if name != "first":
                assert np.mean(after == 0) == pytest.approx(0.75, abs=0.02)
    assert np.array_equal(by_layer(once)["first"][0] == 0, by_layer(twice)["first"][0] == 0)


def test_a_parent_with_all_the_zeros_asked_for_is_refused(architectures, disturb):
    once = run(architectures, network(), sparsity=0.8)
    with pytest.raises(ModelError, match=r"nothing to do.* head 0\.8"):
        run(architectures, once, sparsity=0.5)


def test_a_model_without_kernels_is_refused(architectures):
    fit.reset(0)
    image = keras.Input((4, 4, 2), name="image")
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.DepthwiseConv2D(3)(image)))
    with pytest.raises(ModelError, match="no layer whose weights could be compressed"):
        run(architectures, model, sparsity=0.5)


def test_a_subclassed_model_is_refused(architectures):
    fit.reset(0)

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelError, match=r"\(Own\) is subclassed"):
        prune.apply(Own(), params(sparsity=0.5), None, None, None)


def test_a_custom_layer_is_pruned_as_it_declares(architectures, disturb, of_own_layer):
    model = of_own_layer(get_prunable_weights=lambda layer: [layer.matrix])
    own = run(architectures, model, sparsity=0.5, layers={"own": 0.75}).get_layer("own")
    assert np.mean(own.matrix.numpy() == 0) == 0.75
    assert np.all(own.table.numpy() != 0)


def test_a_custom_layer_that_says_nothing_is_left_and_named(architectures, disturb, of_own_layer, caplog):
    with caplog.at_level(logging.WARNING):
        own = run(architectures, of_own_layer(), sparsity=0.5).get_layer("own")
    assert np.all(own.matrix.numpy() != 0)
    assert re.search(r"get_prunable_weights.*own \(Own\)", caplog.text)


def test_outputs_without_a_weight_are_told(architectures, disturb, caplog):
    model = network()
    kernel = model.get_layer("head").kernel
    kernel.assign(kernel * np.array([1, 1, 1, 1e-6], np.float32))
    with caplog.at_level(logging.WARNING):
        run(architectures, model, sparsity=0.4, layers={"first": 0})
    assert "head: 1 of 4 outputs have no weight left" in caplog.text


def test_sensitivity_gives_most_zeros_to_a_layer_that_changes_nothing(architectures, disturb):
    fit.reset(0)
    x = keras.Input((16,), name="x")
    useful = keras.layers.Dense(16, name="useful")(x)
    useless = keras.layers.Rescaling(0.0, name="mute")(keras.layers.Dense(16, name="useless")(x))
    y = keras.layers.Add(name="sum")([useful, useless])
    model = keras.Model(x, keras.layers.Dense(4, activation="softmax", name="head")(y))
    data = architectures.examples(model, 128)
    data.targets["label"] = model.predict(data.inputs, verbose=0).argmax(axis=1)  # so that it has something to lose
    entry = params(sparsity=0.6, allocate="sensitivity", layers={"head": 0.25})
    pruned, _ = prune.apply(model, entry, data, data, lambda *_: None)
    share = {name: sparsity(values) for name, values in by_layer(pruned).items()}
    assert share["useless"] == pytest.approx(0.98, abs=0.005)
    assert share["head"] == 0.25
    assert (share["useful"] + share["useless"]) / 2 == pytest.approx(0.6, abs=0.005)


def test_sparsity_rises_and_what_is_gone_stays_gone(architectures, disturb, monkeypatch):
    seen = []

    def watched(model, train, validation, params, *, label, callbacks=(), on_epoch=None):
        kernel = model.get_layer("head").kernel
        for _ in range(8):
            kernel.assign(np.random.default_rng(len(seen)).normal(size=kernel.shape))  # every magnitude anew
            for callback in callbacks:
                callback.on_train_batch_end(0, {})
            seen.append(kernel.numpy() == 0)
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(fit, "fit", watched)
        run(architectures, network(), sparsity=0.75)
    shares = [zero.mean() for zero in seen]
    expected = [0.75 * (1 - (1 - min(step, 4) / 4) ** 3) for step in range(1, 9)]
    assert shares == pytest.approx(expected, abs=1 / 32)
    assert all(np.all(later[earlier]) for earlier, later in pairwise(seen))


@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 8)
def test_any_architecture_is_pruned(architectures, disturbance, attempt, data):
    model = architectures.build(data.draw(architectures.models(recurrent=True)))
    entry = data.draw(st.sampled_from([{"sparsity": 0.6}, {"pattern": "1:2"}, {"sparsity": 0.5, "block": [2, 2]}]))
    with disturbance():
        pruned = attempt(model, lambda model: run(architectures, model, **entry))
    assert pruned is None or any(sparsity(values) > 0 for values in by_layer(pruned).values())
