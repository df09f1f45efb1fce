"""The families of texts, `rnn` and `encoder`: what they compute, every form they are deployed in, every method."""

import numpy as np
import pytest

from tasks.channels import cost, surgery
from tasks.channels.tracing import trace
from tasks.compress import factorize, kernels
from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import encoder, rnn
from tasks.params import Encoder, Factorize, Quantize, Rnn
from tasks.quantize import aware, layers, litert
from tasks.records import ModelCard
from tasks.training import attention, fit, keras_files
from tasks.training import layers as own_layers

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
LENGTH, WORDS, UNITS = 4, 90, 16
TOKENS = np.random.default_rng(0).integers(0, WORDS, (12, LENGTH)).astype(np.int32)
FAMILIES = {
    "lstm": Rnn(family="rnn", units=(UNITS,), embedding=8, bidirectional=True, dropout=0.1, token_dropout=0.1),
    "gru": Rnn(family="rnn", cell="gru", units=(6, UNITS), embedding=8, dropout=0.1),
    "encoder": Encoder(family="encoder", layers=1, width=8, heads=2, feed_forward=12, dropout=0.1, token_dropout=0.1),
}


def texts(classes=3, task="classification"):
    spec = TensorSpec((LENGTH,), "int32", vocabulary_size=WORDS)
    return Spec({"text": spec}, tuple(map(str, range(classes))), task)


