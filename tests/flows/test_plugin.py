"""The worked plug-in of infra/examples, which a how-to page shows: from its wheel to a report, outside the clone."""

import csv
import importlib
import json
import math
import re
import shutil
import sys
import tomllib
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.bench.kinds import KINDS
from tasks.errors import DataError
from tasks.examples import dataset
from tasks.examples.dataset import LABEL
from tasks.members import METHODS, SOURCES
from tasks.records.metrics import METRICS
from tasks.registry import named
from tests.busy import counted
from tests.installed import built, installed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "infra/examples/tercet-sounds"
GROUPS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]


@pytest.fixture(scope="module")
def sounds():
    """The plug-in's modules by name, imported from where they lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        yield lambda name: importlib.import_module(f"tercet_sounds.{name}")
    for name in [name for name in sys.modules if name.startswith("tercet_sounds")]:
        del sys.modules[name]


def write(path, samples, channels=1, width=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


def test_each_entry_point_is_a_member_of_its_table(sounds):
    tables = {table.group: table for table in (SOURCES, METHODS, METRICS, KINDS)}
    assert GROUPS.keys() == tables.keys()
    for group, points in GROUPS.items():
        for name, target in points.items():
            assert isinstance(named(target), tables[group].type), target
            assert name not in tables[group].members


@given(weights=arrays.arrays(np.float32, 8, elements=st.floats(-1e6, 1e6, width=32)))
def test_a_weight_becomes_the_nearest_power_of_two(weights, sounds):
    powers = [2.0**exponent for exponent in range(-149, 21)]
    for weight, found in zip(weights.tolist(), sounds("powers").nearest(weights).tolist(), strict=True):
        wanted = min(powers, key=lambda power: (abs(power - abs(weight)), -power))
        assert found == (math.copysign(wanted, weight) if weight else 0)


@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_worst_class_is_what_scikit_learn_says(pairs, sounds):
    from sklearn.metrics import recall_score

    predicted, truth = np.array(pairs).T
    recalls = recall_score(truth, predicted, labels=np.unique(truth), average=None, zero_division=0)
    metric = sounds("worst_class")
    assert metric.worst(predicted, truth) == pytest.approx(recalls.min())
    low, high = metric.interval(predicted, truth)
    assert 0 <= low <= metric.worst(predicted, truth) <= high <= 1
    assert metric.paired(predicted, predicted, truth).drop_bound == 0
    assert metric.interval(truth, truth) == (1, 1), "a class that is not drawn says nothing"


def test_recordings_are_read_as_they_were_written(sounds, tmp_path):
    module, rng = sounds("recordings"), np.random.default_rng(0)
    section = module.Recordings(source="recordings", path=str(tmp_path), samples=20)
    with pytest.raises(DataError, match=r"no \.wav file; prepare\.path names"):
        module.check(section)
    written = rng.integers(-(2**15), 2**15, (4, 30)).astype("<i2")
    for number, samples in enumerate(written):
        write(tmp_path / "ab"[number % 2] / f"{number}.wav", samples)
    source = module.load(section)
    assert source.classes == ("a", "b")
    np.testing.assert_array_equal(source.train.targets[LABEL], [0, 0, 1, 1])
    np.testing.assert_array_equal(source.train.inputs["sound"][..., 0] * 2**15, written[[0, 2, 1, 3], :20])
    write(tmp_path / "b" / "9.wav", written[0, :19])
    with pytest.raises(DataError, match=r"9\.wav: 20 samples expected; received 19"):
        module.load(section)
    write(tmp_path / "b" / "9.wav", written[0], channels=2)
    with pytest.raises(DataError, match=r"9\.wav: one channel of 16 bits expected; received 2 of 16"):
        module.load(section)
    (tmp_path / "b" / "9.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"9\.wav: .*; a \.wav file expected"):
        module.load(section)


def ran(said):
    """The stages that a run says it ran."""
    return set(re.findall(r"^\[\d+/\d+\] (.+): ran in [0-9.]+ s$", said, re.MULTILINE))


def tones(folder, each=60):
    """A low and a high tone, in noise."""
    rng, time = np.random.default_rng(0), np.arange(64) / 8000
    for name, hertz in (("high", 900), ("low", 400)):
        for number in range(each):
            clean = np.sin(2 * np.pi * (hertz * time + rng.random()))
            write(folder / name / f"{number}.wav", (6000 * (clean + rng.normal(0, 0.3, 64))).astype("<i2"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_plug_in_is_installed_and_its_members_measured(tercet_wheel, tmp_path, monkeypatch, sounds):
    package = shutil.copytree(EXAMPLE, tmp_path / "package", ignore=shutil.ignore_patterns("__pycache__"))
    env = installed(tmp_path / "env", tercet_wheel, built(package, tmp_path / "wheel"))
    counted(env.site)
    env.run(tmp_path, "tercet", "init", "project")
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE / "project", project, dirs_exist_ok=True)
    tones(project / "sounds")
    assert re.search(r"^  portable-cpu +measured ", env.run(project, "tercet", "devices"), re.MULTILINE)
    assert "ai-edge-litert" in env.run(project, "tercet", "devices", "--probe", "portable-cpu")
    first = env.run(project, "tercet", "run")
    assert {"powers shifted", "benchmark shifted-int8 @ portable-cpu"} <= ran(first)

    found = json.loads((project / "out/benchmarks/shifted-int8@portable-cpu.json").read_text())
    assert (found["status"], found["reason"]) == ("ok", None)
    assert found["phases"]["infer"]["latency"]["ms_p50"] > 0
    table = (project / "out/report/comparison.csv").read_text().splitlines()
    rows = {(row["variant"], row["device"]): row for row in csv.DictReader(table)}
    assert {row["metric"] for row in rows.values()} == {"worst-class"}
    assert "Worst-class" in (project / "out/report/index.html").read_text()
    monkeypatch.chdir(project)
    assert float(rows["fp32", "portable-cpu"]["quality"]) == pytest.approx(worst_of("fp32"))
    assert worst_of("fp32") > 0.7, "it has learnt something"
    assert all_powers(project / "out/models/shifted/model.h5")
    assert not all_powers(project / "out/models/baseline/model.h5")
    env.run(project, "python", "out/bundles/portable-cpu/classify.py", "--check")

    stale = {  # by the file of the plug-in: what a change of it makes old
        "powers": {"powers shifted"},
        "portable_runtime": {f"benchmark {name} @ portable-cpu" for name in ("fp32", "int8", "shifted-int8")}
        | {"report", "bundle portable-cpu", "bundle host-cpu"},
    }
    for module, stages in stale.items():
        with (env.site / f"tercet_sounds/{module}.py").open("a") as file:
            file.write("\n\nMORE = 1\n")
        assert ran(env.run(project, "tercet", "run")) == {"code"} | stages, module
    assert "everything is up to date" in env.run(project, "tercet", "run")


def all_powers(path):
    """Whether every kernel of a Keras file is of powers of two."""
    import h5py

    kernels = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: kernels.append(np.array(item)) if name.endswith("kernel:0") else None)
    assert kernels
    return all((np.frexp(each[each != 0])[0] % 0.5 == 0).all() for each in kernels)


def worst_of(variant):
    """The least recall of a variant on the test split, by LiteRT and scikit-learn."""
    from ai_edge_litert.interpreter import Interpreter
    from sklearn.metrics import recall_score

    test = dataset.load("test").arrays()
    model = Interpreter(str(Path("out/artifacts") / variant / "model.tflite"))
    runner = model.get_signature_runner()
    answers = [next(iter(runner(sound=each[None]).values())).argmax() for each in test.inputs["sound"]]
    return recall_score(test.targets[LABEL], answers, average=None).min()
