"""Outliers moved into weights: no answer changes, and what 8 bits do to one that has outliers costs less."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL
from tasks.members import METHODS
from tasks.params.compress import Gptq, Smooth
from tests import checkpoints

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
import tensorflow as tf  # noqa: E402

from tasks.checkpoints import load  # noqa: E402
from tasks.compress import gptq, smooth  # noqa: E402
from tasks.decoder import network  # noqa: E402
from tasks.decoder.spec import Block, DecoderSpec  # noqa: E402
from tasks.formats import grid  # noqa: E402

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, checkpoints.VOCABULARY, (8, checkpoints.LENGTH)).astype(np.int32)
TEXT = Arrays({"tokens": TOKENS}, {LABEL: TOKENS})
KEYS = {"parent": "baseline", "method": "smooth"}
BEFORE = {"layer_0_attention_norm": 3, "layer_0_feed_norm": 2}
PLACES = {  # of the first layer, and of the last norm: who makes the channels, and how many layers read them
    "llama-biased": {**BEFORE, "layer_0_value": 1, "layer_0_up": 1, "norm": 1},
    "smollm2": {**BEFORE, "layer_0_value": 1, "layer_0_up": 1},  # the embedding, which is looked up too, reads its norm
    "gemma2": {**BEFORE, "layer_0_value": 1, "layer_0_up": 1},  # around: a norm behind each, too
    "olmo2": {"layer_0_value": 1, "layer_0_up": 1, "norm": 1},  # norms behind alone
    "phi": {"layer_0_attention_norm": 4, "layer_0_value": 1, "norm": 1},  # side by side, by one norm; not gated
    "gpt2": {"layer_0_attention_norm": 3, "layer_0_feed_norm": 1, "layer_0_value": 1},
}


def smoothed(model, text=TEXT, **keys):
    return smooth.apply(model, Smooth(**KEYS, **keys), text, text, None)[0]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    folder, known = tmp_path_factory.mktemp("checkpoints"), {}

    def of(name):
        if name not in known:
            known[name] = load.load(checkpoints.make(folder, name)).model(checkpoints.LENGTH)
        return known[name]

    return of


@pytest.mark.parametrize("name", PLACES)
def test_no_answer_changes_and_every_place_is_scaled(decoder, name):
    model = decoder(name)
    found = smoothed(model)
    np.testing.assert_allclose(found(TOKENS), model(TOKENS), atol=1e-5, rtol=0)
    own, other = ({layer.name: layer.get_weights() for layer in each.layers} for each in (model, found))
    told = {place.makers[0].name.split("/")[0]: len(place.readers) for place in smooth.places(found)}
    assert {maker: readers for maker, readers in told.items() if not maker.startswith("layer_1")} == PLACES[name]
    for maker in PLACES[name]:
        scales = [before / after for before, after in zip(own[maker], other[maker], strict=True)]
        assert scales[-1].std() > 0.05, "biases too"


def rounded(model, text):
    """What a decoder says with weights and activations of 8 bits: rows about zero, each token by its own range."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Dense):
            step = np.abs(layer.kernel).max(axis=0) / 127
            layer.kernel.assign(np.rint(layer.kernel / step) * step)

    def dense(layer, x):
        step = tf.reduce_max(tf.abs(x), -1, keepdims=True) / 127
        return tf.round(x / step) * step @ layer.kernel

    with mock.patch.object(keras.layers.Dense, "call", dense):
        return twin(text).numpy()