def build(name):
    """A model of random weights, biases and norms too, so that nothing is right by being nothing."""
    fit.reset(0)
    section = FAMILIES[name]
    model = (rnn if section.family == "rnn" else encoder).build(section, texts())
    rng, scale = np.random.default_rng(1), 0.3 if section.family == "encoder" else 0.5
    model.set_weights([w + rng.normal(scale=scale, size=w.shape).astype(np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def models():
    return {name: build(name) for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_is_read_as_it_was_written(name, models, tmp_path):
    keras_files.save(models[name], tmp_path)
    ModelCard(
        model="baseline", parent=None, method="train", parameters=None, epochs=1, total_epochs=1, layers=(), history={}
    ).save(tmp_path / "card.json")
    again, _ = keras_files.load_from(tmp_path)
    assert np.array_equal(again(TOKENS), models[name](TOKENS))


def test_no_two_layers_of_ours_have_one_registered_name():
    ours = [
        thing
        for module in (attention, own_layers)
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    ]
    names = [keras.saving.get_registered_name(thing) for thing in ours]
    assert len(names) > 5
    assert len(set(names)) == len(names)
    assert all(keras.saving.get_registered_object(name) is thing for name, thing in zip(names, ours, strict=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def lstm(x, kernel, recurrent, bias):
    """Every state of Hochreiter and Schmidhuber's, with the forget gate of Gers et al.; gates i, f, c, o."""
    h = c = np.zeros((len(x), len(recurrent)))
    states = []
    for step in x.swapaxes(0, 1):
        i, f, g, o = np.split(step @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


def gru(x, kernel, recurrent, bias):
    """Cho et al.'s with the reset behind the product; gates z, r, h, a row of biases for each kernel."""
    h = np.zeros((len(x), len(recurrent)))
    states = []
    for step in x.swapaxes(0, 1):
        (xz, xr, xh), (hz, hr, hh) = (
            np.split(a @ k + b, 3, axis=1) for a, k, b in ((step, kernel, bias[0]), (h, recurrent, bias[1]))
        )
        z = sigmoid(xz + hz)
        h = z * h + (1 - z) * np.tanh(xh + sigmoid(xr + hr) * hh)
        states.append(h)
    return np.stack(states, 1)


def weights(model):
    return {layer.name: layer.get_weights() for layer in model.layers}


def test_an_lstm_reads_both_ways_and_keeps_the_largest(models):
    of = weights(models["lstm"])
    x = of["embedding"][0][TOKENS]
    both = [lstm(x, *of["forward_0"]), lstm(x[:, ::-1], *of["backward_0"])]
    kernel, bias = of["probabilities"]
    expected = softmax(np.concatenate([states.max(1) for states in both], 1) @ kernel + bias)
    assert np.allclose(models["lstm"](TOKENS), expected, atol=1e-5)


def test_a_gru_reads_what_the_one_before_gave(models):
    of = weights(models["gru"])
    states = gru(gru(of["embedding"][0][TOKENS], *of["forward_0"]), *of["forward_1"])
    kernel, bias = of["probabilities"]
    assert np.allclose(models["gru"](TOKENS), softmax(states.max(1) @ kernel + bias), atol=1e-5)


def test_the_last_step_of_a_series_answers():
    fit.reset(0)
    params = Rnn(family="rnn", units=(5,), pool="last", dense=(3,), activation="tanh")
    model = rnn.build(params, Spec({"x": TensorSpec((6, 2), "float32")}, ("a", "b")))
    series = np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32)
    of = weights(model)
    hidden = np.tanh(lstm(series, *of["forward_0"])[:, -1] @ of["dense"][0] + of["dense"][1])
    kernel, bias = of["probabilities"]
    assert np.allclose(model(series), softmax(hidden @ kernel + bias), atol=1e-5)


def norm(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3) * gamma + beta


def test_an_encoder_attends_to_every_place(models):
    of = weights(models["encoder"])
    x = of["embedding"][0][TOKENS] + of["places"][0]
    q, qb, k, kb, v, vb, o, ob = of["layer_0_attention"]
    seen = norm(x, *of["layer_0_attention_norm"])
    query, key, value = (np.einsum("btc,chd->bhtd", seen, w) + b[None, :, None] for w, b in ((q, qb), (k, kb), (v, vb)))
    found = softmax(query @ key.swapaxes(2, 3) / np.sqrt(q.shape[-1])) @ value
    x = x + np.einsum("bhtd,hdc->btc", found, o) + ob
    (up, up_bias), (down, down_bias) = of["layer_0_up"], of["layer_0_down"]
    x = x + np.maximum(norm(x, *of["layer_0_feed_forward_norm"]) @ up + up_bias, 0) @ down + down_bias
    kernel, bias = of["probabilities"]
    expected = softmax(norm(x, *of["last_norm"]).mean(1) @ kernel + bias)
    assert np.allclose(models["encoder"](TOKENS), expected, atol=1e-5)


def answers(content):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for tokens in TOKENS:
        interpreter.set_tensor(given["index"], tokens[None])
        interpreter.invoke()
        scale, zero = told["quantization"]
        row = interpreter.get_tensor(told["index"])[0].astype(np.float32)
        rows.append((row - zero) * scale if scale else row)
    return np.array(rows)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_of_floats_answers_as_keras_and_one_of_integers_nearly(name, models):
    expected = models[name](TOKENS).numpy()
    spread = np.ptp(expected, axis=0).max()
    assert spread > 0.1  # the answers tell the texts apart
    assert np.allclose(answers(litert.convert(models[name], "float32", None)), expected, atol=1e-5)
    given = Arrays({"text": TOKENS}, {"label": np.zeros(len(TOKENS), np.int64)})
    content = litert.convert(models[name], "int8", given)
    assert not layers.floats(content)
    assert "WHILE" not in litert.inspect(content).operators
    assert np.abs(answers(content) - expected).max() < spread / 5  # of random weights a sixth at most was seen


@pytest.mark.parametrize("name", FAMILIES)
def test_slimming_is_masking(name, models):
    model = keras.models.clone_model(models[name])
    model.set_weights(models[name].get_weights())
    channels = trace(model)
    kept = channels.everything()
    for block in channels.blocks:
        kept[block[::3]] = len(block) == 1
    slimmed = surgery.remove(model, channels, kept)
    assert slimmed.count_params() < model.count_params()
    assert cost.total(model, channels, kept) == cost.of(slimmed)["embedding"] + sum(
        (each for layer, each in cost.of(slimmed).items() if layer != "embedding"), cost.Cost(0, 0)
    )
    for layer in model.layers:
        held = layer.get_weights()
        for cut in channels.cuts.get(layer.name, ()):
            if cut.role == "reads":
                np.moveaxis(held[cut.weight], cut.axis, 0)[~kept[cut.channels]] = 0
        layer.set_weights(held)
    assert np.allclose(slimmed(TOKENS), model(TOKENS), atol=1e-5)


def test_the_products_of_a_step_are_counted(models):
    macs = {name: each.macs for name, each in cost.of(models["gru"]).items()}
    assert macs["forward_0"] == LENGTH * 3 * (8 * 6 + 6 * 6)
    assert macs["forward_1"] == LENGTH * 3 * (6 * UNITS + UNITS * UNITS)


WEIGHTS = {
    "lstm": {"embedding", "forward_0", "backward_0", "probabilities"},
    "gru": {"embedding", "forward_0", "forward_1", "probabilities"},
    "encoder": {"embedding", "places", "layer_0_attention", "layer_0_up", "layer_0_down", "probabilities"},
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("declared", [kernels.PRUNABLE, kernels.CLUSTERABLE])
def test_every_product_can_be_pruned_and_clustered(name, declared, models, caplog):
    assert {kernel.layer for kernel in kernels.find(models[name], declared)} == WEIGHTS[name]
    assert not caplog.text  # nothing is left out


def test_what_becomes_no_factors_is_refused_by_its_name(models):
    given = Arrays({"text": TOKENS}, {"label": np.zeros(len(TOKENS), np.int64)})
    for name, layer, kind in (("lstm", "forward_0", "LSTM"), ("encoder", "layer_0_attention", "MultiHeadAttention")):
        params = Factorize(method="factorize", parent="baseline", layers={layer: 2}, epochs=0)
        with pytest.raises(ModelError, match=f"factorize: layers: '{layer}' is a {kind}, to which it does nothing"):
            factorize.apply(models[name], params, given, given, lambda *_: None)
    params = Factorize(method="factorize", parent="baseline", layers={"layer_0_up": 2}, epochs=0)
    made, _ = factorize.apply(models["encoder"], params, given, given, lambda *_: None)
    assert made.get_layer("layer_0_up_in").units == 2
    assert made(TOKENS).shape == (len(TOKENS), 3)


@pytest.mark.parametrize(("name", "layer"), [("gru", "forward_0"), ("encoder", "places")])
def test_training_aware_of_rounding_is_refused_by_the_layers_name(name, layer, models):
    entry = Quantize(model="baseline", scheme="int8", aware_epochs=1)
    card = ModelCard.model_construct(model="baseline", preserves=())
    given = Arrays({"text": TOKENS}, {"label": np.zeros(len(TOKENS), np.int64)})
    with pytest.raises(ModelError, match=f"TFMOT cannot quantize .*{layer} \\("):
        aware.apply(models[name], card, entry, given, given)


def test_data_of_another_kind_is_refused():
    image = Spec({"image": TensorSpec((8, 8, 1), "float32")}, ("x", "y"))
    numbers = Spec({"numbers": TensorSpec((8,), "float32")}, ("x", "y"))
    for wrong in (image, numbers):
        with pytest.raises(ModelError, match="family rnn takes one input of tokens, or of a series"):
            rnn.build(FAMILIES["gru"], wrong)
        with pytest.raises(ModelError, match="family encoder takes one input of tokens"):
            encoder.build(FAMILIES["encoder"], wrong)
    with pytest.raises(ValueError, match="a multiple of the heads expected, 3; received 8"):
        Encoder(family="encoder", width=8, heads=3)
