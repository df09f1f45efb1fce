"""Caches of integers with a scale a token and head: what numpy makes of keys and values, wherever it is asked."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import softmax

from tasks.decoder.cached import cached, empty, rounding
from tasks.errors import ConversionError, ParamsError, UnsupportedError
from tasks.examples import Arrays
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.quantize import guard, language, signatures
from tasks.records.artifacts import Runnable
from tasks.ship import litertlm
from tests import decoders
from tests.decoders import PREFILL, SPEC, TEXT, WINDOW, WORDS, entry

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.fixture(scope="module")
def model():
    return decoders.built()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    """In rooms of 16 and 32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "SMALLEST", 16)
        made = language.make(model, entry(prefill=PREFILL, room=32, cache="int8")).content
    path = tmp_path_factory.mktemp("int8") / "model.tflite"
    path.write_bytes(made)
    return path


@pytest.fixture(scope="module")
def calls(path):
    return signatures.read(tflite.load(path))


def in_integers(rows):
    """Rows [..., d] as the nearest of 127 steps up to the largest number of each, and the steps."""
    step = np.abs(rows).max(axis=-1, keepdims=True) / 127
    return np.rint(rows / step), step


def everywhere(model):
    return keras.Model(model.input, model.get_layer("logits").output, name="decoder")


def test_each_signature_writes_integers_and_scales_in_place(calls):
    signatures.language("decoder", calls)
    names = {f"kv_{what}_{side}_0" for what in ("cache", "scale") for side in "kv"}
    for call in calls:
        assert set(call.state) == names
        assert call.in_place
        assert {tensor.dtype for tensor in call.inputs if "cache" in tensor.name} == {"int8"}
        assert {tensor.shape[3] for tensor in call.inputs if "scale" in tensor.name} == {1}
    (decode,) = (call for call in calls if call.name == "decode")
    assert decode.places == 32


def test_the_card_tells_a_quarter_of_the_bytes(calls, model):
    places = SPEC.kv_heads * 32 * 2
    assert signatures.state_bytes(calls) == places * (SPEC.head_width + 4)
    plain = [t for name, t in cached(model, 1, 32).input.items() if name.startswith("kv")]
    assert sum(4 * np.prod(tensor.shape) for tensor in plain) == places * 4 * SPEC.head_width
    assert (64 + 4) / (4 * 64) < 0.27, "of heads of 64 numbers, as most models have"
    assert signatures.state_bytes(()) is None


def test_what_is_kept_is_what_numpy_rounds_keys_and_values_to(path, model):
    driver, n = decoders.driver(path), 9
    (prompt,) = driver.prepare({"tokens": TEXT[None, :n]})
    driver.put(prompt)
    driver.invoke()
    kept = driver.states.now.keep()
    float_ = cached(model, n, 32)
    places = np.arange(n, dtype=np.int32)
    plain = float_({"tokens": TEXT[None, :n], "input_pos": places, **empty(float_)})
    for side in "kv":
        integers, step = in_integers(plain[f"kv_cache_{side}_0"].numpy()[:, :, :n])
        found = kept[f"kv_cache_{side}_0"][:, :, :n]
        np.testing.assert_allclose(kept[f"kv_scale_{side}_0"][:, :, :n], step, rtol=1e-5)
        assert np.abs(found - integers).max() <= 1, "sums of floats differ in their order"
        assert np.mean(found != integers) < 0.01
        assert np.abs(found).max() == 127


