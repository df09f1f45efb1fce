"""Multiple-choice questions go from a file to every variant's own file, and come out in each view."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from tasks import paths
from tasks.code import hangs
from tasks.errors import DataError
from tasks.params import Params
from tasks.records import Comparison, Evaluation, read
from tasks.report import page
from tasks.stages.benchmark import benchmark
from tasks.stages.compress import compress
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.report import report
from tasks.stages.train import train
from tasks.track import contents
from tests import language

ROOT = Path(__file__).resolve().parents[3]
TEXT, LENGTH = "abcde fgh" * 40, 6
LETTERS = sorted(set(TEXT))
DEVICES = ("host-cpu", "roofline-raspberry-pi-5")
VARIANTS = {"drawn": "baseline", "stubborn": "other"}
RNG = np.random.default_rng(2)
QUESTIONS = [
    {"query": "".join(RNG.choice(list("abcde"), 1 + k % 9)), "choices": ["ab", "c", "de"][: 2 + k % 2], "gold": k % 2}
    for k in range(30)
]


def tables():
    """What follows a letter, by two models: one that was drawn, and one that always says c."""
    size = len(LETTERS)
    stubborn = np.zeros((size, size), np.float32)
    stubborn[:, LETTERS.index("c")] = 40
    return {"drawn": np.random.default_rng(0).normal(size=(size, size)).astype(np.float32), "stubborn": stubborn}


def by_hand(table, norm):
    """The choices by the probabilities of a table: what stands before the last letter has no part in it."""
    logs, found = log_softmax(table.astype(np.float64), axis=1), []
    for question in QUESTIONS:
        scores = []
        for choice in question["choices"]:
            ids = [LETTERS.index(letter) for letter in f"{question['query'][-1]} {choice}"]
            scores.append(sum(logs[ids[:-1], ids[1:]]) / (len(choice) if norm else 1))
        found.append(int(np.argmax(scores)))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    shutil.copytree(ROOT / paths.DEVICES, paths.DEVICES)
    Path("text.txt").write_text(TEXT)
    Path("questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    for name, table in tables().items():
        Path(f"{name}.tflite").write_bytes(language.bigram(table, LENGTH))
    params = Params.model_validate(
        {
            "name": "texts",
            "prepare": {
                "source": "text", "path": "text.txt", "task": "language", "tokens": "characters", "length": LENGTH,
                "calibration": 4,
            },
            "model": {"family": "file", "source": "drawn.tflite"},
            "train": {"epochs": 0},
            "compress": {"other": {"method": "external", "parent": "baseline", "source": "stubborn.tflite"}},
            "quantize": {variant: {"model": model, "scheme": "as-is"} for variant, model in VARIANTS.items()},
            "evaluate": {"choices": "questions.jsonl"},
            "benchmark": {
                "reference": "drawn", "devices": DEVICES,
                "protocol": {"mode": "quick", "windows": 1, "window_s": 0.02},
            },
            "bundle": {},
        }
    )  # fmt: skip
    prepare(params)
    train(params)
    compress(params, "other")
    for variant in VARIANTS:
        quantize(params, variant)
        evaluate(params, variant)
        for device in DEVICES:
            benchmark(params, variant, device)
    report(params)
    yield params
    patch.undo()


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_artifact_itself_is_asked(variant):
    found = read(Evaluation, paths.evaluation(variant)).choices
    assert list(found.acc.answers) == by_hand(tables()[variant], norm=False)
    assert list(found.acc_norm.answers) == by_hand(tables()[variant], norm=True)
    assert found.truth == tuple(question["gold"] for question in QUESTIONS)
    assert (found.n, found.window, found.file) == (30, LENGTH, "questions.jsonl")
    assert found.cut == sum(len(q["query"]) + 1 + max(map(len, q["choices"])) > LENGTH + 1 for q in QUESTIONS) > 0
    assert found.chance == pytest.approx(np.mean([1 / len(question["choices"]) for question in QUESTIONS]))


@pytest.mark.usefixtures("run")
def test_the_figures_are_in_every_view():
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    with (paths.REPORT / "comparison.csv").open(encoding="utf-8", newline="") as file:
        lines = {(line["variant"], line["device"]): line for line in csv.DictReader(file)}
    metrics = json.loads((paths.REPORT / "metrics.json").read_text())
    for row in comparison.rows:
        if row.measurement.status != "ok":  # a machine that is too busy
            continue
        expected = read(Evaluation, paths.evaluation(row.variant)).choices
        where = (row.variant, row.device)
        sent = contents.of_row("texts", row, {}, None)
        points = {point.key: point.value for point in sent.points}
        for measure in ("acc", "acc_norm"):
            value = getattr(expected, measure).value
            assert points[measure] == metrics[row.variant][row.device][measure] == value
            assert float(lines[where][measure]) == value
            assert lines[where][f"{measure}_source"] == ("measured" if row.device == "host-cpu" else "emulated")
        assert sent.tags["acc_shares"] == " ".join(f"{share:.3g}" for share in expected.acc.shares)
        assert ("acc_paired_p_value" in sent.tags) == (row.variant == "stubborn")
        assert row.choices.acc.answers == ()


@pytest.mark.usefixtures("run")
def test_a_reader_is_told_the_shares_the_chance_and_what_was_cut():
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    told = {variant: [n for n in comparison.notes if n.startswith(f"{variant}, 30 questions")] for variant in VARIANTS}
    (note,), chosen = told["stubborn"], read(Evaluation, paths.evaluation("stubborn")).choices
    assert "of questions.jsonl, by guessing 41.7 %: acc 50.0 % (takes the places 0.0 / 100.0 / 0.0 %)" in note
    assert f"{chosen.cut} were longer than 6 tokens and lost their beginning." in note
    mine, theirs = by_hand(tables()["stubborn"], norm=False), by_hand(tables()["drawn"], norm=False)
    right = [question["gold"] for question in QUESTIONS]
    alone = sum(a == g != b for a, b, g in zip(mine, theirs, right, strict=True))
    assert f"right alone {alone} times and drawn " in note
    assert len(told["drawn"]) == 1
    assert "right alone" not in told["drawn"][0]
    assert page.render(comparison).count("by guessing 41.7 %") == 2


def test_other_questions_make_evaluations_old_and_a_missing_file_is_told_first(run):
    before = hangs.everything(run)["evaluate"]
    path = Path("questions.jsonl")
    content = path.read_text()
    path.write_text(content.replace('"gold": 1', '"gold": 0'))
    after = hangs.everything(run)["evaluate"]
    path.write_text(content)
    assert before["settings"] != after["settings"]
    assert {k: v for k, v in before.items() if k != "settings"} == {k: v for k, v in after.items() if k != "settings"}
    plain = run.model_copy(update={"evaluate": run.evaluate.model_copy(update={"choices": None})})
    assert "tasks/quality/questions.py" in before["files"]
    assert "tasks/quality/questions.py" not in hangs.everything(plain)["evaluate"]["files"]
    other = run.model_copy(update={"evaluate": run.evaluate.model_copy(update={"choices": "none.jsonl"})})
    with pytest.raises(DataError, match=r"evaluate\.choices: none\.jsonl: no such file"):
        hangs.everything(other)
