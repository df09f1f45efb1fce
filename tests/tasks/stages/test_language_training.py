"""A language model of one's own, from the text that Python carries to a file with caches, by the stages themselves."""

import math

import numpy as np
import pytest

from tasks import paths
from tasks.examples import dataset
from tasks.params import Params
from tasks.records import ArtifactCard, Evaluation, ModelCard, read
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.train import train

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
    labels = np.asarray(dataset.load("validation").targets["label"])
    sizes = [len(dataset.spec().classes[token].encode()) for token in labels.ravel()]
    assert bits["float32"] == pytest.approx(loss * labels.size / math.log(2) / sum(sizes), rel=1e-4)
    assert bits["dynamic"] == pytest.approx(bits["float32"], rel=0.02)
    assert loss < math.log(len(dataset.spec().classes)) - 1, "it has learnt something"