@pytest.mark.parametrize("cap", [None, 2.0])
def test_it_attends_as_numpy_does_to_what_is_kept(cap):
    import tensorflow as tf

    from tasks.training.attention import Attend

    rng = np.random.default_rng(4)
    n, heads, kv_heads, d = 7, 4, 2, 8
    query, key, value = (rng.normal(size=(1, n, h * d)).astype("f4") for h in (heads, kv_heads, kv_heads))
    layer = Attend(heads, kv_heads, scale=0.4, cap=cap, window=5, cache="int8")
    places = np.arange(n, dtype=np.int32)[None]
    found = layer([query, key, value, places])
    again = Attend.from_config(layer.get_config())([query, key, value, places])
    by_head = [x.reshape(n, -1, d).transpose(1, 0, 2).astype("f8") for x in (query, key, value)]
    key, value = (np.repeat(np.multiply(*in_integers(x)), heads // kv_heads, axis=0) for x in by_head[1:])
    scores = 0.4 * by_head[0] @ key.transpose(0, 2, 1)
    scores = scores if cap is None else cap * np.tanh(scores / cap)
    behind = places.T - places
    scores = np.where((behind < 0) | (behind >= 5), -np.inf, scores)
    expected = (softmax(scores, axis=2) @ value).transpose(1, 0, 2).reshape(1, n, heads * d)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-5)
    assert tf.reduce_all(found == again)


def test_a_window_is_scored_by_what_its_caches_keep(path, calls, model):
    """At each place the scores are those of prefills and `decode` up to there, of Keras upon rounded keys and values,
    and not those of floats: whatever is judged by `score_n` is judged with the caches."""
    asked = decoders.driver(path, asked=f"score_{WINDOW}")
    (window,) = asked.prepare({"tokens": TEXT[None, :WINDOW]})
    asked.put(window)
    asked.invoke()
    (scores,) = asked.floats([asked.read()]).values()
    expected = rounding(everywhere(model), "int8")(TEXT[None, :WINDOW]).numpy()[0]
    np.testing.assert_allclose(scores[0], expected, rtol=0, atol=2e-3)
    assert np.abs(scores[0] - decoders.logits(model)[:WINDOW]).max() > 0.02
    driver = decoders.driver(path)
    for n in range(1, WINDOW + 1):
        (prompt,) = driver.prepare({"tokens": TEXT[None, :n]})
        driver.put(prompt)
        driver.invoke()
        np.testing.assert_allclose(driver.read()[0], scores[0, n - 1], rtol=0, atol=2e-3)


def test_a_text_grows_out_of_a_room_with_its_scales(path):
    told = []
    for whole in (False, True):
        driver = decoders.driver(path, whole=whole)
        (prompt,) = driver.prepare({"tokens": TEXT[None, :5]})
        decoding = driver.decoding(prompt, 27)
        told.append(decoding.tokens)
        assert driver.facts()["decode_calls"][-1] == ("decode (27)" if whole else "decode (16)")
        held = sum(SPEC.kv_heads * 2 * (SPEC.head_width + 4) * room for room in ([32] if whole else [16, 32]))
        assert driver.facts()["state_bytes"] == held
    assert told[0] == told[1]


def test_the_file_is_held_against_a_model_that_rounds_and_its_distance_is_from_one_that_does_not(path, calls, model):
    windows = np.random.default_rng(3).integers(0, WORDS, (5, WINDOW)).astype(np.int32)
    graph, found, answering = language.described(path.read_bytes(), everywhere(model))
    card = Runnable(
        variant="v", scheme="float32", sha256="", inputs=graph.inputs, outputs=graph.outputs, signatures=found
    )
    given = (path.read_bytes(), "float32", Arrays({"tokens": windows}, {}), answering, calls, card.asked)
    distance = guard.check(*given, rounding(answering, "int8"))
    assert 1e-4 < distance < 0.1
    with pytest.raises(ConversionError, match="the file does not answer as the Keras model does"):
        guard.check(*given)


def test_integer_weights_go_with_integer_caches(path, model):
    content = language.quantized(path.read_bytes(), entry("dynamic", cache="int8"), model)
    for call in signatures.read(tflite.parse(content)):
        assert call.in_place
        assert {tensor.dtype for tensor in call.inputs if "cache" in tensor.name} == {"int8"}
    products = {
        graph.tensors[op.inputs[1]].dtype
        for graph in tflite.parse(content).graphs
        for op in graph.operators
        if op.kind == "FULLY_CONNECTED"
    }
    assert products == {"int8"}


def test_where_it_cannot_be_is_told(model, calls, path):
    with pytest.raises(ValidationError, match="Input should be 'int8'"):
        Quantize(model="baseline", scheme="float32", cache="int4")
    with pytest.raises(ValidationError, match="cache means nothing for scheme 'int8'; it is for float32, float16"):
        entry("int8", cache="int8")
    other = keras.Sequential([keras.layers.Dense(1, input_shape=(3,))])
    with pytest.raises(ParamsError, match="cache: 'baseline' does not tell the token behind a text"):
        language.check(other, entry(cache="int8"))
    with pytest.raises(ParamsError, match="room: received 8"):
        language.check(model, entry(cache="int8", room=8))
    card = Runnable(variant="v", scheme="float32", sha256="", signatures=calls)
    with pytest.raises(UnsupportedError, match="LiteRT-LM knows no scales of a state; the file keeps int8"):
        litertlm._room(card)
