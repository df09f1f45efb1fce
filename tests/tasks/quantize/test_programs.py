"""Decoders as programs of StableHLO that take their weights and caches: what they say, keep and read."""

import dataclasses
import functools
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file

from tasks.bench import transport
from tasks.bench.runner import language as litert_runner
from tasks.bench.runner import pjrt
from tasks.bench.runner import pjrt_language as runner
from tasks.bench.runner.arrays import RefusedError
from tasks.checkpoints import load
from tasks.decoder import network
from tasks.decoder.portable import Network, Numbers, numberless
from tasks.decoder.spec import Block, DecoderSpec
from tasks.errors import ConversionError
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.quantize import language, packing, programs, signatures
from tests import checkpoints

tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")
WINDOW, ROOM, WORDS = 6, 16, 48
SPEC = DecoderSpec(
    vocabulary=WORDS, width=32, hidden=48, heads=4, kv_heads=2, head_width=8, room=32, attention_scale=0.35, tied=True,
    blocks=(Block((1.0, 0.1)), Block((1.0, 0.1), window=5)), query_norm="head", biases=frozenset({"query", "down"}),
)  # fmt: skip
TEXT = np.random.default_rng(0).integers(0, WORDS, ROOM).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    built = network.build(SPEC, WINDOW)
    rng = np.random.default_rng(1)
    built.set_weights([rng.normal(w.ndim == 1, 0.2, w.shape) for w in built.get_weights()])
    return built


@pytest.fixture(scope="module")
def logits(model):
    """What Keras says at each place of the text, which it is told whole: no cache, no program."""
    whole = network.build(SPEC)
    whole.set_weights(model.get_weights())
    return whole(TEXT[None]).numpy()[0]


@pytest.fixture(scope="module")
def write(model, tmp_path_factory):
    """A driver of the file at a scheme."""
    folder = tmp_path_factory.mktemp("programs")

    @functools.cache
    def build(scheme="float32", **options):
        path = folder / f"{scheme}.zip"
        if not path.exists():
            entry = Quantize(model="baseline", scheme=scheme, prefill=[4], room=ROOM)
            path.write_bytes(language.programs_of(model, entry))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NPROC", "1")
            return runner.Model(str(path), {"platform": "cpu", "threads": 1, **options})

    return build


def ask(model, tokens):
    (example,) = model.prepare({"tokens": tokens[None]})
    model.put(example)
    model.invoke()
    return model.floats([model.read()])["logits"][0]


def write_text(model, prompt, new_tokens):
    (example,) = model.prepare({"tokens": prompt[None]})
    return model.decoding(example, new_tokens)


def test_with_caches_it_says_what_keras_does_without(write, logits):
    """Prompts of every length, by one call or several, padded and not; what came before leaves no trace."""
    model = write()
    for n in (ROOM, 1, 7, 4, 13, 15, 2):
        np.testing.assert_allclose(ask(model, TEXT[:n]), logits[n - 1], rtol=0, atol=1e-4)
    decoding = write_text(model, TEXT[:5], 6)
    text = [*TEXT[:5], *model.decoded]
    for _ in range(2):
        for k, example in enumerate(decoding.examples):
            decoding.put(example)
            decoding.invoke()
            following = [*model.decoded, None][k + 1]
            assert following is None or decoding.read()[0].tolist() == [following]
    for n in range(5, len(text)):
        likeliest = int(np.argmax(ask(model, np.array(text[:n]))))
        assert likeliest == text[n]
    assert model.facts()["state_kept"] == "in place"
    assert model.facts()["prompt_calls"] == ["prefill_4 (4 of 4)"] * 2 + ["prefill_4 (2 of 4)"]


def test_many_steps_in_one_call_tell_the_same_tokens(write):
    model = write()
    decoding = write_text(model, TEXT[:5], 8)
    one_by_one = [*model.decoded[1:], int(decoding.read()[0][0])]
    decoding.put(decoding.examples[0])
    steps = model.about["programs"]["generate_32"]["results"][0]
    assert steps == ["tokens", [32, 1], "int32"]
    told = pjrt.read(model.call("generate_32")["tokens"])[:, 0]
    assert told[:8].tolist() == one_by_one


def test_what_is_donated_is_gone_and_nothing_of_it_is_copied(write):
    model = write()
    write_text(model, TEXT[:4], 2)
    before = dict(model.held)
    cache = 2 * len(SPEC.blocks) * 2 * ROOM * 8 * 4
    model.call("decode")
    for name, array in before.items():
        assert array.is_deleted() is (name.startswith("kv_cache") or name in ("token", "position")), name
    program = model.program("decode")
    assert "input_output_alias={ {0}:" in program.hlo_modules()[0].to_string()
    assert program.get_compiled_memory_stats().alias_size_in_bytes >= cache
    assert len(model.about["programs"]["decode"]["donated"]) == 2 + 2 * len(SPEC.blocks)


