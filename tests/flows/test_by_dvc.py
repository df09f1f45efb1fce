"""A stage as dvc.yaml calls it: what it refuses, and what an error that nobody foresaw is told as."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows import by_dvc
from tasks import params, paths, stages
from tasks.bench.runner import machine
from tasks.errors import DataError, ParamsError, TercetError
from tasks.stages import code, fingerprint, sources

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def called(project, monkeypatch):
    """A project whose stages are only noted; what was called."""
    shutil.copy(ROOT / "infra/presets/smoke.yaml", paths.PARAMS)
    (project / "infra").symlink_to(ROOT / "infra")
    done = []
    monkeypatch.setattr(by_dvc, "quiet_libraries", lambda: paths.STATE.mkdir(exist_ok=True))
    monkeypatch.setattr(by_dvc, "log_to_terminal", lambda: None)
    monkeypatch.setattr(by_dvc, "call", lambda *words: done.append(words))
    code.code(params.load())
    return done


def test_a_stage_is_called_with_its_keys(called):
    by_dvc.stage("train")
    by_dvc.stage("benchmark", "int8", "host-cpu")
    by_dvc.stage("sources", "data")
    assert called == [("train",), ("benchmark", "int8", "host-cpu"), ("sources", "data")]


def test_what_other_code_would_make_is_not_kept_under_the_name_of_this_one(called):
    path = paths.code("benchmark.host-cpu")
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "files": {**written["files"], "tasks/bench/timed.py": "0"}}))
    by_dvc.stage("train")
    by_dvc.stage("benchmark", "int8", "ethos-u55-128")
    with pytest.raises(TercetError, match=r"out/code/benchmark.host-cpu.json is of other code: .*timed\.py changed"):
        by_dvc.stage("benchmark", "int8", "host-cpu")
    by_dvc.stage("code")  # which mends it
    assert called == [("train",), ("benchmark", "int8", "ethos-u55-128"), ("code",)]


def test_what_other_data_would_make_is_not_kept_under_the_name_of_these(called, project):
    settings = yaml.safe_load(paths.PARAMS.read_text())
    settings["prepare"] |= {"source": "csv", "path": "t.csv", "target": "a"}
    paths.PARAMS.write_text(yaml.safe_dump(settings))
    Path("t.csv").write_text("a,b\n1,2\n3,4\n")
    code.code(params.load())
    sources.sources(params.load(), "data")
    by_dvc.stage("prepare")
    Path("t.csv").write_text("a,b\n1,2\n3,5\n")
    said = r"out/sources/data.json is of other files: t\.csv changed; .*`dvc repro --force sources@data`"
    with pytest.raises(TercetError, match=said):
        by_dvc.stage("prepare")
    by_dvc.stage("train")
    by_dvc.stage("sources", "data")  # which mends it
    assert called == [("prepare",), ("train",), ("sources", "data")]


def test_what_another_machine_measures_is_not_kept_as_of_this_one(called, monkeypatch):
    fingerprint.fingerprint(params.load(), "host-cpu")
    by_dvc.stage("benchmark", "int8", "host-cpu")
    monkeypatch.setattr(machine, "processor", lambda: {"processor": "another"})
    with pytest.raises(TercetError, match=r"out/fingerprints/host-cpu.json is of another .*: \w+ was .* and is "):
        by_dvc.stage("benchmark", "int8", "host-cpu")
    by_dvc.stage("benchmark", "int8", "ethos-u55-128")
    assert called == [("benchmark", "int8", "host-cpu"), ("benchmark", "int8", "ethos-u55-128")]


def test_what_nobody_foresaw_is_one_line_and_the_traceback_is_kept(called, monkeypatch):
    def fail(*_words):
        raise ZeroDivisionError("a b\nc")

    monkeypatch.setattr(by_dvc, "call", fail)
    with pytest.raises(TercetError, match=r"^stage quantize int8: ZeroDivisionError: a b c; the traceback is in \S+$"):
        by_dvc.stage("quantize", "int8")
    assert "Traceback" in paths.CHATTER.read_text()
    monkeypatch.setattr(by_dvc, "call", lambda *_: (_ for _ in ()).throw(DataError("as it is")))
    with pytest.raises(DataError, match=r"^as it is$"):
        by_dvc.stage("quantize", "int8")


# a stage that tells a word, as TensorFlow writes past Python and as a library logs
TELLS = """
import logging, os
from flows import by_dvc, cli
from tasks import params
from tasks.stages import code

def work(*_words):
    logging.getLogger("tasks.data.folder").warning("a class is left out")
    logging.getLogger("tasks.training.fit").info("epoch 1 of 5")
    logging.getLogger("a.library").info("of no use")
    os.write(2, b"pages\\n")

code.code(params.load())
by_dvc.call = work
cli.console()
"""


def test_what_a_stage_tells_is_on_standard_error_and_not_in_the_file_of_the_libraries(project):
    shutil.copy(ROOT / "infra/presets/smoke.yaml", paths.PARAMS)
    shutil.copy(ROOT / "dvc.yaml", project)
    (project / "infra").symlink_to(ROOT / "infra")
    done = subprocess.run(
        [sys.executable, "-c", TELLS, "stage", "prepare"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "a class is left out\nepoch 1 of 5\n")
    assert paths.CHATTER.read_text() == "pages\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compress", "pruned5"), "no model of params.yaml is 'pruned5'; .*did you mean 'pruned50'"),
        (("quantize", "in8"), "no variant of params.yaml is 'in8'; .*did you mean 'int8'"),
        (("evaluate", "in8"), "no variant of params.yaml is 'in8'"),
        (("benchmark", "int8", "rp2040"), "no device of params.yaml is 'rp2040'; allowed: ethos-u55-128, host-cpu"),
        (("bundle", "host"), "no device of params.yaml is 'host'"),
        (("fingerprint", "host"), "no device of params.yaml is 'host'"),
        (("quantize",), "stage quantize takes variant; received none"),
    ],
)
def test_a_key_that_params_has_not_is_told(called, monkeypatch, words, said):
    monkeypatch.setattr(by_dvc, "call", stages.call)
    with pytest.raises(ParamsError, match=said):
        by_dvc.stage(*words)
    assert not paths.FAILURES.exists()  # no stage of the pipeline has failed
