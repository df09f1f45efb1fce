"""A stage as dvc.yaml calls it: what it refuses, and what an error that nobody foresaw is told as."""

import json
import shutil
from pathlib import Path

import pytest

from flows import by_dvc
from tasks import params, paths
from tasks.errors import DataError, TercetError
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
