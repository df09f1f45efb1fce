"""Weights of 4 bits in blocks: nearer to what the layer answers than rounding, on a grid that the file has too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, RECONSTRUCTION, TEXT_BYTES
from tasks.formats import grid, tflite
from tasks.members import METHODS
from tasks.params import Quantize
from tasks.params.compress import Gptq

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
import tensorflow as tf  # noqa: E402

from tasks.compress import fisher, gptq, inputs  # noqa: E402
from tasks.decoder import network  # noqa: E402
from tasks.decoder.spec import Block, DecoderSpec  # noqa: E402
from tasks.quantize import blocks, language, layers  # noqa: E402

WINDOW, WORDS = 12, 128
SPEC = DecoderSpec(
    vocabulary=WORDS, width=64, hidden=96, heads=4, kv_heads=2, head_width=16, blocks=(Block((1.0, 0.1)),) * 2, room=32,
    attention_scale=0.25, tied=True,
)  # fmt: skip
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, WORDS, (32, WINDOW)).astype(np.int32)
TEXT = Arrays({"tokens": TOKENS}, {LABEL: np.roll(TOKENS, -1, 1), TEXT_BYTES: np.full(32, WINDOW)})
KEYS = {"parent": "baseline", "method": "gptq", "examples": 16}


def nearest(weights, block=32):
    """Rounding, each block by its largest weight: what the conversion does by itself."""
    parts = weights.reshape(len(weights), -1, block)
    scale = grid.rounded_scale(np.abs(parts).max(axis=2))[..., None]
    return (np.rint(parts / scale) * scale).reshape(weights.shape)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 999), st.sampled_from([32, 64]), st.sampled_from([1e-3, 0.01, 0.1]))
def test_a_layer_answers_nearer_to_itself_than_rounded(seed, block, damping):
    """Inputs of which some are large and all hang together, as in a network."""
    rng = np.random.default_rng(seed)
    given = rng.normal(size=(400, 128)) @ rng.normal(size=(128, 128)) * rng.gamma(0.5, 1, 128)
    weights = rng.normal(size=(24, 128)).astype(np.float32)
    found = gptq.quantized(weights, given.T @ given, block, damping)
    off = [np.square(given @ (other - weights).T).sum() for other in (found, nearest(weights, block))]
    assert off[0] < 0.7 * off[1]
    assert grid.on_grid(found, block) == 1
    np.testing.assert_array_equal(nearest(found, block), found, "so the conversion finds every number again")


def test_weights_on_the_grid_and_blocks_of_zeros_stay_as_they_are():
    weights = nearest(RNG.normal(size=(8, 64)).astype(np.float32))
    weights[3, 32:] = 0
    products = np.diag(RNG.gamma(1, 1, 64))
    np.testing.assert_array_equal(gptq.quantized(weights, products, 32, 0.01), weights)
    assert grid.made_for(weights, 32)
    assert not grid.made_for(weights + np.float32(1e-3), 32)


@given(st.floats(2**-23, 2**14, width=32))
def test_a_scale_is_a_bfloat16(end):
    import ml_dtypes

    expected = np.float32(np.float32(end) / np.float32(7)).astype(ml_dtypes.bfloat16).astype(np.float16)
    found = grid.rounded_scale(np.array([end], np.float32))[0]
    assert found == max(np.float32(expected), np.float32(2.0**-24))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    built = network.build(SPEC, WINDOW)
    rng = np.random.default_rng(1)
    built.set_weights([rng.normal(1 if w.ndim == 1 else 0, 0.15, w.shape) for w in built.get_weights()])
    return built


def applied(model, **keys):
    return gptq.apply(model, Gptq(**KEYS, **keys), TEXT, TEXT, None)[0]


@pytest.fixture(scope="module")
def quantized(model):
    return applied(model)


def divergence(model, other):
    """Of the other's answers from the model's: nats a token."""
    from scipy.special import rel_entr, softmax

    one, two = (softmax(each(TOKENS).numpy().astype("f8"), axis=2) for each in (model, other))
    return rel_entr(one, two).sum(axis=2).mean()


def kernels_of(model):
    return {layer.name: layer.kernel.numpy() for layer in model.layers if isinstance(layer, keras.layers.Dense)}


def test_a_decoder_answers_nearer_to_itself_than_rounded(model, quantized):
    rounded = keras.models.clone_model(model)
    rounded.set_weights(model.get_weights())
    for name, kernel in kernels_of(model).items():
        rounded.get_layer(name).kernel.assign(nearest(kernel.T).T)
    assert divergence(model, quantized) < 0.7 * divergence(model, rounded)


def test_the_file_holds_the_very_grid(quantized):
    entry = Quantize(model="b", scheme="int4-dynamic", block=32)
    content = language.make(quantized, entry).content
    objects, kernels, seen = tflite.objects(content), kernels_of(quantized), set()
    (call,) = (each for each in tflite.parse(content).signatures if each.name == "decode")
    graph, told = objects.subgraphs[call.graph], tflite.parse(content).graphs[call.graph]
    for node in told.operators:
        if node.kind != blocks.PRODUCT or told.tensors[node.inputs[1]].dtype != "int4":
            continue
        tensor = graph.tensors[node.inputs[1]]
        names = [told.tensors[i].name for i in (*node.outputs, node.inputs[1])]
        beside = layers.named(names, dict.fromkeys(kernels, True))
        scales = np.frombuffer(objects.buffers[graph.tensors[tensor.quantization.details.scales].buffer].data, "<f2")
        packed = np.frombuffer(objects.buffers[tensor.buffer].data, np.uint8)
        integers = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1, 32).astype(np.int8)
        stored = np.where(integers > 7, integers - 16, integers) * scales[:, None].astype("f4")
        rows = np.concatenate([kernels[name].T for name in beside])
        np.testing.assert_array_equal(stored.ravel(), rows.ravel(), f"{beside}: every block")
        seen.update(beside)
    assert seen == kernels.keys()


def test_the_layers_that_keep_8_bits_are_told_from_their_weights(model):
    mixed = applied(model, eight=0.3)
    own, found = kernels_of(model), kernels_of(mixed)
    kept = {name for name in own if np.array_equal(own[name], found[name])}
    assert 0 < sum(own[name].size for name in kept) <= 0.3 * sum(kernel.size for kernel in own.values())
    assert blocks.left(mixed, 32) == kept
    assert blocks.left(model, 32) == blocks.left(mixed, None) == set()


def test_a_layer_is_given_what_the_changed_ones_before_it_answer():
    taken = keras.Input((4,))
    x = keras.layers.Dense(3, name="one", activation="relu")(taken)
    both = keras.layers.Concatenate()([x, keras.layers.Dense(2, name="two")(taken)])
    model = keras.Model(taken, keras.layers.Dense(1, name="three")(both))
    batches = [RNG.normal(size=(5, 4)).astype("f4") for _ in range(2)]
    met = {}
    for layer, batch in inputs.walk(model, batches, {"one", "two", "three"}):
        layer.kernel.assign(layer.kernel * 2)
        met[layer.name] = batch
    before = keras.Model(taken, model.get_layer("three").input)
    for i, batch in enumerate(batches):
        np.testing.assert_allclose(met["three"][i], before(batch), rtol=1e-5)
        np.testing.assert_array_equal(met["one"][i], batch)
    assert met["one"] is met["two"], "so that what is made of it is made once"


@pytest.mark.parametrize("width", [64, 32])
def test_inputs_go_by_their_names_whatever_their_order(width):
    """A model of one's own keeps its file's order, which need not be the data's."""
    rng = np.random.default_rng(0)
    sizes = {"one": 64, "other": width}
    # integers, whose products with each other are exact
    rows = {name: rng.integers(-9, 9, (24, size)) * rng.integers(1, 9, size) for name, size in sizes.items()}
    data = Arrays({name: each.astype("f4") for name, each in rows.items()}, {LABEL: np.arange(24) % 4})
    taken = {name: keras.Input((sizes[name],), name=name) for name in ("other", "one")}
    ends = [keras.layers.Dense(8, name=f"reads_{name}")(each) for name, each in taken.items()]
    model = keras.Model(list(taken.values()), keras.layers.Add()(ends))
    answers = [model(batch) for batch in inputs.batches(model, data, 24)]
    np.testing.assert_allclose(np.concatenate(answers), model(data.inputs), rtol=1e-4, atol=1e-4)
    found = gptq.apply(model, Gptq(**KEYS | {"examples": 24}), data, data, None)[0]
    for name, each in rows.items():
        before, after = (of.get_layer(f"reads_{name}").kernel.numpy().T for of in (model, found))
        np.testing.assert_array_equal(after, gptq.quantized(before, each.T @ each.astype("f8"), 32, 0.01), name)


