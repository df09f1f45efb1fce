"""The decoder as a Keras model: it is saved, trained, compressed and converted as any other is."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.decoder import network
from tasks.decoder.cached import cached, empty
from tasks.decoder.spec import ATTENTION, Block, DecoderSpec
from tasks.errors import ModelError

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
TURNS = (1.0, 0.1)
SPEC = DecoderSpec(
    vocabulary=20,
    width=12,
    hidden=16,
    heads=4,
    kv_heads=2,
    head_width=6,
    blocks=(Block(TURNS), Block((), window=3)),
    room=32,
    activation="gelu_tanh",
    query_norm="head",
    tied=True,
    biases=frozenset({"query"}),
    attention_scale=6**-0.5,
    attention_cap=5.0,
    logit_cap=4.0,
    embedding_scale=2.0,
    places=32,
)
TOKENS = np.random.default_rng(0).integers(0, 20, (3, 9)).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return network.build(SPEC, 9)


@pytest.fixture(scope="module")
def logits(model):
    return model(TOKENS).numpy()


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_saved_one_is_the_same(model, logits, tmp_path, file):
    model.save(tmp_path / file)
    again = keras.models.load_model(tmp_path / file, compile=False, safe_mode=True)
    assert np.array_equal(again(TOKENS), logits)


def test_its_weights_are_those_that_the_spec_names(model):
    found = {name: value.shape for name, value in network.weights(model)}
    assert found == SPEC.shapes()
    assert model.count_params() == sum(int(np.prod(shape)) for shape in found.values()), "the tied table counts once"


def test_no_token_sees_what_comes_later(model, logits):
    changed = TOKENS.copy()
    changed[:, 5:] = (changed[:, 5:] + 1) % 20
    found = model(changed).numpy()
    assert np.array_equal(found[:, :5], logits[:, :5])
    assert not np.allclose(found[:, 5:], logits[:, 5:])


def test_rotated_attention_goes_by_distance_alone():
    from tasks.training.attention import Attend

    rng = np.random.default_rng(1)
    query, key, value = (rng.normal(size=(2, 5, width)).astype(np.float32) for width in (24, 12, 12))
    attend, places = Attend(4, 2, TURNS, window=3), np.arange(5, dtype=np.int32)[None]
    here, later, farther = (attend([query, key, value, at]).numpy() for at in (places, places + 7, places * 2))
    assert np.allclose(here, later, atol=1e-5)
    assert not np.allclose(here, farther, atol=1e-2)


def by_hand(query, key, value, turns):
    """The attention of one head, number by number: complex numbers turned by place, and a softmax of what is seen."""
    n, half = len(query), len(turns)
    turned = [(x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.outer(np.arange(n), turns)) for x in (query, key)]
    scores = (turned[0] @ turned[1].conj().T).real
    rows = [np.exp(scores[i, : i + 1]) / np.exp(scores[i, : i + 1]).sum() @ value[: i + 1] for i in range(n)]
    return np.array(rows)


def test_attention_is_that_of_complex_numbers():
    from tasks.training.attention import Attend

    rng, turns = np.random.default_rng(2), (1.0, 0.3)
    query, key, value = (rng.normal(size=(1, 6, heads * 4)).astype(np.float32) for heads in (4, 2, 2))
    found = Attend(4, 2, turns)([query, key, value, np.arange(6, dtype=np.int32)[None]]).numpy()[0]
    for head in range(4):
        own, shared = slice(4 * head, 4 * head + 4), slice(4 * (head // 2), 4 * (head // 2) + 4)
        expected = by_hand(query[0, :, own], key[0, :, shared], value[0, :, shared], turns)
        assert np.allclose(found[:, own], expected, atol=1e-5)


def test_fill_takes_every_weight_once(model):
    known = dict(network.weights(model))
    with pytest.raises(ModelError, match=r"decoder: no weights of layer_1_up.weight"):
        network.fill(model, [(name, value) for name, value in known.items() if name != "layer_1_up.weight"])
    with pytest.raises(ModelError, match=r"no part is called 'more', or it came twice"):
        network.fill(model, [*known.items(), ("more", known["norm.weight"])])


def test_only_a_decoder_has_a_form_with_caches():
    x = keras.Input((4,), name="x")
    with pytest.raises(ModelError, match=r"other: no decoder: it has no layer that counts the places of its tokens"):
        cached(keras.Model(x, keras.layers.Dense(2)(x), name="other"), 1, 8)


def test_a_gradient_reaches_every_weight(model):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = keras.losses.sparse_categorical_crossentropy(
            np.roll(TOKENS, -1, axis=1), model(TOKENS), from_logits=True
        )
        loss = tf.reduce_mean(loss)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) > 0, variable.name


def test_slim_takes_units_of_the_feed_forward_and_whole_groups_of_heads(model):
    from tasks.channels import surgery
    from tasks.channels.tracing import trace

    channels = trace(model)
    kept = channels.everything()
    kept[channels.made["layer_0_up"][:6]] = False
    kept[channels.made["layer_1_attend"][0]] = False
    slimmed = surgery.remove(model, channels, kept)
    shapes = {name: value.shape for name, value in network.weights(slimmed)}
    changed = {name for name, shape in SPEC.shapes().items() if shapes[name] != shape}
    parts = (*(f"0_{part}" for part in ("up", "gate", "down")), *(f"1_{part}" for part in ATTENTION))
    assert changed == {"layer_1_query.bias", *(f"layer_{part}.weight" for part in parts)}
    assert shapes["layer_1_query.weight"] == (2 * 6, 12), "with the keys and values go both heads that they serve"
    assert shapes["layer_1_key.weight"] == (1 * 6, 12)
    whole = network.build(SPEC, 9)
    whole.set_weights(model.get_weights())
    for name, gone in (("layer_0_down", 6), ("layer_1_output", 2 * 6)):
        kernel = whole.get_layer(name).kernel
        kernel.assign(np.where(np.arange(kernel.shape[0])[:, None] < gone, 0, kernel))
    assert np.allclose(slimmed(TOKENS), whole(TOKENS), atol=1e-5), "what is removed is as if it were never read"
    step = cached(slimmed, 9, 12)  # it follows what the model has become
    found = step({"tokens": TOKENS[:1], "input_pos": np.arange(9, dtype=np.int32), **empty(step)})
    assert np.allclose(found["logits"], slimmed(TOKENS[:1]), atol=1e-5)
    assert [found[f"kv_cache_k_{layer}"].shape for layer in (0, 1)] == [(1, 2, 12, 6), (1, 1, 12, 6)]
    free = [channels.made[f"layer_{layer}_{part}"] for layer in (0, 1) for part in ("up", "attend")]
    assert sorted(np.concatenate(channels.blocks)) == sorted(np.concatenate(free)), "and nothing else"


def test_heads_that_are_normed_together_stay_together():
    from tasks.channels.tracing import trace

    together = trace(network.build(replace(SPEC, query_norm="width"), 9))
    assert set(together.made["layer_0_attend"]) <= set(together.fixed)


def test_what_its_products_cost_is_counted(model):
    from tasks.channels import cost

    found = cost.of(model)
    assert found["layer_0_attend"].macs == 2 * 4 * 9 * 9 * 6, "each of four heads: 9 x 6 by 6 x 9, 9 x 9 by 9 x 6"
    assert found["embedding"].macs == 9 * 20 * 12, "which gives the scores too"
