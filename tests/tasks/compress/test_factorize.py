"""Factors: closed forms for their error, exact models at full rank, and only where they take less."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.compress import factorize, kernels, masks
from tasks.errors import ModelError
from tasks.params import Factorize
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


def params(**entry):
    return Factorize.model_validate({"method": "factorize", "parent": "baseline", "epochs": 0} | entry)


def apply(architectures, model, **entry):
    data = architectures.examples(model, 64)
    return factorize.apply(model, params(**entry), data, data, lambda *_: None)


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def product(parts):
    """The kernel that factors stand for."""
    if len(parts) == 2:
        return np.einsum("...ir,...ro->...io", *parts)
    return np.einsum("ir,hwrs,so->hwio", parts[0][0, 0], parts[1], parts[2][0, 0])


@pytest.mark.parametrize("shape", [(20, 12), (1, 1, 12, 20)])
@pytest.mark.parametrize("rank", [1, 5, 12])
def test_the_error_of_a_matrix_is_the_tail_of_its_singular_values(shape, rank):
    kernel = values(*shape)
    parts = factorize.factors(kernel, (rank,))
    assert [part.shape[-2:] for part in parts] == [(shape[-2], rank), (rank, shape[-1])]
    tail = np.linalg.svd(kernel.reshape(shape[-2:]), compute_uv=False)[rank:]
    assert np.linalg.norm(product(parts) - kernel) == pytest.approx(np.linalg.norm(tail), abs=1e-5)  # Eckart-Young


@pytest.mark.parametrize("ranks", [(6, 10), (3, 4), (1, 10)])
def test_the_error_of_a_convolution_is_between_each_tail_and_their_sum(ranks):
    kernel = values(3, 3, 6, 10)
    parts = factorize.factors(kernel, ranks)
    assert [part.shape for part in parts] == [(1, 1, 6, ranks[0]), (3, 3, *ranks), (1, 1, ranks[1], 10)]
    squares = [
        np.linalg.svd(np.moveaxis(kernel, axis, 0).reshape(size, -1), compute_uv=False)[rank:] ** 2
        for axis, size, rank in ((2, 6, ranks[0]), (3, 10, ranks[1]))
    ]
    error = np.square(product(parts) - kernel).sum()
    assert max(s.sum() for s in squares) - 1e-3 <= error <= sum(s.sum() for s in squares) + 1e-3  # HOSVD's bound


@given(st.sampled_from([(9, 14), (1, 1, 14, 9), (3, 3, 8, 10)]), st.floats(0.05, 0.99), st.integers(0, 5))
def test_the_ranks_keep_the_energy(shape, energy, seed):
    kernel = values(*shape, seed=seed)
    ranks = factorize.ranks_by_energy(kernel, energy)
    kept = np.square(product(factorize.factors(kernel, ranks))).sum() / np.square(kernel).sum()
    assert kept >= energy - 1e-5
    if len(ranks) == 1 and ranks[0] > 1:
        less = np.square(product(factorize.factors(kernel, (ranks[0] - 1,)))).sum()
        assert less / np.square(kernel).sum() < energy


def network():
    """Two inputs, two outputs, a shared layer, strides, dilation, both paddings, a model in the model."""
    fit.reset(0)
    layers = keras.layers
    a, b = keras.Input((9, 9, 6), name="a"), keras.Input((9, 9, 6), name="b")
    shared = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="shared")
    x = layers.Concatenate(name="both")([shared(a), shared(b)])
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(12, 3, dilation_rate=2, padding="same", use_bias=False, name="dilated")(x)
    x = layers.Conv2D(10, 2, name="valid")(x)
    x = layers.Conv2D(12, 1, strides=2, activation="tanh", name="pointwise")(x)
    inner = keras.Input((2, 2, 12), name="inner_input")
    y = layers.Dense(14, activation="relu", name="dense")(inner)
    nested = keras.Model(inner, layers.Dense(6, name="last")(y), name="inner")
    y = layers.Flatten(name="flat")(nested(x))
    outputs = [layers.Dense(5, activation="softmax", name="left")(y), layers.Dense(4, name="right")(y)]
    return keras.Model([a, b], outputs, name="network")


FULL = {
    "shared": (6, 8), "dilated": (16, 12), "valid": (12, 10), "pointwise": (10,),
    "inner/dense": (12,), "inner/last": (6,), "left": (5,), "right": (4,),
}  # fmt: skip


def test_full_rank_gives_the_same_outputs(architectures):
    model = network()
    architectures.randomize(model)
    inputs = architectures.examples(model, 5).inputs
    full = factorize.rebuild(model, FULL)
    assert (full.input_names, full.output_names) == (model.input_names, model.output_names)
    for one, other in zip(model(inputs), full(inputs), strict=True):
        assert np.abs(one - other).max() < 1e-5
    names = [name for name, _ in kernels.walk(full)]
    assert {"shared_in", "shared_core", "shared", "pointwise_in", "inner/dense_in"} <= set(names)
    assert "pointwise_core" not in names
    assert len(full.get_layer("shared_core").inbound_nodes) == 2
    assert full.get_layer("pointwise_in").strides == (2, 2)
    assert full.get_layer("shared_core").strides == (2, 2)
    assert full.get_layer("dilated_core").dilation_rate == (2, 2)


def test_a_sequential_model_of_low_rank_is_found_out(architectures):
    fit.reset(0)
    layers = [keras.layers.Conv2D(16, 3, activation="relu", name="conv"), keras.layers.Flatten(name="flat")]
    head = keras.layers.Dense(20, activation="softmax", name="head")
    model = keras.Sequential([keras.Input((6, 6, 16), name="x"), *layers, head])
    architectures.randomize(model)
    model.get_layer("head").kernel.assign(values(256, 3) @ values(3, 20, seed=1) / 50)
    low = values(3, 3, 2, 3)
    model.get_layer("conv").kernel.assign(np.einsum("hwrs,ri,so->hwio", low, values(2, 16), values(3, 16, seed=1)) / 50)
    found, history = apply(architectures, model, energy=0.999999)
    assert history == {}
    assert isinstance(found, keras.Sequential)
    assert found.get_layer("conv_core").kernel.shape == (3, 3, 2, 3)
    assert found.get_layer("head_in").units == 3
    inputs = architectures.examples(model, 5).inputs
    assert np.abs(model(inputs) - found(inputs)).max() < 1e-5
    assert found.count_params() == 16 * 2 + 9 * 2 * 3 + 3 * 16 + 16 + 256 * 3 + 3 * 20 + 20


def macs(model):
    """Multiplications of convolutions and dense layers, from the shapes that Keras tells."""
    total = 0
    for _, layer in kernels.walk(model):
        if isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output_shape[1:3]) * layer.kernel.shape.num_elements()
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.output_shape[1:-1]) * layer.kernel.shape.num_elements()
    return total


def test_a_layer_that_gains_nothing_stays(architectures):
    fit.reset(0)
    layers = [keras.layers.Conv2D(16, 3, strides=2, name="big"), keras.layers.Conv2D(4, 1, name="small")]
    head = [keras.layers.Flatten(name="flat"), keras.layers.Dense(3, activation="softmax", name="head")]
    model = keras.Sequential([keras.Input((16, 16, 16), name="x"), *layers, *head])
    big = np.einsum("hwrs,ri,so->hwio", values(3, 3, 4, 4), values(4, 16), values(4, 16, seed=1))
    model.get_layer("big").kernel.assign(big / 50)
    found, _ = apply(architectures, model, energy=0.95)
    names = [layer.name for layer in found.layers]
    assert {"big_in", "big_core", "big", "small", "head"} <= set(names)
    assert not {"small_in", "head_in"} & set(names)
    assert found.count_params() < model.count_params()
    assert macs(found) < macs(model)


def test_the_layers_named_are_the_only_ones(architectures):
    found, _ = apply(architectures, network(), layers={"dilated": 4, "inner/dense": 3})
    assert found.get_layer("dilated_core").kernel.shape == (3, 3, 4, 4)
    assert found.get_layer("inner").get_layer("dense_in").units == 3
    assert "shared_in" not in [layer.name for layer in found.layers]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"share": 2}, "'share' is no layer of the model.*did you mean 'shared'"),
        ({"norm": 2}, "'norm' is a BatchNormalization, to which it does nothing"),
        ({"left": 6}, "'left': received rank 6; its kernel has at most 5"),
        ({"left": 5}, "'left' at rank 5 takes no less than as it is; lower it"),
    ],
)
def test_what_cannot_be_is_refused(architectures, layers, said):
    with pytest.raises(ModelError, match=f"factorize: layers: {said}"):
        apply(architectures, network(), layers=layers)


def test_a_model_that_gains_nothing_is_refused(architectures):
    fit.reset(0)
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(4, activation="softmax")])
    with pytest.raises(ModelError, match=r"no layer of .* takes less as factors that keep 0\.99"):
        apply(architectures, model, energy=0.99)


def test_factors_are_factorized_again_under_new_names(architectures):
    once, _ = apply(architectures, network(), layers={"dilated": 8})
    twice, _ = apply(architectures, once, layers={"dilated_in": 2, "dilated": 2})
    names = [layer.name for layer in twice.layers]
    assert {"dilated_in", "dilated_core", "dilated", "dilated_in_in", "dilated_in_"} <= set(names)


def test_fine_tuning_trains_the_factors_and_keeps_other_layers_zeros(architectures):
    fit.reset(0)
    layers = [keras.layers.Dense(24, activation="relu", name="hidden"), keras.layers.Dense(4, activation="softmax")]
    model = keras.Sequential([keras.Input((24,), name="x"), *layers])
    masks.Hold([(k, masks.by_magnitude(k.weight.numpy(), 0.5)) for k in kernels.find(model, kernels.PRUNABLE)])
    data = architectures.examples(model, 32)
    before = model.layers[-1].kernel.numpy()
    entry = params(layers={"hidden": 4}, epochs=2, batch_size=16)
    found, history = factorize.apply(model, entry, data, data, lambda *_: None)
    assert len(history["loss"]) == 2
    after = found.layers[-1].kernel.numpy()
    assert np.array_equal(before == 0, after == 0)
    assert not np.array_equal(before, after)
    untrained, _ = apply(architectures, model, layers={"hidden": 4})
    assert not np.array_equal(found.get_layer("hidden_in").get_weights()[0], untrained.get_layer("hidden_in").kernel)


def wrapped():
    """Layers read both ways and at every step, one of the same name as its wrapper, outside and in a model within."""
    fit.reset(0)
    layers = keras.layers
    x = keras.Input((6, 16), name="x")
    y = layers.Bidirectional(layers.LSTM(8, return_sequences=True), name="both")(x)
    y = layers.TimeDistributed(layers.Dense(24, name="each"), name="each")(y)
    inner = keras.Input((6, 24), name="inner_input")
    z = layers.Bidirectional(layers.GRU(4), backward_layer=layers.LSTM(5, go_backwards=True), name="both")(inner)
    nested = keras.Model(inner, layers.Dense(40, name="wide")(z), name="inner")
    return keras.Model(x, layers.Dense(32, activation="softmax", name="wide")(nested(y)), name="wrapped")


def test_layers_that_are_read_both_ways_keep_all_their_weights(architectures):
    model = wrapped()
    architectures.randomize(model)
    wide = model.get_layer("wide")
    wide.kernel.assign(values(40, 4) @ values(4, 32, seed=1) / 40)
    found, _ = apply(architectures, model, layers={"wide": 4})
    assert found.get_layer("wide_in").units == 4
    inputs = architectures.examples(model, 5).inputs
    assert np.abs(model(inputs) - found(inputs)).max() < 1e-5
    for name in ("both", "each", "inner"):
        for before, after in zip(*(each.get_layer(name).get_weights() for each in (model, found)), strict=True):
            np.testing.assert_array_equal(after, before, name)


def test_what_is_within_a_wrapper_of_its_name_stays_one_layer(architectures):
    found, _ = apply(architectures, wrapped(), energy=0.3)
    assert type(found.get_layer("each")) is keras.layers.TimeDistributed
    assert found.get_layer("inner").get_layer("wide_in").units < 9
    with pytest.raises(ModelError, match="'each' is a Dense, to which it does nothing"):
        apply(architectures, wrapped(), layers={"each": 2})


@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 8)
def test_any_architecture_is_factorized_or_refused(architectures, attempt, data):
    model = architectures.build(data.draw(architectures.models(recurrent=True)))
    energy = data.draw(st.sampled_from([0.3, 0.7]))
    found = attempt(model, lambda model: apply(architectures, model, energy=energy)[0])
    if found is not None:
        assert found.count_params() < model.count_params()
        assert macs(found) < macs(model)
        for layer in model.layers:
            if not isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
                same = zip(layer.get_weights(), found.get_layer(layer.name).get_weights(), strict=True)
                assert all(np.array_equal(before, after) for before, after in same), layer.name
