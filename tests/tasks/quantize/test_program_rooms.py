"""Programs that read the first places of a decoder's caches alone: a text goes on from one to the next."""

import functools

import numpy as np
import pytest

from tasks.bench import bound, devices
from tasks.bench.answers import Answer
from tasks.bench.kinds import pjrt as kind
from tasks.bench.request import Artifact, Request
from tasks.bench.runner import pjrt
from tasks.bench.runner import pjrt_language as runner
from tasks.decoder import network
from tasks.decoder.portable import Network, Numbers
from tasks.decoder.spec import Block, DecoderSpec
from tasks.files import sha256
from tasks.params import Protocol, Quantize
from tasks.quantize import language, packing, programs
from tasks.records import Latency, Phase, Program
from tasks.records.artifacts import Runnable
from tests.tasks.quantize.test_programs import SPEC, WINDOW, WORDS, ask, write_text

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
SMALL, ROOM, STEPS = 8, 16, 4  # tokens of the smallest room and of the largest, and of a call of `generate`
TEXT = np.random.default_rng(7).integers(0, WORDS, ROOM).astype(np.int32)
PLACE = len(SPEC.blocks) * 2 * SPEC.kv_heads * SPEC.head_width * 4  # bytes that a token leaves


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    built = network.build(SPEC, WINDOW)
    rng = np.random.default_rng(1)
    built.set_weights([rng.normal(w.ndim == 1, 0.2, w.shape) for w in built.get_weights()])
    return built


@pytest.fixture(scope="module")
def say(model):
    """What Keras says at each place of a text, which it is told whole: no cache, no program."""
    whole = network.build(SPEC)
    whole.set_weights(model.get_weights())
    return lambda text: whole(np.array([text])).numpy()[0]


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("rooms") / language.PROGRAMS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "SMALLEST", SMALL)
        patch.setattr(language, "GENERATED", STEPS)
        entry = Quantize(model="baseline", scheme="float32", prefill=[8], room=ROOM)
        path.write_bytes(language.programs_of(model, entry))
    return path


@pytest.fixture(scope="module")
def driver(path):
    """The runner's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPROC", "1")
        return runner.Model(str(path), {"platform": "cpu", "threads": 1})


def test_all_take_the_same_caches_and_each_says_what_it_reads(driver):
    about = driver.about["programs"]
    kinds = ("prefill_8", "decode", f"generate_{STEPS}")
    named = {(name, room): name if room == ROOM else f"room_{room}_{name}" for name in kinds for room in (SMALL, ROOM)}
    assert set(about) == {*named.values(), f"score_{WINDOW}"}
    weights = about[f"score_{WINDOW}"]["bytes_read"]
    assert weights == sum(4 * np.prod(shape) for _, shape, _ in driver.about["weights"])
    for (_, room), name in named.items():
        caches = {(shape[2], argument) for argument, shape, _ in about[name]["arguments"] if argument.startswith("kv")}
        assert {places for places, _ in caches} == {ROOM}
        assert len(about[name]["donated"]) >= len(caches)
        assert about[name]["bytes_read"] - weights == room * PLACE


def test_a_text_goes_on_from_room_to_room_and_says_what_keras_does_without_caches(driver, say):
    logits = say(TEXT)
    for n in (1, 7, SMALL, SMALL + 1, 15, ROOM):
        np.testing.assert_allclose(ask(driver, TEXT[:n]), logits[n - 1], rtol=0, atol=1e-4)
    for first in (1, 6, SMALL):
        decoding = write_text(driver, TEXT[:first], ROOM - first)
        text = [*TEXT[:first], *driver.decoded]
        logits = say(text)
        assert driver.decoded == logits[first - 1 : -1].argmax(axis=1).tolist()
        following = []  # a round begins behind the prompt again, in its room
        for example in decoding.examples:
            decoding.put(example)
            decoding.invoke()
            following += decoding.read()[0].tolist()
        assert following == logits[first:].argmax(axis=1).tolist()
    assert driver.facts()["state_kept"] == "in place"


def test_the_record_says_which_room_took_what(driver):
    write_text(driver, TEXT[:6], 9)
    facts = driver.facts()
    assert facts["prompt_calls"] == ["room_8_prefill_8 (6 of 8)"]
    assert facts["decode_calls"] == ["room_8_decode (2)", "decode (7)"]
    assert facts["state_bytes"] == ROOM * PLACE


def test_many_steps_in_one_call_tell_the_same_within_a_room(driver):
    decoding = write_text(driver, TEXT[:3], 3 + STEPS)
    told = driver.decoded[1 : 1 + STEPS]
    decoding.put(decoding.examples[0])
    name = driver.at(f"generate_{STEPS}", 3 + STEPS)
    assert name == f"room_8_generate_{STEPS}"
    assert pjrt.read(driver.call(name)["tokens"])[:, 0].tolist() == told


ONE = DecoderSpec(
    vocabulary=64, width=32, hidden=32, heads=4, kv_heads=2, head_width=16, room=4096, attention_scale=0.25, tied=True,
    blocks=(Block((1.0, 0.1)),),
)  # fmt: skip


def test_what_a_token_moves_follows_the_places_that_it_reads():
    """As XLA counts the bytes that the compiled program moves: those of any allocation, where 256 places are read."""
    decoder, reached = Network(network.build(ONE, 8), Numbers()), pjrt.Reached("cpu", 1)

    @functools.cache
    def moves(room, seen):
        program = reached.compiled(programs.decode(decoder, 1, room, seen).content)
        return program.cost_analysis()["bytes accessed"]

    assert moves(4096, 256) == pytest.approx(moves(2048, 256), rel=0.01)
    assert moves(2048, 256) < 1.1 * moves(256, 256)
    assert moves(2048, 2048) > 4 * moves(2048, 256)
    told = [packing.bytes_read(decoder, 1, seen) for seen in (256, 2048)]
    assert moves(2048, 2048) - moves(2048, 256) > told[1] - told[0], "what is told to be read is moved at least"


class Memory:
    """Says how fast it is."""

    def run(self, *_, **__):
        return Answer("ok", None, {}, read_gb_s=1.0)


def test_what_limits_a_token_is_told_by_the_program_that_ran(path, driver, tmp_path):
    """Two tokens, and eight behind them: the middle one is the seventh, which stands in the room of 8."""
    told = Program(file=path.name, sha256=sha256(path), bytes=1, inputs=(), outputs=())
    one = Artifact(Runnable(variant="v", scheme="float32", sha256="", stablehlo=told), path.parent / "model.tflite")
    asked = Request(
        one, one, devices.load("host-cpu-pjrt"), Protocol(mode="quick", new_tokens=8), tmp_path / "inputs.npz"
    )
    phases = {
        "prefill": Phase(unit="token", volume=2),
        "decode": Phase(unit="token", latency=Latency(provenance="measured", ms_p50=1.0)),
    }
    found = bound.told(asked, kind.setup(asked.device, Memory()), phases)["decode"].details
    weights = sum(4 * np.prod(shape) for _, shape, _ in driver.about["weights"])
    assert found["bytes_read"] == weights + SMALL * PLACE
    assert found["read_gb_s"] == pytest.approx(found["bytes_read"] / 1e6)
