"""Files that keep a state go through every stage as they are, and are measured, shown and sent phase by phase."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.views import table
from tasks import paths
from tasks.bench import writing
from tasks.bench.request import made_in
from tasks.examples import dataset
from tasks.params import Params
from tasks.records import ArtifactCard, Comparison, Evaluation, Measurement, read
from tasks.report import page
from tasks.stages import evaluate as stage
from tasks.stages.benchmark import benchmark
from tasks.stages.compress import compress
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.report import report
from tasks.stages.train import train
from tasks.track import contents
from tests import language
from tests.language import PROMPT, WORDS, scores_by_hand, text_by_hand

ROOT = Path(__file__).resolve().parents[3]
LABELLED = 60  # prompts, of which each fourth is followed by something else than the model says
DEVICES = ("host-cpu", "host-cpu-onnxruntime", "roofline-raspberry-pi-5")
VARIANTS = {"attending": "baseline", "decaying": "theirs"}


def prompts() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, WORDS, (LABELLED, PROMPT))
    tokens[:WORDS, -1] = np.arange(WORDS)
    labels = np.array([np.argmax(scores_by_hand("attending", prompt)) for prompt in tokens])
    labels[::4] = np.arange(len(labels[::4])) % WORDS  # and every word is there
    return tokens, labels


@pytest.fixture(scope="module")
def run(language_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Params]:
    """A project in which all stages have run, as the working directory of the module."""
    root = tmp_path_factory.mktemp("project")
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    shutil.copytree(ROOT / paths.DEVICES, paths.DEVICES)
    for kind, path in language_models.items():
        shutil.copy(path, f"{kind}.tflite")
    tokens, labels = prompts()
    Path("texts").mkdir()
    np.savez("texts/train.npz", **{"inputs.tokens": tokens.astype(np.int32), "targets.label": labels})
    params = Params.model_validate(
        {
            "name": "texts",
            "prepare": {"source": "npz", "path": "texts"},
            "model": {"family": "file", "source": "attending.tflite"},
            "train": {"epochs": 0},
            "compress": {"theirs": {"method": "external", "parent": "baseline", "source": "decaying.tflite"}},
            "quantize": {variant: {"model": model, "scheme": "as-is"} for variant, model in VARIANTS.items()},
            "benchmark": {
                "reference": "attending", "devices": DEVICES,
                "protocol": {"mode": "quick", "windows": 2, "window_s": 0.02, "new_tokens": 6},
            },
            "bundle": {},
        }
    )  # fmt: skip
    prepare(params)
    train(params)
    compress(params, "theirs")
    for variant in VARIANTS:
        quantize(params, variant)
        evaluate(params, variant)
        for device in DEVICES:
            benchmark(params, variant, device)
    report(params)
    yield params
    patch.undo()


def record(variant: str, device: str = "host-cpu") -> Measurement:
    return read(Measurement, paths.benchmark(variant, device))


@pytest.mark.usefixtures("run")
def test_the_card_has_every_signature_and_its_state() -> None:
    card = read(ArtifactCard, paths.artifact("attending") / "card.json")
    calls = {call.name: call for call in card.signatures}
    assert set(calls) == {"prefill", "decode"}
    for call in calls.values():
        assert call.state == {"cache": "cache"}
        assert (call.in_place, call.places) == (True, language.PLACES)
        length = 1 if call.name == "decode" else PROMPT
        shapes = {"tokens": (1, length), "input_pos": (length,), "cache": (1, language.PLACES, language.WIDTH)}
        assert {tensor.name: tensor.shape for tensor in call.inputs} == shapes
    assert [tensor.shape for tensor in card.inputs] == [(PROMPT,)]
    assert [tensor.shape for tensor in card.outputs] == [(WORDS,)]
    other = read(ArtifactCard, paths.artifact("decaying") / "card.json")
    assert [(call.in_place, call.places) for call in other.signatures] == [(False, None)] * 2


@pytest.mark.usefixtures("run")
def test_its_quality_is_that_of_the_token_after_the_prompt() -> None:
    scores = read(Evaluation, paths.evaluation("attending")).scores
    for score in scores:
        tokens = np.load(paths.DATA / score.split / "inputs.tokens.npy")
        expected = [int(np.argmax(scores_by_hand("attending", prompt))) for prompt in tokens]
        assert list(score.predictions) == expected
        labels = np.load(paths.DATA / score.split / "targets.label.npy")
        assert score.value == pytest.approx(np.mean(expected == labels))


@pytest.mark.usefixtures("run")
def test_what_it_writes_is_kept_in_words_where_the_data_have_any(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(Evaluation, paths.evaluation("attending")).sample is None, (
        "numbers, of which nobody says what they mean"
    )
    monkeypatch.setattr(writing, "NEW_TOKENS", 7)
    letters, path = "abcdefghijk", paths.DATA / "preprocess.json"
    before = path.read_text()
    entry = {"kind": "tokens", "shape": [PROMPT], "vocabulary": WORDS + 1, "characters": letters}
    path.write_text(json.dumps(json.loads(before) | {"inputs": {"tokens": entry}}))
    prompt = np.load(paths.DATA / "validation" / "inputs.tokens.npy")[0].tolist()
    expected = text_by_hand("attending", prompt, 7)
    try:
        found = stage._sample(made_in(paths.artifact("attending")), dataset.load("validation"))
    finally:
        path.write_text(before)
    assert found is not None
    assert (found.before, found.text) == ("".join(letters[k] for k in prompt), "".join(letters[k] for k in expected))
    assert list(found.tokens) == expected


@pytest.mark.usefixtures("run")
def test_the_record_has_both_phases_with_their_own_samples_energy_and_units() -> None:
    found = record("attending")
    assert found.status in ("ok", "invalid")  # the latter on a machine that is too busy
    assert list(found.phases) == ["prefill", "decode"]
    prefill, decode = found.phases.values()
    assert (prefill.unit, prefill.volume, decode.unit, decode.volume) == ("token", PROMPT, "token", 1)
    for phase in (prefill, decode):
        assert phase.latency is not None
        assert phase.energy.mj is not None
        assert phase.ratio is None  # it is the reference
        assert [window.variant for window in phase.windows] == ["attending"] * 2
    assert prefill.energy.mj != decode.energy.mj
    assert f"per {PROMPT} tokens x 1 W" in str(prefill.energy.formula).replace("x 4 W", "x 1 W")
    assert "per token x" in str(decode.energy.formula)
    assert (found.latency, found.energy) == (decode.latency, decode.energy), "variants are told apart by the last"
    with np.load(paths.samples("attending", "host-cpu")) as samples:
        assert samples.files == [f"0{k}-attending-{phase}" for k in (0, 1) for phase in ("prefill", "decode")]
        medians = [np.median(samples[name]) / 1e6 for name in samples.files if name.endswith("prefill")]
        assert prefill.latency.ms_p50 == pytest.approx(np.median(medians))
    for variant in VARIANTS:
        tokens = np.load(paths.DATA / "test" / "inputs.tokens.npy")[0]
        assert record(variant).details["decoded"] == text_by_hand(variant, tokens.tolist(), 6)


@pytest.mark.usefixtures("run")
def test_ratios_are_by_phase() -> None:
    found = record("decaying")
    assert found.reference == "attending"
    for phase in found.phases.values():
        assert phase.ratio is not None
        assert phase.ratio.pairs == 2
        assert [window.variant for window in phase.windows] == ["attending", "decaying", "decaying", "attending"]


@pytest.mark.usefixtures("run")
def test_where_no_state_is_kept_it_is_unsupported_with_the_reason() -> None:
    found = record("attending", "host-cpu-onnxruntime")
    assert found.status == "unsupported"
    assert found.reason == (
        "a file that keeps a state from call to call, as a language model does, runs through LiteRT and PJRT alone"
    )


def test_table_report_csv_and_mlflow_show_the_figures_of_each_phase(
    run: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paths.REPORT / "comparison.json"
    text = path.read_text().replace('"status": "invalid"', '"status": "ok"')  # a busy machine says nothing of the views
    comparison = Comparison.model_validate_json(text)
    row = next(row for row in comparison.rows if (row.variant, row.device) == ("decaying", "host-cpu"))
    prefill, decode = row.measurement.phases.values()
    assert prefill.latency
    assert decode.latency
    assert prefill.energy.mj
    assert decode.energy.mj
    expected = {
        "ttft_ms": prefill.latency.ms_p50,
        "prefill_tokens_per_s": PROMPT * 1e3 / prefill.latency.ms_p50,
        "tokens_per_s": 1e3 / decode.latency.ms_p50,
        "prefill_energy_mj_per_token": prefill.energy.mj / PROMPT,
        "energy_mj_per_token": decode.energy.mj,
    }
    sent = {point.key: point.value for point in contents.of_row("texts", row, {}, None).points}
    assert {key: sent[key] for key in expected} == pytest.approx(expected)
    assert not {"latency_ms", "energy_mj"} & set(sent), "those are of one inference, which there is none of"
    monkeypatch.setenv("COLUMNS", "160")
    table.show(comparison)
    shown = (capsys.readouterr().out, page.render(comparison))
    for heading in ("tokens", "energy of a token"):
        assert all(heading in text.lower() for text in shown)
    assert "first token" in shown[1].lower()
    with (paths.REPORT / "comparison.csv").open(encoding="utf-8", newline="") as file:
        assert set(expected) <= set(csv.DictReader(file).fieldnames or ())
    if record("decaying").status == "ok":
        metrics = json.loads((paths.REPORT / "metrics.json").read_text())["decaying"]["host-cpu"]
        assert {key: metrics[key] for key in expected} == pytest.approx(expected)
    assert run.benchmark.reference == "attending"