def test_what_a_change_costs_is_its_divergence_to_second_order():
    from scipy.special import rel_entr

    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.layers.Dense(6, activation="softmax", input_shape=(5,), name="scores")])
    batches = [RNG.normal(size=(1, 5)).astype("f4") for _ in range(500)]  # each a draw, and a call of its own
    change = RNG.normal(size=(5, 6)).astype("f4") * 0.05
    found = fisher.costs(model, {"scores": change}, batches, scores=False)["scores"]
    whole = np.concatenate(batches)
    before = model(whole).numpy().astype("f8")
    model.layers[0].kernel.assign_add(change)
    assert found == pytest.approx(rel_entr(before, model(whole).numpy().astype("f8")).sum(axis=1).mean(), rel=0.25)


def test_what_it_is_not_for_is_told(model):
    with pytest.raises(ModelError, match="block: 64 does not divide the 96 inputs of 'layer_0_down'"):
        applied(model, block=64)
    flat = keras.Sequential([keras.layers.Flatten(input_shape=(2, 2))])
    with pytest.raises(ModelError, match="has no dense layer of its own"):
        applied(flat)
    with pytest.raises(ValueError, match="teacher"):
        Gptq(**KEYS, teacher="baseline")
    assert METHODS.load("gptq").schema is Gptq


