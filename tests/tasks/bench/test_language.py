"""What keeps a state from call to call is driven as LiteRT-LM drives it, and says what numpy says of the same text."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices, predict, transport, writing
from tasks.bench.answers import Answer
from tasks.bench.kinds import roofline, ssh
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.runner import language as runner
from tasks.errors import DeviceError, UnsupportedError
from tasks.formats import cost, tflite
from tasks.params import Protocol
from tasks.quantize import signatures
from tests.language import PLACES, PROMPT, WIDTH, WORDS, scores_by_hand, text_by_hand

Build = Callable[..., dict[str, Any]]
KINDS = ["attending", "decaying"]
PROMPTS = np.random.default_rng(3).integers(0, WORDS, (4, PROMPT))


@pytest.fixture
def asks(language_models: dict[str, Path], request_of: Build) -> Build:
    """A request about a model of a kind."""

    def build(kind: str, action: str, prompts: np.ndarray = PROMPTS, in_place: bool | None = None, **more: Any) -> Any:
        calls = [call.model_dump() for call in signatures.read(tflite.load(language_models[kind]))]
        if in_place is not None:
            calls = [call | {"in_place": in_place} for call in calls]
        options = {"kernels": more.pop("kernels", "default"), "threads": 1, "signatures": calls}
        fields = {
            "model": str(language_models[kind]),
            "runtime": "language",
            "options": options,
            "scenario": "generate",
        }
        return request_of(kind, action, {"tokens": prompts}, **fields, new_tokens=6, **more)

    return build


def own(path: Path, described: Callable[[str], Artifact]) -> Artifact:
    """A file of several signatures, with its card."""
    calls = signatures.read(tflite.load(path))
    tokens, scores = signatures.language("own", calls)
    update = {"variant": "own", "inputs": (tokens,), "outputs": (scores,), "signatures": calls}
    return Artifact(described("float32").card.model_copy(update=update), path)


def run(request: dict[str, Any]) -> Answer:
    return transport.Local().run(request, {"model": Path(request["model"])}, {}, timeout_s=60)


@pytest.mark.parametrize("kernels", ["default", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_after_a_prompt_are_those_by_hand(asks: Build, kind: str, kernels: str) -> None:
    request = asks(kind, "predict", kernels=kernels)
    assert run(request).status == "ok"
    with np.load(request["outputs"]) as found:
        expected = [scores_by_hand(kind, prompt) for prompt in PROMPTS]
        np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("kind", "in_place"), [("attending", None), ("attending", False), ("decaying", None)])
def test_the_text_that_is_decoded_is_the_one_by_hand(asks: Build, kind: str, in_place: bool | None) -> None:
    """Each token hangs from all before it, by the state alone: a state that is lost, or old, gives another text."""
    answer = run(asks(kind, "time", in_place=in_place))
    expected = text_by_hand(kind, PROMPTS[0], 6)
    assert answer.facts["decoded"] == expected
    kept = "in place" if kind == "attending" and in_place is None else "in two sets of buffers, by turns"
    assert answer.facts["state_kept"] == kept
    assert len(set(expected)) > 1
    forgetful = [int(np.argmax(scores_by_hand(kind, [token]))) for token in [PROMPTS[0][-1], *expected[:-1]]]
    assert forgetful != expected, "a model without a state would say the same, so this test would say nothing"


def test_each_phase_has_its_own_window_samples_and_unit(asks: Build) -> None:
    request = asks("attending", "time", min_runs=20, window_s=0.02)
    timing = run(request).timing
    assert timing
    assert list(timing.phases) == ["prefill", "decode"]
    prefill, decode = timing.phases["prefill"], timing.phases["decode"]
    assert (prefill.unit, prefill.volume, prefill.period) == ("token", PROMPT, 1)
    assert (decode.unit, decode.volume, decode.period) == ("token", 1, 6)
    assert prefill.runs >= 20 / PROMPT
    assert decode.runs >= 20
    assert decode.runs % 6 == 0, "whole rounds: the same work in every window"
    assert prefill.energy.window != decode.energy.window
    with np.load(request["samples"]) as samples:
        assert {name: len(samples[name]) for name in samples.files} == {"prefill": prefill.runs, "decode": decode.runs}
        assert samples["prefill"].sum() / 1e9 == pytest.approx(prefill.busy_s)


@pytest.mark.parametrize("kind", KINDS)
def test_every_round_is_the_same_text_with_the_scores_by_hand(language_models: dict[str, Path], kind: str) -> None:
    """The state that the prompt has left is put back before each; what was decoded since leaves no trace."""
    calls = [call.model_dump() for call in signatures.read(tflite.load(language_models[kind]))]
    model = runner.Model(str(language_models[kind]), {"kernels": "default", "threads": 1, "signatures": calls})
    prompt, other, *_ = model.prepare({"tokens": PROMPTS})
    decoding = runner.Decoding(model, prompt, 4)
    for _ in range(2):
        for k, token in enumerate(decoding.examples):
            decoding.put(token)
            decoding.invoke()
            expected = scores_by_hand(kind, [*PROMPTS[0], *decoding.tokens[: k + 1]])
            np.testing.assert_allclose(decoding.read()[0], expected, rtol=0, atol=2e-5)
        model.put(other)
        model.invoke()
        np.testing.assert_allclose(model.read()[0], scores_by_hand(kind, PROMPTS[1]), rtol=0, atol=2e-5)


@pytest.mark.parametrize("n", [1, 3, 2 * PROMPT])
def test_a_prompt_is_taken_in_by_as_many_calls_as_it_needs(asks: Build, n: int) -> None:
    prompts = np.concatenate([PROMPTS, PROMPTS[::-1]], axis=1)[:, :n]
    request = asks("attending", "predict", prompts)
    run(request)
    with np.load(request["outputs"]) as found:
        expected = [scores_by_hand("attending", prompt) for prompt in prompts]
        np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=2e-5)


def test_what_does_not_fit_is_refused_by_name(asks: Build) -> None:
    answer = run(asks("attending", "predict", np.concatenate([PROMPTS] * 3, axis=1)))
    assert (answer.status, answer.reason) == ("unsupported", "its state has room for 12 tokens; a prompt has 15")
    answer = run(asks("attending", "predict", PROMPTS[:, :0]))
    assert answer.status == "unsupported"
    assert answer.reason == "an empty prompt; one token at least is needed, behind which the next one is told"
    answer = run(asks("attending", "predict", PROMPTS + WORDS))
    assert answer.reason == f"a prompt has the token {PROMPTS[0, 0] + WORDS}; the model knows {WORDS}, from 0 on"
    answer = run(asks("attending", "time", np.concatenate([PROMPTS, PROMPTS], axis=1)))
    assert answer.status == "unsupported"
    assert answer.reason == "its state has room for 12 tokens; a prompt of 10 and 6 new ones are more"
    with pytest.raises(DeviceError, match="KeyError"):
        run({**asks("attending", "time"), "scenario": "serve"})


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_behind_a_text_is_what_is_likeliest_by_hand(
    language_models: dict[str, Path], described: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Behind as much of the text as leaves room for it, where the file says how much it has."""
    monkeypatch.setattr(writing, "NEW_TOKENS", 7)
    one, text = own(language_models[kind], described), np.concatenate(PROMPTS)
    prompt = writing.fits(one, text)
    assert prompt.tolist() == (text[-(PLACES - 7) :] if kind == "attending" else text).tolist()
    assert writing.written(one, prompt, predict.litert()) == tuple(text_by_hand(kind, prompt.tolist(), 7))
    assert writing.fits(one, text[:2]).tolist() == text[:2].tolist()
    monkeypatch.setattr(writing, "NEW_TOKENS", PLACES)
    assert len(writing.fits(one, text)) == (0 if kind == "attending" else len(text))