SPEC = DecoderSpec(
    vocabulary=96, width=64, hidden=96, heads=4, kv_heads=2, head_width=16, blocks=(Block((1.0, 0.1)),) * 2, room=32,
    attention_scale=0.25, tied=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def with_outliers():
    """A decoder whose norms make one channel 60 times as large as the others, and whose weights make up for it."""
    keras.utils.set_random_seed(0)
    built = network.build(SPEC, checkpoints.LENGTH)
    rng = np.random.default_rng(1)
    built.set_weights([rng.normal(1 if w.ndim == 1 else 0, 0.15, w.shape) for w in built.get_weights()])
    for place in smooth.places(built):
        scales = np.ones(int(place.channels.max()) + 1, np.float32)
        scales[5] = 1 / 60
        place.divide(scales)
    return built


def test_8_bits_cost_less_where_there_are_outliers(with_outliers):
    own = with_outliers(TOKENS).numpy()
    before, after = (np.square(rounded(each, TOKENS) - own).mean() for each in (with_outliers, smoothed(with_outliers)))
    assert after < 0.1 * before


def test_gptq_takes_what_it_leaves(with_outliers):
    section = Gptq(parent="smooth", method="gptq", examples=4)
    found = gptq.apply(smoothed(with_outliers), section, TEXT, TEXT, None)[0]
    dense = [layer for layer in found.layers if isinstance(layer, keras.layers.Dense)]
    assert dense
    assert all(grid.made_for(layer.kernel.numpy().T, 32) for layer in dense)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 999), st.floats(0, 1))
def test_how_much_the_weights_take_over(seed, alpha):
    """By the paper's formula, each number of inputs and weights by itself; at 1 all inputs are as large."""
    rng = np.random.default_rng(seed)
    layer = keras.layers.Dense(3)
    layer.build((None, 6))
    layer.kernel.assign(rng.normal(size=(6, 3)) * rng.gamma(1, 1, (6, 1)))
    largest = rng.gamma(1, 1, 6).astype(np.float32) + 0.01
    found = smooth.Place((), (layer,), np.array([0, 1, 2, 0, 1, 2])).scales(largest, alpha)
    x, w = (np.maximum(each[:3], each[3:]) for each in (largest, np.abs(layer.kernel.numpy()).max(axis=1)))
    expected = x**alpha / w ** (1 - alpha)
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-4)
    assert np.prod(found) == pytest.approx(1, rel=1e-4)


def test_what_it_is_not_for_is_told():
    bent = keras.Sequential(
        [keras.layers.Dense(3, activation="relu", input_shape=(2,)), keras.layers.Dense(1)], "plain"
    )
    with pytest.raises(ModelError, match="'plain' has no norm, gated product or attention that dense layers alone"):
        smoothed(bent)
    for keys in ({"alpha": 1.1}, {"teacher": "baseline"}, {"epochs": 1}):
        with pytest.raises(ValueError, match=next(iter(keys))):
            Smooth(**KEYS, **keys)
    assert METHODS.load("smooth").schema is Smooth


def test_channels_that_others_read_too_stay():
    """A norm whose answer is added as well, a side of a product that is bent, one that is read twice, an end."""
    x = keras.Input((4,))
    normed = keras.layers.LayerNormalization()(x)
    added = keras.layers.Add()([keras.layers.Dense(4)(normed), normed])
    gate, up = keras.layers.Dense(4, activation="gelu")(added), keras.layers.Dense(4)(added)
    down = keras.layers.Dense(4)(keras.layers.Multiply()([gate, up]))
    plain = keras.layers.LayerNormalization(scale=False)(down)
    seen = keras.layers.LayerNormalization()(down)
    outputs = [keras.layers.Dense(2)(plain), keras.layers.Add()([down, up]), seen, keras.layers.Dense(2)(seen)]
    assert smooth.places(keras.Model(x, outputs)) == []
    twice = keras.layers.Dense(4)
    found = keras.Model(x, twice(keras.layers.LayerNormalization()(twice(x))))
    assert smooth.places(found) == []


def test_activations_count_by_their_size_whatever_their_sign():
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.LayerNormalization(), keras.layers.Dense(3)])
    rows = (RNG.normal(size=(20, 4)) * [1, 1, 1, 5] - [0, 0, 9, 0]).astype(np.float32)
    found = smoothed(model, Arrays({"x": rows}, {LABEL: rows}), alpha=1.0)
    normed = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    largest = np.abs(normed).max(axis=0)
    gamma = found.layers[0].gamma.numpy()
    np.testing.assert_allclose(gamma, (largest / np.exp(np.log(largest).mean())) ** -1, rtol=0.01)
    assert normed.max(axis=0)[2] < 0 < largest[2]
