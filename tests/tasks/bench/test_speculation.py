"""Speculation writes what the target writes alone, whatever a draft proposes, and says what it cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.bench import speculation
from tasks.bench.request import Artifact
from tasks.bench.runner import language as runner
from tasks.bench.runner import scenarios
from tasks.bench.runner.arrays import RefusedError
from tasks.decoder import network
from tasks.examples import Arrays
from tasks.formats import tflite
from tasks.params import Protocol
from tasks.quantize import language, signatures
from tasks.records.artifacts import Runnable
from tests import decoders

pytest.importorskip("tf_keras", reason="the training stack is not installed")
START, COUNT, ROOM = 7, 14, 32
PROMPTS = np.random.default_rng(4).integers(0, decoders.WORDS, (2, START)).astype(np.int32)


class Turncoat(runner.Model):
    """As a draft of the option `wrong` it proposes what is the least likely, so what the target never writes."""

    def __init__(self, path, options):
        self.sign = -1 if options.pop("wrong", False) else 1
        super().__init__(path, options)

    def telling(self, signature, place):
        call, read = super().telling(signature, place)
        return call, lambda n: self.sign * read(n)


@pytest.fixture(scope="module")
def model():
    return decoders.built()


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """The target, in rooms of 8, 16 and 32, and the same one in 8 bits, which writes nearly as it does."""
    folder = tmp_path_factory.mktemp("speculation")
    entry = decoders.entry(prefill=(4,), room=ROOM, verify=(2, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "SMALLEST", 8)
        content = language.make(model, entry).content
    (folder / "target.tflite").write_bytes(content)
    (folder / "dynamic.tflite").write_bytes(language.quantized(content, decoders.entry("dynamic"), model))
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def greedy(model):
    """What Keras writes behind the prompts, told the whole text for each token: the first one is the prompt's own."""
    whole = network.build(decoders.SPEC)
    whole.set_weights(model.get_weights())
    text = PROMPTS
    for _ in range(COUNT + 1):
        text = np.concatenate([text, whole(text).numpy()[:, -1:].argmax(axis=2)], axis=1)
    return text[:, START:].tolist()


def options(path, **more):
    calls = [call.model_dump() for call in signatures.read(tflite.load(path))]
    return {"kernels": "default", "threads": 1, "signatures": calls, **more}


def phases(target, draft, ahead, count=COUNT, **more):
    made = Turncoat(str(target), options(target))
    request = {
        "prompts": len(PROMPTS), "ahead": ahead, "new_tokens": count, "turned": False, "draft": str(draft),
        "draft_options": options(draft, **more),
    }  # fmt: skip
    return made, scenarios.speculate(made, made.prepare({"tokens": PROMPTS}), request)


def written(phase):
    """Every text of a phase, as a window runs it."""
    found = []
    for example in phase.examples:
        phase.driven.put(example)
        phase.driven.invoke()
        found.append(phase.driven.text)
    return found


