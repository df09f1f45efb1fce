"""The task reconstruction from arrays on disk to the score of the deployable file."""

from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.errors import DataError
from tasks.examples import dataset
from tasks.models import autoencoder
from tasks.params import Params, Prepare
from tasks.quantize.variant import write
from tasks.records import Evaluation, read
from tasks.report.compare import score
from tasks.ship import classify
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.training import fit

pytest.importorskip("tf_keras", reason="the training stack is not installed")
PARAMS = Params.model_validate(
    {
        "name": "machines",
        "prepare": {"source": "npz", "path": "raw", "task": "reconstruction", "validation": 0.2, "test": 0.2},
        "model": {"family": "autoencoder", "hidden": [12], "latent": 2},
        "train": {"epochs": 15, "batch_size": 16, "learning_rate": 0.02},
        "quantize": {
            "int8": {"model": "baseline", "scheme": "int8"},
            "fp32": {"model": "baseline", "scheme": "float32"},
        },
        "compress": {},
        "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
        "bundle": {},
    }
)


def table(first, second):
    rows = [f"{i * i % 37},{i * 7 % 31},{second if i % 5 else first}" for i in range(200)]
    Path("parts.csv").write_text("\n".join(["x,z,state", *rows]))
    told = {"source": "csv", "path": "parts.csv", "target": "state", "split": {"repeats": "allowed"}}
    return PARAMS.model_copy(update={"prepare": Prepare(**told, task="reconstruction")})


@pytest.mark.parametrize(
    "pair", ["anomaly normal", "bad good", "broken ok", "Fail PASS", "is_not_ok ok", "1-bad 2-good"]
)
def test_what_is_not_normal_is_not_learnt_for_it(project, pair):
    """Classes stand in the order of their names, in which most words for what is wrong come first."""
    with pytest.raises(DataError, match=r"learnt from the first class, .* the classes are .* such as 0 and 1"):
        prepare(table(*pair.split()))


@pytest.mark.parametrize(
    "pair", ["0 1", "good scratched", "benign malignant", "normal typical", "a b", "0-normal 1-bad"]
)
def test_which_class_is_learnt_from_is_told(project, pair, caplog):
    caplog.set_level("INFO")
    first, second = pair.split()
    prepare(table(first, second))
    assert not dataset.load("train").targets["label"].any()
    assert f"the reconstruction is of {first!r}, which alone is learnt from; {second!r} is anomalous" in caplog.text


def test_an_autoencoder_tells_what_is_anomalous_by_its_int8_file(project):
    rng = np.random.default_rng(0)
    anomalous = np.arange(400) % 5 == 0
    normal = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 10))  # on a plane, which two latent units can hold
    signals = np.where(anomalous[:, None], rng.normal(0, 2, (400, 10)), normal)
    (project / "raw").mkdir()
    np.savez(project / "raw/train.npz", **{"inputs.signal": signals, "targets.label": anomalous.astype(int)})
    prepare(PARAMS)
    assert dataset.spec().task == "reconstruction"
    fit.reset(0)
    model = autoencoder.build(PARAMS.model, dataset.spec())
    fit.fit(model, dataset.load("train"), dataset.load("validation"), PARAMS.train, label="train")
    folder = paths.artifact("int8")
    folder.mkdir(parents=True)
    write(folder, "int8", PARAMS.quantize["int8"], model, dataset.load("calibration"))
    evaluate(PARAMS, "int8")
    found = read(Evaluation, paths.evaluation("int8"))
    test = score(found, "test", "default")
    assert (test.metric, test.n, test.predictions, found.confusion, found.classes) == ("auc", 80, (), (), ())
    assert test.value > 0.9
    assert {(s.split, s.kernels) for s in found.scores} == {
        (split, kernels) for split in ("validation", "test") for kernels in ("default", "reference")
    }


def test_a_bundle_prints_the_mean_squared_error():
    example, output = np.array([1.0, 2.0], np.float32), np.array([1.5, 1.0], np.float32)
    assert classify.answer({"kind": "anomaly"}, example, output) == {"error": pytest.approx(0.625)}


def test_a_bundle_prints_labels_by_name_and_values_as_they_are():
    labels = {"kind": "labels", "classes": ["cloud", "rain"]}
    assert classify.answer(labels, None, np.array([0.25, 0.75])) == {
        "labels": ["rain"],
        "scores": {"cloud": 0.25, "rain": 0.75},
    }
    assert classify.answer({"kind": "value"}, None, np.array([2.5])) == {"value": 2.5}
    assert classify.answer({"kind": "value"}, None, np.array([2.5, 1.0])) == {"value": [2.5, 1.0]}


def test_a_bundle_tells_what_follows_a_text_by_the_scores_of_its_last_place():
    scores = np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]).astype(np.float32) + 3
    told = classify.answer({"kind": "tokens", "classes": ["a", "b", "c"]}, None, scores)
    assert told == {"label": "c", "index": 2, "score": pytest.approx(0.6)}
