"""Smaller caches in the file of a decoder: a text begins in the smallest, grows out of it, and says the same."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.bench import bound, devices
from tasks.bench.answers import Answer
from tasks.bench.kinds import litert, roofline
from tasks.bench.request import Artifact, Request
from tasks.formats import cost, tflite
from tasks.params import Protocol
from tasks.quantize import language, signatures
from tasks.records import Latency, Phase
from tasks.records.artifacts import Runnable
from tests import decoders
from tests.decoders import PREFILL, TEXT, WINDOW, entry

pytest.importorskip("tf_keras", reason="the training stack is not installed")
SMALL = 8  # tokens that the smallest room holds, of 32
CACHES = ("kv_cache_k_0", "kv_cache_v_0")


@pytest.fixture(scope="module")
def model():
    return decoders.built()


@pytest.fixture(scope="module")
def in_rooms(model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "SMALLEST", SMALL)
        made = language.make(model, entry(prefill=PREFILL, room=32)).content
    path = tmp_path_factory.mktemp("rooms") / "model.tflite"
    path.write_bytes(made)
    return path


@pytest.fixture(scope="module")
def roomy(in_rooms):
    return decoders.driver(in_rooms)


def test_smaller_rooms_have_names_of_their_own_and_all_read_the_same_weights(in_rooms, model):
    file = tflite.load(in_rooms)
    rooms = {
        found.name: {file.graphs[found.graph].tensors[i].shape[2] for name, i in found.inputs.items() if "kv" in name}
        for found in file.signatures
    }
    whole = {"decode": {32}, "prefill_4": {32}, "prefill_8": {32}, f"score_{WINDOW}": {16}}
    smaller = {f"room_{r}_{name}": {r} for r in (8, 16) for name in ("decode", "prefill_4", "prefill_8")}
    assert rooms == whole | smaller, "LiteRT-LM takes what begins with prefill and decode, and no other"
    signatures.language("decoder", signatures.read(file))
    stored = [len(buffer.data) for buffer in tflite.objects(in_rooms.read_bytes()).buffers if buffer.data is not None]
    kernels = [matrix.nbytes for matrix in decoders.matrices(model)]
    assert sorted(size for size in stored if size >= min(kernels)) == sorted(kernels)


def test_a_text_that_outgrows_its_room_goes_on_in_the_next(roomy, in_rooms, model):
    """Over each border, by every way to it: the scores of Keras without caches, and the tokens of a single room."""
    logits, whole = decoders.logits(model), decoders.driver(in_rooms, whole=True)
    for n in (1, 5, SMALL, SMALL + 1, 16, 17, len(TEXT)):
        (prompt,) = roomy.prepare({"tokens": TEXT[None, :n]})
        roomy.put(prompt)
        roomy.invoke()
        np.testing.assert_allclose(roomy.read()[0], logits[n - 1], rtol=0, atol=1e-4)
    for first in (1, 6, SMALL, 13):
        told = {}
        for name, driver in (("rooms", roomy), ("one", whole)):
            (prompt,) = driver.prepare({"tokens": TEXT[None, :first]})
            told[name] = driver.decoding(prompt, 32 - first)
        assert told["rooms"].tokens == told["one"].tokens
        for _ in range(2):  # a round begins in the prompt's room again
            for one, other in zip(told["rooms"].examples, told["one"].examples, strict=True):
                found = []
                for decoding, token in ((told["rooms"], one), (told["one"], other)):
                    decoding.put(token)
                    decoding.invoke()
                    found.append(decoding.read()[0])
                np.testing.assert_allclose(*found, rtol=0, atol=1e-4)


def test_the_record_says_which_room_took_what(roomy):
    (prompt,) = roomy.prepare({"tokens": TEXT[None, :6]})
    roomy.decoding(prompt, 12)
    facts = roomy.facts()
    assert facts["state_kept"] == "in place"
    assert facts["prompt_calls"] == ["room_8_prefill_8 (5 of 8)", "room_8_decode (1 of 1)"]
    assert facts["decode_calls"] == ["room_8_decode (2)", "room_16_decode (8)", "decode (2)"]


def test_a_token_reads_the_room_that_it_stands_in(in_rooms):
    """Counted by the file: all that differs between rooms are the caches, of two kinds and two heads of 16."""
    reads = [cost.reads(in_rooms, name, CACHES) for name in ("room_8_decode", "room_16_decode", "decode")]
    places = 4 * (2 * 2 * 16 + 1)  # what a place is read by: its keys and values, and its number in the mask
    assert np.diff(reads).tolist() == [8 * places, 16 * places]


class Memory:
    """Says how fast it is."""

    def run(self, *_, **__):
        return Answer("ok", None, {}, read_gb_s=1.0)


def test_what_limits_a_token_is_told_of_the_middle_one(in_rooms, model, tmp_path):
    """Six tokens, and twelve behind them: the middle one is the thirteenth, which stands in the room of 16."""
    graph, calls, _ = language.described(in_rooms.read_bytes(), model)
    card = Runnable(
        variant="v", scheme="float32", sha256="", inputs=graph.inputs, outputs=graph.outputs, signatures=calls
    )
    one = Artifact(card, in_rooms)
    np.savez(tmp_path / "inputs.npz", tokens=TEXT[None, :6])
    asked = Request(one, one, devices.load("host-cpu"), Protocol(mode="quick", new_tokens=12), tmp_path / "inputs.npz")
    phases = {
        "prefill": Phase(unit="token", volume=6),
        "decode": Phase(unit="token", latency=Latency(provenance="measured", ms_p50=1.0)),
    }
    told = bound.told(asked, litert.setup(asked.device, Memory()), phases)["decode"].details
    assert told["bytes_read"] == cost.reads(in_rooms, "room_16_decode", CACHES)
    predicted = roofline.measure(replace(asked, device=devices.load("roofline-raspberry-pi-5"))).measurement
    peaks, used = devices.load("roofline-raspberry-pi-5"), "float32"
    expected = roofline.predict(roofline.costs(cost.read(in_rooms, "room_16_decode"), peaks, used), peaks)
    assert predicted.phases["decode"].latency == expected


@pytest.mark.parametrize(
    ("lengths", "room", "found"),
    [
        ((16, 128), 256, [256]),
        ((16, 128), 384, [384]),
        ((16, 128), 640, [256, 640]),
        ((16, 128), 2048, [256, 512, 1024, 2048]),
        ((64, 1024), 2048, [256, 512, 1024, 2048]),
        ((100,), 1200, [300, 600, 1200]),
        ((512,), 1024, [512, 1024]),
    ],
)
def test_rooms_double_up_to_the_whole(lengths, room, found):
    assert language.rooms(lengths, room) == found
    calls = language.calls(lengths, room, 128)
    for r in found[:-1]:
        assert f"room_{r}_decode" in calls
        assert any(name.startswith(f"room_{r}_prefill") for name in calls), "a prompt is not taken token by token"
    assert all(r % n == 0 for n, r in calls.values() if n > 1 and n != 128)