def test_a_file_judges_as_many_tokens_as_are_asked_for(files, model):
    file = tflite.load(files["target"])
    found = {s.name: file.graphs[s.graph] for s in file.signatures if "verify" in s.name}
    assert set(found) == {f"{room}verify_{n}" for room in ("", "room_8_", "room_16_") for n in (2, 4)}
    stored = [
        len(buffer.data) for buffer in tflite.objects(files["target"].read_bytes()).buffers if buffer.data is not None
    ]
    kernels = [matrix.nbytes for matrix in decoders.matrices(model)]
    assert sorted(size for size in stored if size >= min(kernels)) == sorted(kernels), "no weight is stored again"
    assert all(call.in_place for call in signatures.read(file))


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_draft_that_is_the_target_is_always_right(files, greedy, ahead):
    made, found = phases(files["target"], files["target"], ahead)
    assert written(found["plain"]) == written(found["speculated"]) == greedy
    told = made.facts()["speculation"]
    assert told["accepted"] == told["proposed"] > 0
    assert told["calls"] == 2 * len(PROMPTS) * -(-COUNT // (ahead + 1)), "twice each: before any clock, and here"
    assert (told["wrong"], told["texts"]) == (None, greedy)


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_draft_that_is_always_wrong_changes_nothing(files, greedy, ahead):
    made, found = phases(files["target"], files["target"], ahead, wrong=True)
    assert written(found["speculated"]) == greedy
    told = made.facts()["speculation"]
    assert (told["accepted"], told["wrong"]) == (0, None)
    assert told["calls"] == 2 * len(PROMPTS) * COUNT
    assert told["proposed"] == 2 * len(PROMPTS) * sum(min(ahead, left - 1) for left in range(1, COUNT + 1))


def test_a_draft_of_8_bits_is_right_now_and_then(files, greedy):
    made, found = phases(files["target"], files["dynamic"], 3)
    assert written(found["speculated"]) == greedy
    assert written(found["plain"]) == greedy, "both go on from the same state, whoever ran before"
    told = made.facts()["speculation"]
    assert 0 < told["accepted"] < told["proposed"]
    assert {phase.volume for phase in found.values()} == {COUNT}


def test_a_text_that_is_not_the_targets_own_is_told(files):
    made, found = phases(files["target"], files["target"], 3)
    own = found["plain"].driven.text[5]
    found["speculated"].driven.expected[1][5] = own + 1
    written(found["speculated"])
    assert made.facts()["speculation"]["wrong"] == f"prompt 1, token 5: {own}; alone {own + 1}"


def test_what_cannot_go_together_is_refused(files, tmp_path):
    with pytest.raises(RefusedError, match=r"no signature verify_6: see `quantize.<variant>.verify`; the file has "):
        phases(files["target"], files["target"], 5)
    with pytest.raises(RefusedError, match="its state has room for 32 tokens; a prompt of 7, 25 new ones and 1 that"):
        phases(files["target"], files["target"], 1, count=25)
    other = network.build(replace(decoders.SPEC, vocabulary=16), decoders.WINDOW)
    (tmp_path / "other.tflite").write_bytes(language.make(other, decoders.entry(prefill=(4,), room=ROOM)).content)
    with pytest.raises(RefusedError, match="the draft knows 16 tokens, and what it writes for 256"):
        phases(files["target"], tmp_path / "other.tflite", 1)


def artifact(path):
    calls = signatures.read(tflite.load(path))
    tokens, scores = signatures.language(path.stem, calls)
    card = Runnable(
        variant=path.stem, scheme="float32", sha256="0" * 64, inputs=(tokens,), outputs=(scores,), signatures=calls
    )
    return Artifact(card, Path(path))


def lowest(shot):
    """Of each prompt the lowest of either phase, the mean over prompts: of as many texts, those at the same moments."""
    samples = {name: shot.phases[name].samples.tolist() for name in ("speculated", "plain")}
    n, least = len(PROMPTS), min(map(len, samples.values()))
    found = []
    for own in samples.values():
        texts = [[] for _ in range(n)]
        for moment in range(least):
            round_, prompt = moment * (len(own) // n) // least, moment % n
            texts[prompt].append(own[round_ * n + prompt])
        found.append(sum(map(min, texts)) / n)
    return found


def test_a_record_says_what_both_cost(files, greedy, project, monkeypatch):
    monkeypatch.setattr(speculation.shots, "STARVED", 0.0)  # beside other tests a window may have hardly any processor
    monkeypatch.setattr(speculation.dataset, "load", lambda split, count: Arrays({"text": PROMPTS}, {}))
    protocol = Protocol(mode="quick", windows=2, window_s=0.02, new_tokens=COUNT)
    target, draft, taken, real = artifact(files["target"]), artifact(files["dynamic"]), [], speculation.timed.shot
    monkeypatch.setattr(speculation.timed, "shot", lambda *args, **more: taken.append(real(*args, **more)) or taken[-1])
    found = speculation.measure(target, draft, "host-cpu", protocol, 3)
    assert (found.status, found.prompts, found.target, found.draft) == ("ok", 2, "target", "dynamic"), found.reason
    assert 0 < found.acceptance < 1
    for phase in (found.plain, found.speculated):
        assert (phase.unit, phase.volume, len(phase.windows)) == ("token", COUNT, 2)
        assert phase.energy.kind != "none"
        assert phase.energy.mj > 0
    assert [list(shot.phases) for shot in taken] == [["plain", "speculated"], ["speculated", "plain"]], "by turns"
    ratios = [np.divide(*lowest(shot)) for shot in taken]
    assert found.ratio.value == pytest.approx(np.exp(np.log(ratios).mean())), "the median of two pairs"
    assert found.ratio.kind == "range"
    assert found.pays is None, "two windows cannot tell"
    other = speculation.measure(target, draft, "roofline-raspberry-pi-5", protocol, 3)
    assert (other.status, other.reason) == ("unsupported", speculation.NOT_ABLE)
    refused = speculation.measure(target, draft, "host-cpu", protocol, 5)
    assert refused.status == "unsupported"
    assert "no signature verify_6" in refused.reason


def test_another_text_than_the_targets_makes_no_figures(files, project, monkeypatch):
    monkeypatch.setattr(speculation.dataset, "load", lambda split, count: Arrays({"text": PROMPTS}, {}))
    real, wrong = speculation.timed.shot, "prompt 0, token 3: 1; alone 2"

    def other(*args, **more):
        found = real(*args, **more)
        facts = {"speculation": {**found.answer.facts["speculation"], "wrong": wrong}}
        return replace(found, answer=replace(found.answer, facts=facts))

    monkeypatch.setattr(speculation.timed, "shot", other)
    protocol = Protocol(mode="quick", windows=1, window_s=0.02, new_tokens=COUNT)
    pair = artifact(files["target"]), artifact(files["dynamic"])
    found = speculation.measure(*pair, "host-cpu", protocol, 3)
    assert found.status == "invalid"
    assert found.reason == f"the text is not the one that target writes alone: {wrong}"
    monkeypatch.setattr(speculation.timed, "shot", real)
    monkeypatch.setattr(speculation.shots, "STARVED", 99.0)  # processors, more than there are
    assert speculation.measure(*pair, "host-cpu", protocol, 3).reason.endswith(
        "the machine is too busy: once it is quiet, `tercet speculate target dynamic` measures again"
    )