def test_a_datasheet_predicts_a_prompt_and_a_token(
    language_models: dict[str, Path], described: Callable[[str], Artifact], tmp_path: Path
) -> None:
    one = own(language_models["attending"], described)
    np.savez(tmp_path / "inputs.npz", tokens=PROMPTS)
    device = devices.load("roofline-raspberry-pi-5")
    measured = roofline.measure(Request(one, one, device, Protocol(mode="quick"), tmp_path / "inputs.npz")).measurement
    prefill, decode = measured.phases["prefill"], measured.phases["decode"]
    assert (prefill.unit, prefill.volume, decode.volume) == ("token", PROMPT, 1)
    # scores over all places, what they weigh, and a score of each word behind the last token
    assert measured.details["macs"] == 2 * PLACES * WIDTH + WIDTH * WORDS
    assert prefill.latency
    assert decode.latency
    assert decode.latency.ms_low
    assert prefill.latency.ms_low
    assert 1 < prefill.latency.ms_low / decode.latency.ms_low < PROMPT
    assert re.fullmatch(r"the peaks: a token reads \S+ GB, those that are .*", measured.details["estimated_from"])


def test_a_token_that_reads_as_much_as_published_ones_takes_what_they_do(
    language_models: dict[str, Path],
    described: Callable[[str], Artifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0.398 GB and 38.8 ms of llama.cpp on a Raspberry Pi 5, at 6.7 W."""
    monkeypatch.setattr(cost, "reads", lambda *_: 398_000_000)
    one = own(language_models["attending"], described)
    np.savez(tmp_path / "inputs.npz", tokens=PROMPTS)
    device = devices.load("roofline-raspberry-pi-5")
    measured = roofline.measure(Request(one, one, device, Protocol(mode="quick"), tmp_path / "inputs.npz")).measurement
    assert measured.latency
    assert measured.latency.ms_low
    assert measured.latency.ms_high
    assert measured.latency.ms_low < 38.8 < measured.latency.ms_high < 60
    assert measured.latency.judged
    assert (
        measured.latency.fitted_to == measured.details["estimated_from"] == "5 figures of llama-cpp on raspberry-pi-5"
    )
    assert measured.energy.kind == "estimate_published"
    assert measured.energy.mj == pytest.approx(258.5, rel=0.2)
    assert measured.energy.judged
    for board in ("raspberry-pi-4", None):  # of which no token is published
        other = device.model_copy(update={"board": board})
        predicted = roofline.measure(Request(one, one, other, Protocol(mode="quick"), tmp_path / "inputs.npz"))
        assert predicted.measurement.energy.kind == "estimate_datasheet"
        assert predicted.measurement.details["estimated_from"] == (
            f"the peaks: tokens by llama-cpp are published on raspberry-pi-5 alone, not on {board or 'its board'}"
        )


@pytest.mark.slow
@pytest.mark.usefixtures("crowded")
def test_another_machine_says_the_same_text(
    board: Any, language_models: dict[str, Path], described: Callable[[str], Artifact], tmp_path: Path
) -> None:
    one, device = own(language_models["attending"], described), devices.load("board")
    np.savez(tmp_path / "inputs.npz", tokens=PROMPTS)
    protocol = Protocol(mode="quick", windows=1, window_s=0.02, new_tokens=6)
    splits: dict[Any, Any] = {"test": Questions(tmp_path / "inputs.npz")}
    result = ssh.measure(Request(one, one, device, protocol, tmp_path / "inputs.npz", splits))
    assert result.measurement.details["decoded"] == text_by_hand("attending", PROMPTS[0], 6)
    assert list(result.measurement.phases) == ["prefill", "decode"]
    expected = [scores_by_hand("attending", prompt) for prompt in PROMPTS]
    np.testing.assert_allclose(result.kept["test"].values, expected, rtol=0, atol=2e-5)
    other = device.model_copy(update={"runtime": "onnxruntime"})
    with pytest.raises(
        UnsupportedError, match=r"own: a file that keeps a state from call to call, .* LiteRT and PJRT alone"
    ):
        ssh.measure(Request(one, one, other, protocol, tmp_path / "inputs.npz", splits))
