"""The family `decoder` through the stages: a checkpoint is taken over, converted, judged by the next token."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.checkpoints import load
from tasks.errors import ModelError, ParamsError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import decoder
from tasks.params import Params, check
from tasks.params.models import Decoder
from tasks.records import Evaluation, ModelCard, read
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.sources import sources
from tasks.stages.train import train
from tests import checkpoints

pytest.importorskip("tf_keras", reason="the training stack is not installed")
LENGTH = 10


def settings(**train_keys):
    return check(
        Params,
        {
            "name": "language",
            "prepare": {"source": "npz", "path": "texts"},
            "model": {"family": "decoder", "source": "smollm2"},
            "train": {"epochs": 0, **train_keys},
            "compress": {},
            "quantize": {"fp32": {"model": "baseline", "scheme": "float32"}},
            "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
            "bundle": {},
        },
        Path("params.yaml"),
    )


@pytest.fixture
def texts(project):
    checkpoints.make(project, "smollm2")
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, checkpoints.VOCABULARY, (4 * checkpoints.VOCABULARY, LENGTH)).astype(np.int32)
    (project / "texts").mkdir()
    labels = np.arange(len(tokens)) % checkpoints.VOCABULARY
    np.savez(project / "texts" / "train.npz", **{"inputs.tokens": tokens, "targets.label": labels})
    return project


def test_a_checkpoint_goes_through_the_stages(texts):
    params = settings()
    sources(params, "model")
    hashed = json.loads(paths.source("model").read_text())
    assert set(hashed) == {"smollm2/config.json", "smollm2/model.safetensors"}
    prepare(params)
    train(params)
    card = read(ModelCard, paths.model("baseline") / "card.json")
    assert (card.epochs, card.history) == (0, {})
    quantize(params, "fp32")
    evaluate(params, "fp32")
    model = load.load(Path("smollm2")).model()
    for score in read(Evaluation, paths.evaluation("fp32")).scores:
        tokens = np.load(paths.DATA / score.split / "inputs.tokens.npy")
        expected = model(tokens).numpy()[:, -1].argmax(axis=1)
        assert np.array_equal(score.predictions, expected)


def test_it_is_saved_as_others_load_it(texts, monkeypatch):
    from flows import save

    params = settings()
    prepare(params)
    train(params)
    monkeypatch.setattr(save.params, "load", lambda: params)
    said = save.save("baseline", Path("made"))
    assert said == "made: baseline, as others load it (config.json, model.safetensors)"
    made, source = load.load(Path("made")), load.load(Path("smollm2"))
    assert made.spec == source.spec
    expected = dict(source.weights())
    assert all(np.array_equal(value, expected[name]) for name, value in made.weights())
    with pytest.raises(ModelError, match="made: is there already; name a folder that is to be made"):
        save.save("baseline", Path("made"))
    with pytest.raises(ParamsError, match=r"no model is named 'pruned'; allowed: baseline\."):
        save.save("pruned", Path("other"))


@pytest.mark.slow
def test_it_goes_on_from_its_weights(texts):
    params = settings(epochs=2, learning_rate=1e-3, batch_size=32)
    prepare(params)
    train(params)
    card = read(ModelCard, paths.model("baseline") / "card.json")
    assert card.history["loss"][1] < card.history["loss"][0] < 6, "it began at what the checkpoint knows"


def test_what_does_not_fit_the_data_is_told(texts):
    section = Decoder(family="decoder", source="smollm2")

    def refused(spec, told):
        with pytest.raises(ModelError, match=told):
            decoder.build(section, spec)

    words = tuple(map(str, range(96)))
    refused(Spec({"x": TensorSpec((4,), "float32")}, words), "takes one input of tokens, and tells the next one; .* x")
    refused(Spec({"x": TensorSpec((4,), "int32", 300)}, words), "smollm2: knows 96 tokens; the data has 300")
    refused(Spec({"x": TensorSpec((65,), "int32", 96)}, words), "made for 64 tokens; a window of the data has 65")
