"""A language model of one's own, from the text that Python carries to a file with caches, by the stages themselves."""

import json
import math
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.bench import shots, writing
from tasks.examples import dataset, first
from tasks.params import Params
from tasks.records import ArtifactCard, Evaluation, ModelCard, read
from tasks.stages.benchmark import benchmark
from tasks.stages.bundle import bundle
from tasks.stages.evaluate import evaluate
from tasks.stages.fingerprint import fingerprint
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.report import report
from tasks.stages.train import train
from tests.bpe import byte_level

ROOT = Path(__file__).resolve().parents[3]
LENGTH, SCHEMES = 32, ("float32", "dynamic")


def settings(**training):
    return Params.model_validate(
        {
            "name": "texts",
            "prepare": {
                "source": "pydoc", "task": "language", "tokens": "characters", "length": LENGTH, "limit": 400,
                "calibration": 24,
            },
            "model": {"family": "transformer", "layers": 1, "width": 32, "heads": 2},
            "train": {"epochs": 1, "batch_size": 8, "optimizer": "muon", "schedule": "cosine"} | training,
            "quantize": {each: {"model": "baseline", "scheme": each, "prefill": (8,)} for each in SCHEMES},
            "compress": {},
            "benchmark": {"reference": "float32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
            "bundle": {},
        }
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_what_was_trained_is_what_is_told_by_the_file():
    params = settings(learning_rate=0.006)
    prepare(params)
    train(params)
    loss = read(ModelCard, paths.model("baseline") / "card.json").history["val_loss"][-1]
    bits = {}
    for variant in params.quantize:
        quantize(params, variant)
        evaluate(params, variant)
        card = read(ArtifactCard, paths.artifact(variant) / "card.json")
        assert {call.name for call in card.signatures} == {"prefill_8", "decode", f"score_{LENGTH}"}
        assert card.asked == f"score_{LENGTH}"
        (score,) = (s for s in read(Evaluation, paths.evaluation(variant)).scores if s.split == "validation")
        bits[variant] = score.value
        sample = read(Evaluation, paths.evaluation(variant)).sample
        assert sample.text == "".join(dataset.spec().classes[token] for token in sample.tokens)
        assert len(sample.tokens) == writing.NEW_TOKENS
    labels = np.asarray(dataset.load("validation").targets["label"])
    sizes = [len(dataset.spec().classes[token].encode()) for token in labels.ravel()]
    assert bits["float32"] == pytest.approx(loss * labels.size / math.log(2) / sum(sizes), rel=1e-4)
    assert bits["dynamic"] == pytest.approx(bits["float32"], rel=0.02)
    assert loss < math.log(len(dataset.spec().classes)) - 1, "it has learnt something"
    (written,) = (paths.model("baseline") / "samples").iterdir()
    begin = "".join(dataset.spec().classes[token] for token in first(dataset.load("validation"), 1).inputs["text"][0])
    assert begin[-24:] + "|" in written.read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_checkpoints_tokens_go_from_a_text_to_the_shipped_script(project, monkeypatch):
    monkeypatch.setattr(shots, "STARVED", 0.0)  # beside other tests a window may have hardly any processor
    text = "".join(f"{i} mice eat {i * i} grains of corn.\n" for i in range(400))
    (project / "text.txt").write_text(text)
    byte_level(text, 300).save("tokenizer.json")
    told = settings().model_dump()
    told["prepare"] |= {
        "source": "text", "path": "text.txt", "tokens": "tokenizer", "tokenizer": "tokenizer.json", "limit": None,
    }  # fmt: skip
    told["quantize"] = {"float32": {"model": "baseline", "scheme": "float32"}}
    told["benchmark"]["protocol"] |= {"windows": 2, "window_s": 0.02, "new_tokens": 4}
    told["bundle"] = {"default": {"minimize": "token_ms"}}
    params = Params.model_validate(told)
    prepare(params)
    train(params)
    quantize(params, "float32")
    evaluate(params, "float32")
    shutil.copytree(ROOT / paths.DEVICES, paths.DEVICES)
    fingerprint(params, "host-cpu")
    benchmark(params, "float32", "host-cpu")
    report(params)
    bundle(params, "host-cpu")
    folder = paths.bundle("host-cpu")
    assert f'"tokenizers=={version("tokenizers")}"' in (folder / "README.txt").read_text()
    assert (
        "which token of the data's tokenizer ends a text"
        in json.loads((folder / "manifest.json").read_text())["no_litertlm"]
    )
    said = subprocess.run(
        [sys.executable, "classify.py", "-"], input="17 mice eat 289 grains of", cwd=folder, capture_output=True,
        text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(said.stdout)["label"] in dataset.spec().classes
    with np.load(folder / "examples.outputs.npz") as arrays:
        expected = arrays["expected"]
    checked = subprocess.run(
        [sys.executable, "classify.py", "--check"], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    assert expected.shape == (8, len(dataset.spec().classes)), "of every place that is told, the last one"
    assert json.loads(checked.stdout)["agree"]