def small(*outputs, between=None):
    """A network of two dense layers, the second a softmax of 4 classes, or with these outputs."""
    x = keras.Input((32,), name="x")
    y = keras.layers.Dense(32, name="hidden")(x)
    y = between(y) if between else y
    ends = [layer(y) for layer in outputs or [keras.layers.Dense(4, activation="softmax", name="label")]]
    return keras.Model(x, ends if len(ends) > 1 else ends[0], name="small")


ROWS = np.ones((24, 32), np.float32)
CLASSES, VALUES, LABELS = np.arange(24) % 4, RNG.normal(size=24).astype("f4"), RNG.integers(0, 2, (24, 3))


@pytest.mark.parametrize(
    ("outputs", "targets", "said"),
    [
        ((("label", 4, "softmax"), ("side", 2, "softmax")), {LABEL: CLASSES, "side": CLASSES % 2}, "2 outputs"),
        ((("y", 1, None),), {LABEL: VALUES}, "an output of values"),
        ((("y", 3, "sigmoid"),), {LABEL: LABELS}, "an output of labels"),
        ((("y", 32, None),), {LABEL: CLASSES, RECONSTRUCTION: ROWS}, "an output of values"),
    ],
)
def test_layers_of_8_bits_are_told_from_one_output_of_classes_or_tokens(outputs, targets, said):
    model = small(*(keras.layers.Dense(size, activation, name=name) for name, size, activation in outputs))
    data = Arrays({"x": ROWS}, targets)
    with pytest.raises(ModelError, match=f"gptq: eight: received 0.5 for 'small', which has {said}; .*leave `eight`"):
        gptq.apply(model, Gptq(**KEYS, eight=0.5), data, data, None)
    found = gptq.apply(model, Gptq(**KEYS), data, data, None)[0]
    assert all(grid.on_grid(kernel.T, 32) == 1 for kernel in kernels_of(found).values())


@pytest.mark.parametrize(
    ("keys", "scale", "between", "said"),
    [
        ({"damping": 1e-17}, 1, None, "gptq: damping: received 1e-17, which is too small for what 'hidden' is given"),
        ({}, np.nan, None, "gptq: layer 'hidden' is given no finite numbers"),
        ({"eight": 0.5}, 1, tf.round, "'small': no gradient reaches 'hidden'"),
    ],
)
def test_what_it_cannot_solve_is_told_by_the_layers_name(keys, scale, between, said):
    data = Arrays({"x": ROWS * np.float32(scale)}, {LABEL: CLASSES})
    with pytest.raises(ModelError, match=said):
        gptq.apply(small(between=between), Gptq(**KEYS, **keys), data, data, None)
