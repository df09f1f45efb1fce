"""A stage as dvc.yaml calls it: what it refuses, and what an error that nobody foresaw is told as."""

import json
import shutil
from pathlib import Path

import pytest

from flows import by_dvc
from tasks import params, paths, stages
from tasks.errors import DataError, ParamsError, TercetError
from tasks.stages import code

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def called(project, monkeypatch):
    """A project whose stages are only noted; what was called."""
    shutil.copy(ROOT / "infra/presets/smoke.yaml", paths.PARAMS)
    (project / "infra").symlink_to(ROOT / "infra")
    done = []
    monkeypatch.setattr(by_dvc, "quiet_libraries", lambda: paths.STATE.mkdir(exist_ok=True))
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
