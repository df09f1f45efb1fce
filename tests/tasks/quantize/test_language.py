"""A decoder as one LiteRT file with its caches: the graph that makes it fast, its answers, its sizes, its refusals."""

from collections import Counter

import ml_dtypes
import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from tasks.bench import judging, predict
from tasks.bench.request import Artifact
from tasks.bench.runner import language as runner
from tasks.bench.runner import prompts
from tasks.bench.runner.arrays import RefusedError
from tasks.decoder import network
from tasks.errors import ParamsError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, TEXT_BYTES
from tasks.formats import cost, tflite
from tasks.formats.schemes import SCHEMES, taking
from tasks.quantize import language, layers
from tasks.records.artifacts import Runnable
from tests import decoders
from tests.decoders import PREFILL, ROOM, SPEC, TEXT, WIDTH, WINDOW, WORDS, entry

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.fixture(scope="module")
def model():
    return decoders.built()


@pytest.fixture(scope="module")
def content(model):
    return language.make(model, entry(prefill=PREFILL, room=ROOM)).content


@pytest.fixture(scope="module")
def logits(model):
    return decoders.logits(model)


@pytest.fixture(scope="module")
def driver(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("decoder") / "model.tflite"
    path.write_bytes(content)
    return decoders.driver(path)


def test_the_graph_of_every_signature_is_one_that_is_fast(content):
    file = tflite.parse(content)
    assert {signature.name for signature in file.signatures} == {"prefill_4", "prefill_8", "decode", f"score_{WINDOW}"}
    for signature in file.signatures:
        graph = file.graphs[signature.graph]
        caches = {place for name, place in signature.inputs.items() if name.startswith("kv_cache")}
        written = {place for name, place in signature.outputs.items() if name.startswith("kv_cache")}
        assert len(caches) == len(written) == 2
        for operator in graph.operators:
            if caches & set(operator.inputs):
                assert operator.kind == "DYNAMIC_UPDATE_SLICE", "it is written in place"
            if written & set(operator.inputs):
                assert operator.kind == "BATCH_MATMUL", "a slice of it would be a copy"
        assert all(ROOM in graph.tensors[place].shape for place in caches)
        assert ("logits" in signature.outputs) is (not signature.name.startswith("prefill"))
        if "logits" in signature.outputs:
            n = 1 if signature.name == "decode" else WINDOW
            assert graph.tensors[signature.outputs["logits"]].shape == (1, n, WORDS)
            kinds = Counter(operator.kind for operator in graph.operators)
            assert (kinds["BATCH_MATMUL"], kinds["RSQRT"], kinds["SIN"], kinds["COS"]) == (2, 3, 1, 1)
            assert kinds["SPLIT"] == 1, "halves of queries and keys at once, by what XNNPACK has: it has no SPLIT_V"
            assert kinds["FULLY_CONNECTED"] == 6, "queries, keys and values are one product"


def test_weights_are_stored_once_as_the_model_has_them(content, model):
    """By all signatures, the embedding as the head; a scale of a norm that were folded would change the matrices."""
    objects = tflite.objects(content)
    stored = [np.frombuffer(buffer.data, "<f4") for buffer in objects.buffers if _length(buffer) >= 4 * 64 * 32]
    sought = decoders.matrices(model)
    assert len(stored) == len(sought)
    for matrix in sought:
        assert any(np.array_equal(one, matrix.ravel()) for one in stored)


def _length(buffer):
    return 0 if buffer.data is None else len(buffer.data)


def test_with_caches_it_answers_as_keras_does_without(driver, logits):
    """Prompts of every length, by all the ways that they are divided in, and then token by token, in place."""
    assert driver.facts()["state_kept"] == "in place"
    for n in (1, 2, 3, 5, 9, WINDOW, 17, ROOM):
        (prompt,) = driver.prepare({"tokens": TEXT[None, :n]})
        driver.put(prompt)
        driver.invoke()
        np.testing.assert_allclose(driver.read()[0], logits[n - 1], rtol=0, atol=1e-4)
    (prompt,) = driver.prepare({"tokens": TEXT[None, :6]})
    driver.put(prompt)
    driver.invoke()
    for place in range(6, ROOM):
        call = driver.call("decode", place)
        call.write(TEXT[place : place + 1])
        call.run()
        np.testing.assert_allclose(driver.read()[0], logits[place], rtol=0, atol=1e-4)


def test_making_one_of_integers_draws_nothing_on_the_terminal(content, model, capfd):
    assert max(len(graph.tensors) for graph in tflite.parse(content).graphs) > 100, "from where on the quantizer would"
    language.quantized(content, entry("dynamic"), model)
    assert "%|" not in capfd.readouterr().err


def test_the_scores_of_a_window_are_those_of_keras(content, logits):
    from ai_edge_litert.interpreter import Interpreter

    score = Interpreter(model_content=content).get_signature_runner(f"score_{WINDOW}")
    caches = {name: np.zeros(about["shape"], "f4") for name, about in score.get_input_details().items() if "kv" in name}
    places = np.arange(WINDOW, dtype=np.int32)
    found = score(tokens=TEXT[None, :WINDOW], input_pos=places, **caches)["logits"]
    np.testing.assert_allclose(found[0], logits[:WINDOW], rtol=0, atol=1e-4)


def test_asked_at_every_place_it_tells_what_keras_does(content, logits, model, tmp_path):
    """By one call a window, each as if nothing had been asked before; the card says which signature that is."""
    (tmp_path / "model.tflite").write_bytes(content)
    everywhere = keras.Model(model.input, model.get_layer(network.LOGITS).output, name="decoder")
    assert (language.everywhere(everywhere), language.everywhere(model)) == (f"score_{WINDOW}", None)
    graph, calls, answering = language.described(content, everywhere)
    card = Runnable(
        variant="v", scheme="float32", sha256="", inputs=graph.inputs, outputs=graph.outputs, signatures=calls
    )
    assert card.outputs[0].shape == (WINDOW, WORDS)
    told = {"signatures": [call.model_dump() for call in calls], "asked": card.asked}
    asked = runner.Model(str(tmp_path / "model.tflite"), {"kernels": "default", "threads": 1, **told})
    windows = np.stack([TEXT[:WINDOW], TEXT[WINDOW:], TEXT[:WINDOW]])
    rows = []
    with pytest.raises(RefusedError, match=f"it is asked at each place of {WINDOW} tokens; a prompt has {WINDOW + 2}"):
        asked.prepare({"tokens": TEXT[None, : WINDOW + 2]})
    for window in asked.prepare({"tokens": windows}):
        asked.put(window)
        asked.invoke()
        rows.append(asked.read())
    (found,) = asked.floats(rows).values()
    np.testing.assert_allclose(found, answering(windows).numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[0], logits[:WINDOW], rtol=0, atol=1e-4)
    assert np.array_equal(found[0], found[2])


def test_a_variant_is_compared_with_the_float_file_where_both_answer(content, in_blocks, model, tmp_path):
    """By the calls that answer a window whole, the caches empty; against scipy on what LiteRT answers."""
    everywhere = keras.Model(model.input, model.get_layer(network.LOGITS).output, name="decoder")
    windows = np.random.default_rng(3).integers(0, WORDS, (5, WINDOW)).astype(np.int32)
    targets = {LABEL: np.roll(windows, -1, axis=1), TEXT_BYTES: np.full(5, WINDOW)}
    made, answers = {}, {}
    for name, each in (("float", content), ("blocks", in_blocks)):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(each)
        graph, calls, _ = language.described(each, everywhere)
        card = Runnable(
            variant=name, scheme="float32", sha256="", inputs=graph.inputs, outputs=graph.outputs, signatures=calls
        )
        made[name] = Artifact(card, path)
        (scores,) = predict.predict(path, Arrays({"tokens": windows}, {}), calls=calls, asked=card.asked)[0].values()
        answers[name] = softmax(scores.astype("f8"), axis=2)
    expected = rel_entr(answers["float"], answers["blocks"]).sum(axis=2).mean(axis=1)
    asked = judging.questions(tmp_path, "q", Arrays({"tokens": windows}, targets), "kl-divergence", made["float"])
    found, _ = judging.kept(made["blocks"], asked, predict.litert())
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)
    assert (expected > 1e-4).all()
    itself, _ = judging.kept(made["float"], asked, predict.litert())
    np.testing.assert_allclose(itself.values, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("n", "calls"),
    [
        (1, ["decode (1 of 1)"]),
        (2, ["decode (1 of 1)"] * 2),
        (4, ["prefill_4 (3 of 4)", "decode (1 of 1)"]),
        (9, ["prefill_8 (8 of 8)", "decode (1 of 1)"]),
        (WINDOW, ["prefill_8 (8 of 8)", "prefill_4 (3 of 4)", "decode (1 of 1)"]),
        (6, ["prefill_8 (5 of 8)", "decode (1 of 1)"]),
        (ROOM, ["prefill_8 (8 of 8)"] * 2 + ["prefill_8 (7 of 8)", "decode (1 of 1)"]),
    ],
)
def test_the_record_says_by_which_calls_a_prompt_is_taken_in(driver, n, calls):
    driver.prepare({"tokens": TEXT[None, :n]})
    assert driver.facts()["prompt_calls"] == calls


