"""The presets on real data give what their headers promise: everything but the measuring, three seeds."""

import shutil
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from tasks import params, paths, records, track
from tasks.stages import call

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 2)


@pytest.fixture
def quiet_server(monkeypatch):
    """No curves are sent: the port is closed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


def scores(preset, data_path, seed, variants, **prepare):
    """The test score and the artifact's card of each variant, after the stages that lead there have run."""
    text = yaml.safe_load((ROOT / "infra" / "presets" / f"{preset}.yaml").read_text())
    text["prepare"] = {key: told for key, told in text["prepare"].items() if key != "split"}
    text["prepare"] |= {"path": str(data_path)} | prepare
    for section in (text["train"], *text["compress"].values(), *text["quantize"].values()):
        section["seed"] = seed
    shutil.rmtree(paths.OUT, ignore_errors=True)
    paths.PARAMS.write_text(yaml.safe_dump(text))
    loaded = params.load()
    call("prepare")
    call("train")
    needed = {loaded.quantize[variant].model for variant in variants}
    for model in loaded.model_order():
        if model in needed:
            call("compress", model)
    result = {}
    for variant in variants:
        call("quantize", variant)
        call("evaluate", variant)
        evaluation = records.read(records.Evaluation, paths.evaluation(variant))
        test = next(s for s in evaluation.scores if s.split == "test" and s.kernels == "default")
        result[variant] = (test, records.read(records.ArtifactCard, paths.artifact(variant) / "card.json"))
    track.settle()
    return result


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mnist_reaches_its_accuracy_and_keeps_it_when_compressed(project, data, quiet_server):
    variants = ("fp32", "int8", "pruned80-int8")
    runs = [scores("mnist-cnn", data / "mnist", seed, variants) for seed in SEEDS]
    mean = {variant: fmean(run[variant][0].value for run in runs) for variant in variants}
    smaller = [run["fp32"][1].gzip_bytes / run["pruned80-int8"][1].gzip_bytes for run in runs]
    print(f"mean accuracy {mean}, single {[{v: run[v][0].value for v in variants} for run in runs]}, smaller {smaller}")  # noqa: T201  # the figures are what one runs this for
    assert all(run["fp32"][0].n == 10_000 for run in runs)
    assert mean["fp32"] >= 0.9885
    assert abs(mean["int8"] - mean["fp32"]) <= 0.001
    assert mean["pruned80-int8"] >= mean["fp32"] - 0.001
    assert min(smaller) >= 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sst2_reaches_its_accuracy_and_keeps_it_in_int8(project, data, quiet_server):
    runs = [scores("text-bow", data / "sst2", seed, ("fp32", "dynamic")) for seed in SEEDS]
    mean = {variant: fmean(run[variant][0].value for run in runs) for variant in ("fp32", "dynamic")}
    print(f"mean accuracy {mean}, single {[{v: run[v][0].value for v in mean} for run in runs]}")  # noqa: T201  # the figures are what one runs this for
    assert all(run["fp32"][0].n == 872 for run in runs)
    assert mean["fp32"] >= 0.79
    assert all(abs(run["dynamic"][0].value - run["fp32"][0].value) <= 0.003 for run in runs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("preset", ["text-rnn", "text-transformer"])
def test_the_other_families_of_texts_keep_sst2_in_int8(preset, project, data, quiet_server):
    run = scores(preset, data / "sst2", 0, ("fp32", "dynamic", "int8"), source="tsv", length=56)
    found = {variant: test.value for variant, (test, _) in run.items()}
    print(f"{preset}: accuracy {found}")  # noqa: T201  # the figures are what one runs this for
    assert run["fp32"][0].n == 872
    assert found["fp32"] >= 0.72
    assert abs(found["dynamic"] - found["fp32"]) <= 0.003