def test_every_place_of_a_window_is_told_and_the_truth_is_told_as_its_logarithm(write, logits):
    model = write(asked=f"score_{WINDOW}")
    np.testing.assert_allclose(ask(model, TEXT[:WINDOW]), logits[:WINDOW], rtol=0, atol=1e-4)
    targets = TEXT[1 : WINDOW + 1]
    given = model.place(tokens=TEXT[None, :WINDOW], targets=targets[None], start=0)
    found = pjrt.read(model.call(f"score_{WINDOW}", **given)["log_probabilities"])
    exact = logits[:WINDOW].astype(np.float64)
    expected = exact[np.arange(WINDOW), targets] - np.log(np.exp(exact).sum(1))
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-4)


def test_the_file_has_the_weights_once_and_programs_without_any(write, model, tmp_path):
    write()
    path = next(tmp_path.parent.glob("programs*/float32.zip"))
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    tensors = load_file(tmp_path / "weights.safetensors")
    assert sum(tensor.size for tensor in tensors.values()) == model.count_params() + 3 * 32 - 32, "and biases of zero"
    about = json.loads((tmp_path / "lm.json").read_text())
    assert set(about["programs"]) == {"prefill_4", "decode", "generate_32", f"score_{WINDOW}"}
    for program in about["programs"].values():
        assert (tmp_path / program["file"]).stat().st_size < 20_000
        names = [name for name, *_ in program["arguments"]]
        assert set(tensors) <= set(names)
    caches = 2 * len(SPEC.blocks) * 2 * ROOM * 8 * 4
    assert about["bytes_read"] == sum(tensor.nbytes for tensor in tensors.values()) + caches


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (np.zeros((1, 0), np.int32), "an empty prompt"),
        (np.zeros((1, ROOM + 1), np.int32), f"has room for {ROOM} tokens; a prompt has {ROOM + 1}"),
        (np.array([[1, WORDS]]), f"a prompt has the token {WORDS}; the model knows {WORDS}"),
    ],
)
def test_what_does_not_fit_is_refused(write, prompt, told):
    with pytest.raises(RefusedError, match=told):
        write().prepare({"tokens": prompt})
    with pytest.raises(RefusedError, match=f"a prompt of 10 and {ROOM} new ones are more"):
        write_text(write(), TEXT[:10], ROOM)
    with pytest.raises(RefusedError, match=f"it is asked at each place of {WINDOW} tokens; a prompt has {WINDOW - 1}"):
        write(asked=f"score_{WINDOW}").prepare({"tokens": TEXT[None, : WINDOW - 1]})


def test_a_request_with_such_a_prompt_is_answered_in_one_line(write, tmp_path):
    write()
    np.savez(tmp_path / "inputs.npz", tokens=np.array([[1, WORDS]]))
    about = {"action": "predict", "runtime": "pjrt_language", "options": {"platform": "cpu", "threads": 1}}
    given = {"model": next(tmp_path.parent.glob("programs*/float32.zip")), "inputs": tmp_path / "inputs.npz"}
    answer = transport.Local().run(about, given, {"outputs": tmp_path / "outputs.npz"}, timeout_s=60)
    assert (answer.status, answer.reason) == (
        "unsupported", f"a prompt has the token {WORDS}; the model knows {WORDS}, from 0 on",
    )  # fmt: skip


def test_prefills_of_any_lengths_take_every_token_and_stay_in_the_room():
    rng = np.random.default_rng(2)
    for _ in range(300):
        lengths = {f"prefill_{n}": int(n) for n in rng.integers(1, 20, rng.integers(1, 4))}
        room = max(lengths.values()) + int(rng.integers(0, 40))
        n, place = int(rng.integers(1, room + 1)), 0
        for name, first, end in runner.parts(lengths, n, room):
            assert first <= place < end <= min(n, first + lengths[name])
            assert first + lengths[name] <= room
            place = end
        assert place == n


def test_a_model_is_described_without_memory_for_its_weights():
    """By its spec alone: the same arguments, in order, as of a model that has them, and no values."""
    with numberless():
        outline = network.build(SPEC)
    shapes = {name: weight.shape for name, weight in Network(outline, Numbers("bfloat16", 8)).weights.items()}
    real = Network(network.build(SPEC), Numbers("bfloat16", 8))
    assert shapes == {name: weight.shape for name, weight in real.weights.items()}
    assert Network(outline, Numbers()).weights["norm"].value().size == 0
    assert packing.bytes_read(real, 1, ROOM) < packing.bytes_read(Network(outline, Numbers()), 1, ROOM) / 2


def test_activations_of_integers_have_no_such_programs(model):
    with pytest.raises(ConversionError, match="dynamic has no StableHLO of a decoder; float32, float16, int8-weights"):
        language.programs_of(model, Quantize(model="baseline", scheme="dynamic"))