def test_nothing_is_written_beyond_the_end():
    """Of any lengths of prefill and any room: what is filled up stays in it, and every token is taken once."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        lengths, room, scores = rng.integers(1, 20, rng.integers(1, 4)), int(rng.integers(1, 60)), rng.integers(0, 2)
        about = {f"prefill_{n}": _signature(f"prefill_{n}", int(n), room, scores) for n in lengths}
        about["decode"] = _signature("decode", 1, room, True)
        for r in rng.integers(1, room + 1, rng.integers(0, 4)):
            name = str(rng.choice(list(about))).rpartition("room_")[2].lstrip("0123456789_")
            about[f"room_{r}_{name}"] = {**about[name], "name": f"room_{r}_{name}"}
        n, place = int(rng.integers(1, room + 1)), 0
        for (signature, start, count), (name, same) in zip(
            prompts.calls(about, n), prompts.parts(about, n), strict=True
        ):
            held = int(signature["name"].split("_")[1]) if signature["name"].startswith("room") else room
            assert signature["name"].endswith(name)
            assert (start, count) == (place, same)
            assert start + runner.length(signature) <= held
            place += count
        place, calls = 0, prompts.parts(about, n)
        for name, count in calls:
            assert 0 < count <= runner.length(about[name])
            assert place + runner.length(about[name]) <= room
            place += count
        assert place == n
        name, count = calls[-1]
        assert runner.gives_scores(about[name])
        summed = {name: {**signature, "places": None, "in_place": False} for name, signature in about.items()}
        assert all(count == runner.length(summed[name]) for name, count in prompts.parts(summed, n)), "no fill in a sum"
        assert count == runner.length(about[name]), "scores are those of the last token"


@pytest.mark.parametrize(
    ("lengths", "n", "taken"),
    [
        ((256,), 64, [("prefill_256", 63)]),
        ((16, 128), 64, [("prefill_16", 16)] * 3 + [("prefill_16", 15)]),
        ((16, 64, 128), 64, [("prefill_64", 63)]),
        ((16, 128), 129, [("prefill_128", 128)]),
        ((16, 128), 120, [("prefill_128", 119)]),
        ((16, 128), 2, [("decode", 1)]),
        ((16, 128), 3, [("prefill_16", 2)]),
    ],
)
def test_a_prompt_is_taken_in_by_the_calls_that_cost_least(lengths, n, taken):
    """Of which each reads all weights: few long ones, or short ones of which little is for nothing."""
    about = {f"prefill_{k}": _signature(f"prefill_{k}", k, 256, scores=False) for k in lengths}
    assert prompts.parts({**about, "decode": _signature("decode", 1, 256, scores=True)}, n) == [*taken, ("decode", 1)]


def _signature(name, length, room, scores):
    outputs = [{"name": "kv"}] + [{"name": "logits"}] * bool(scores)
    inputs = [{"name": "tokens", "shape": (1, length)}, {"name": "kv"}]
    return {"name": name, "inputs": inputs, "outputs": outputs, "state": {"kv": "kv"}, "places": room, "in_place": True}


@pytest.mark.parametrize(
    ("prompts", "told"),
    [
        (np.zeros((1, 0), np.int32), "an empty prompt; one token at least is needed"),
        (np.zeros((1, ROOM + 1), np.int32), f"has room for {ROOM} tokens; a prompt has {ROOM + 1}"),
        (np.array([[1, WORDS]]), f"a prompt has the token {WORDS}; the model knows {WORDS}, from 0 on"),
        (np.array([[-1, 1]]), "a prompt has the token -1"),
    ],
)
def test_a_prompt_that_it_cannot_take_is_refused(driver, prompts, told):
    with pytest.raises(RefusedError, match=told):
        driver.prepare({"tokens": prompts})


@pytest.mark.parametrize("scheme", [scheme for scheme in taking("room") if scheme != "float32"])
def test_every_scheme_of_a_decoder_says_nearly_what_keras_says(model, logits, scheme, tmp_path):
    """As near as its bits let it: the errors of rounded weights, which are many and independent."""
    path = tmp_path / "model.tflite"
    path.write_bytes(language.make(model, entry(scheme, prefill=PREFILL, room=ROOM)).content)
    driver = decoders.driver(path)
    (prompt,) = driver.prepare({"tokens": TEXT[None, :9]})
    driver.put(prompt)
    driver.invoke()
    off = np.square(driver.read()[0] - logits[8]).mean() ** 0.5 / logits[8].std()
    least, most = {16: (0, 2e-3), 8: (1e-4, 0.04), 4: (0.04, 0.8)}[SCHEMES.load(scheme).weights]
    assert least < off < most


@pytest.mark.parametrize(("scheme", "dtype", "size"), [("dynamic", "int8", 1), ("int4-dynamic", "int4", 0.5)])
def test_every_signature_reads_the_same_integers(content, model, scheme, dtype, size):
    """Stored once: what is left beside the weights is the graphs, which the float32 file has too."""
    found = language.quantized(content, entry(scheme), model)
    for graph in tflite.parse(found).graphs:
        products = [graph.tensors[op.inputs[1]] for op in graph.operators if op.kind == "FULLY_CONNECTED"]
        assert {tensor.dtype for tensor in products} == {dtype}
        (table,) = (graph.tensors[op.inputs[1]] for op in graph.operators if op.kind == "EMBEDDING_LOOKUP")
        assert (table.dtype, table.shape, len(table.scales)) == (dtype, (WORDS, WIDTH), WORDS)
    weights = sum(int(np.prod(shape)) for shape in SPEC.shapes().values() if len(shape) > 1)
    stored = [sum(map(_length, tflite.objects(each).buffers)) for each in (content, found)]
    assert 0.95 * (4 - size) * weights < stored[0] - stored[1] <= (4 - size) * weights


@pytest.fixture(scope="module")
def in_blocks(content, model):
    return language.quantized(content, entry("int4-dynamic", block=32, bits={"layer_0_up": 8}), model)


def test_weights_in_blocks_are_rounded_as_blocks_of_32_are(in_blocks, model):
    """Each number is that of absmax / 7 in bfloat16, worked out here; the head and what `bits` names have 8 bits."""
    kernels = {layer.name: layer.kernel.numpy().T for layer in model.layers if hasattr(layer, "kernel")}
    objects = tflite.objects(in_blocks)
    for graph, told in zip(objects.subgraphs, tflite.parse(in_blocks).graphs, strict=True):
        seen = Counter()
        for operator in told.operators:
            if operator.kind != "FULLY_CONNECTED":
                continue
            place = operator.inputs[1]
            names = layers.named([told.tensors[i].name for i in (*operator.outputs, place)], dict.fromkeys(kernels))
            seen[told.tensors[place].dtype] += 1
            if names in ((), ("layer_0_up",)):
                assert told.tensors[place].dtype == "int8"
                continue
            tensor = graph.tensors[place]
            scales = graph.tensors[tensor.quantization.details.scales]
            rows = np.concatenate([kernels[name] for name in names])
            given = rows.reshape(len(rows), -1, 32)
            scale = (np.abs(given).max(axis=2) / 7).astype(ml_dtypes.bfloat16).astype(np.float16)
            stored = np.frombuffer(objects.buffers[scales.buffer].data, np.float16).reshape(scale.shape)
            np.testing.assert_array_equal(stored, scale)
            packed = np.frombuffer(objects.buffers[tensor.buffer].data, np.uint8)
            integers = np.stack([packed & 15, packed >> 4], axis=1).reshape(given.shape).astype(np.int8)
            integers[integers > 7] -= 16
            off = integers * scale[..., None].astype("f4") - given
            assert (np.abs(off) <= scale[..., None] * 0.53).all()
            assert told.tensors[place].block == 32
            assert told.tensors[place].stored == len(packed) + 2 * scale.size
        assert seen in ({"int4": 1}, {"int4": 4, "int8": 2}), "a prefill's last layer makes keys and values alone"


def test_a_roofline_counts_the_scales_of_blocks_too(in_blocks, tmp_path):
    (tmp_path / "model.tflite").write_bytes(in_blocks)
    found = cost.read(tmp_path / "model.tflite", "decode")
    (down,) = (
        each
        for each in found
        if each.macs == 96 * WIDTH and each.weight_bytes < 96 * WIDTH and each.input_bytes == 4 * 96
    )
    assert down.weight_bytes == 96 * WIDTH * (4 + 16 / 32) / 8


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"block": 64},
            r"block: received 64, which does not divide the 96 inputs of 'layer_0_down'; allowed there: 32; ",
        ),
        ({"block": 32, "bits": {"layer_0_dwn": 8}}, "bits: no product .* 'layer_0_dwn'; .*layer_0_down"),
    ],
)
def test_blocks_that_no_row_is_divided_into_are_refused(content, model, keys, told):
    with pytest.raises(ParamsError, match=told):
        language.quantized(content, entry("int4-dynamic", **keys), model)


def test_blocks_mean_nothing_at_other_schemes():
    for scheme in ("dynamic", "int4-weights", "int8"):
        with pytest.raises(ValueError, match=f"block means nothing for scheme '{scheme}'; it is for int4-dynamic"):
            entry(scheme, block=32)
    with pytest.raises(ValueError, match="32, 64, 128 or 256"):
        entry("int4-dynamic", block=48)


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        ("int4-dynamic", "seldom usable in 4 bits; `scheme: int4-dynamic` with `block: 32` is"),
        ("int8-weights", "pays nothing on a processor"),
    ],
)
def test_what_a_scheme_is_not_good_for_is_said_where_it_is_chosen(scheme, told, model, monkeypatch, caplog):
    monkeypatch.setattr(language.litert, "converted", lambda *_: b"")
    monkeypatch.setattr(language, "quantized", lambda *_: b"")
    language.make(model, entry(scheme))
    assert told in caplog.text


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"scheme": "int8"}, r"scheme: 'baseline' is a decoder, and int8 has no form of one .* use float32, float16, "),
        ({"scheme": "int16x8"}, "int16x8 has no form of one with its caches"),
        ({"sparse": True}, "sparse: 'baseline' is a decoder"),
        ({"scheme": "dynamic", "bits": {"head": 4}}, "bits: 'baseline' is a decoder"),
        ({"room": 26, "prefill": (4, 8)}, r"room: received 26; it is a multiple of 4, 8 \(prefill\), at least 12 "),
        ({"room": 8, "prefill": (8,)}, "room: received 8"),
        ({"room": 40, "prefill": (8,)}, "room: received 40; .* at most 32"),
        ({"prefill": (7, 11)}, "room: there is none to choose; it is a multiple of 7, 11"),
    ],
)
def test_what_a_decoder_is_not_made_with_is_told(model, keys, told):
    with pytest.raises(ParamsError, match=told):
        language.check(model, entry(**keys))


def test_the_room_is_a_multiple_of_every_prefill_and_no_more_than_the_model_was_made_for(model):
    assert language.plan(model, entry()) == ((12,), 24)
    assert language.plan(model, entry(prefill=(8, 4, 8))) == ((4, 8), 32)
    other = keras.Sequential([keras.layers.Dense(1, input_shape=(3,))])
    with pytest.raises(ParamsError, match="room: 'baseline' does not tell the token behind"):
        language.check(other, entry(room=8))
