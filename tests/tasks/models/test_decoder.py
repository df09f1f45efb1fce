"""The family `decoder` through the stages: a checkpoint is taken over, converted, judged by the next token."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from tasks import paths
from tasks.checkpoints import load
from tasks.errors import ModelError, ParamsError
from tasks.examples import dataset
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import decoder
from tasks.params import Params, check
from tasks.params.models import Decoder
from tasks.records import Evaluation, Measurement, ModelCard, read
from tasks.stages.benchmark import benchmark
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.sources import sources
from tasks.stages.train import train
from tasks.training import fit
from tests import checkpoints

pytest.importorskip("tf_keras", reason="the training stack is not installed")
LENGTH = 10
ROOT = Path(__file__).resolve().parents[3]


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
            "benchmark": {
                "reference": "fp32",
                "devices": ["host-cpu", "roofline-raspberry-pi-5"],
                "protocol": {"mode": "quick", "windows": 2, "window_s": 0.02, "new_tokens": 4},
            },
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
    shutil.copytree(ROOT / paths.DEVICES, paths.DEVICES)
    for device in params.benchmark.devices:
        benchmark(params, "fp32", device)
    found, other = (read(Measurement, paths.benchmark("fp32", device)) for device in params.benchmark.devices)
    assert list(found.phases) == ["prefill", "decode"]
    assert [phase.volume for phase in found.phases.values()] == [LENGTH, 1]
    assert found.details["state_kept"] == "in place"
    assert found.details["prompt_calls"] == [f"prefill_{LENGTH} ({LENGTH - 1} of {LENGTH})", "decode (1 of 1)"]
    text = list(np.load(paths.DATA / "test" / "inputs.tokens.npy")[0])
    for token in found.details["decoded"]:
        assert token == model(np.array([text])).numpy()[0, -1].argmax()
        text.append(token)
    assert (other.status, list(other.phases)) == ("ok", ["prefill", "decode"]), "a datasheet predicts the same phases"


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


@pytest.fixture
def text(project):
    checkpoints.make(project, "smollm2")
    words = np.random.default_rng(5).choice(["to be", "or", "not", "ähm", "that is", "the question"], 1200)
    (project / "text.txt").write_text(" ".join(words), encoding="utf-8")
    return project


def told(params):
    """The same settings, where every character of the text is to be told."""
    section = {"source": "text", "path": "text.txt", "task": "language", "tokens": "characters", "length": LENGTH}
    return check(Params, params.model_dump() | {"prepare": section}, Path("params.yaml"))


@pytest.mark.slow
def test_every_token_is_told_by_the_file_as_by_the_checkpoint(text):
    params = told(settings())
    prepare(params)
    train(params)
    quantize(params, "fp32")
    evaluate(params, "fp32")
    evaluation, model = read(Evaluation, paths.evaluation("fp32")), load.load(Path("smollm2")).model()
    for score in evaluation.scores:
        examples = dataset.load(score.split)
        scores, label = model(examples.arrays().inputs["text"]).numpy(), examples.targets["label"]
        chosen = log_softmax(scores.astype(np.float64), axis=2).reshape(label.size, -1)
        nats = -chosen[np.arange(label.size), label.ravel()]
        size = sum(len(dataset.spec().classes[token].encode()) for token in label.ravel())
        assert (score.metric, score.n, score.predictions) == ("bits-per-byte", len(label), ())
        assert score.value == pytest.approx(nats.sum() / np.log(2) / size, rel=1e-5)
        assert score.low < score.value < score.high
        if score.split == "test":
            assert evaluation.naive is not None
            assert 2 < evaluation.naive < score.value, "random weights know less than how often each character is there"


@pytest.mark.slow
def test_what_it_learns_is_the_mean_over_all_places(text):
    params = told(settings(epochs=1, learning_rate=0.01, batch_size=64))
    prepare(params)
    fit.reset(0)
    made, examples = decoder.build(params.model, dataset.spec()), dataset.load("validation")
    history = fit.fit(made, dataset.load("train"), examples, params.train, label="train")
    chances = log_softmax(made.predict(examples.arrays().inputs["text"], verbose=0).astype(np.float64), axis=2)
    label = examples.targets["label"].astype(int)
    expected = -np.take_along_axis(chances, label[:, :, None], axis=2).mean()
    assert history["val_loss"] == [pytest.approx(expected, rel=1e-4)]
    assert expected < history["loss"][0]


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