@pytest.mark.slow
@pytest.mark.parametrize("name", checkpoints.names())
def test_every_kind_of_checkpoint_says_what_transformers_does(name, tmp_path):
    """With its weights as arguments, whole, and after a part with a cache token by token."""
    model = load.load(checkpoints.make(tmp_path, name)).model()
    found = Network(model, Numbers())
    weights = {name: tf.constant(weight.value(), weight.dtype) for name, weight in found.weights.items()}
    tokens, expected = tf.constant(checkpoints.TOKENS[None]), checkpoints.logits(name)
    whole, _ = found.run(tokens, tf.range(checkpoints.LENGTH), weights, {})
    np.testing.assert_allclose(whole[0], expected, rtol=0, atol=2e-5)
    caches = {name: tf.zeros(shape) for name, (shape, _) in found.caches(1, 40).items()}
    one, caches = found.run(tokens[:, :20], tf.range(20), weights, caches, pick=tf.constant(18))
    np.testing.assert_allclose(one[0, 0], expected[18], rtol=0, atol=2e-5)
    for place in range(20, 24):
        one, caches = found.run(tokens[:, place : place + 1], tf.constant([place]), weights, caches)
        np.testing.assert_allclose(one[0, 0], expected[place], rtol=0, atol=2e-5)


def test_matrices_each_by_itself_say_what_joined_ones_say():
    one, apart = (Network(network.build(SPEC), Numbers(), joined=joined) for joined in (True, False))
    assert any({"layer_0_query", "layer_0_key"} < set(name.split("+")) for name in one.weights)
    assert not any("+" in name for name in apart.weights)
    values = {name: np.random.default_rng(1).normal(size=each.shape) for name, each in apart.weights.items()}
    joined = {}
    for name in one.weights:  # those of a product that have no bias are given none
        parts, bias = name.removesuffix(".bias").split("+"), ".bias" * name.endswith(".bias")
        joined[name] = np.concatenate([values.get(part + bias, np.zeros(len(values[part]))) for part in parts])
    tokens = tf.constant([TEXT[:7]])
    (a, _), (b, _) = (
        found.run(tokens, tf.range(7), {name: tf.constant(value, tf.float32) for name, value in given.items()}, {})
        for found, given in ((one, joined), (apart, values))
    )
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(np.abs(a).max()))


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "apart"), [("float16", 0.02), ("int8-weights", 0.03), ("int4-weights", 0.4)])
def test_fewer_bits_stay_near(write, logits, scheme, apart):
    model = write(scheme)
    for n in (5, 14):
        off = ask(model, TEXT[:n]) - logits[n - 1]
        assert np.sqrt(np.mean(off**2)) < apart * logits[n - 1].std()
    about = {name: dtype for name, _, dtype in model.about["weights"]}
    assert about["embedding"] == {"float16": "bfloat16", "int8-weights": "int8", "int4-weights": "int4"}[scheme]
    assert pjrt.read(model.held["embedding"]).dtype.name == about["embedding"]


@pytest.mark.slow
def test_blocks_that_share_a_scale_are_nearer_than_whole_rows(model, logits):
    off = {}
    for block in (None, 8):
        found = Network(model, Numbers("float32", 4, block))
        weights = {name: tf.constant(weight.value(), tf.float32) for name, weight in found.weights.items()}
        scores, _ = found.run(tf.constant(TEXT[None]), tf.range(ROOM), weights, {})
        off[block] = np.sqrt(np.mean((scores[0] - logits) ** 2))
    assert off[8] < 0.8 * off[None]


@pytest.mark.slow
def test_it_writes_the_text_that_the_litert_file_writes(write, model, tmp_path):
    entry = Quantize(model="baseline", scheme="float32", prefill=[4], room=ROOM)
    (tmp_path / "model.tflite").write_bytes(language.make(model, entry).content)
    calls = [call.model_dump() for call in signatures.read(tflite.load(tmp_path / "model.tflite"))]
    theirs = litert_runner.Model(
        str(tmp_path / "model.tflite"), {"kernels": "default", "threads": 1, "signatures": calls}
    )
    ours = write()
    for start in range(3):
        prompt = TEXT[start : start + 5]
        write_text(ours, prompt, 10)
        (example,) = theirs.prepare({"tokens": prompt[None]})
        theirs.decoding(example, 10)
        assert ours.decoded == theirs.decoded
    assert len(set(ours.decoded)) > 2


@pytest.mark.slow
def test_a_fresh_prompt_says_the_same_and_cudnn_is_asked_by_name(model, logits):
    from tasks.decoder import attending

    found = Network(model, Numbers())
    weights = {name: tf.constant(weight.value(), weight.dtype) for name, weight in found.weights.items()}
    caches = {name: tf.fill(shape, 9.0) for name, (shape, _) in found.caches(1, ROOM).items()}
    scores, _ = found.run(tf.constant(TEXT[None, :7]), tf.range(7), weights, caches, fresh=True)
    np.testing.assert_allclose(scores[0], logits[:7], rtol=0, atol=1e-4)
    with pytest.raises(ConversionError, match="layer_1_attend: cuDNN's attention takes neither a cap nor a window"):
        programs.prefill(Network(model, Numbers("bfloat16"), attending.by_cudnn), 1, ROOM, 7, fresh=True)
    plain = network.build(dataclasses.replace(SPEC, blocks=SPEC.blocks[:1]), WINDOW)
    text = programs.prefill(Network(plain, Numbers("bfloat16"), attending.by_cudnn), 1, ROOM, 7, fresh=True).content
    assert text.count(b"__cudnn$fmhaSoftmax") == 1, "a string table holds it once"
