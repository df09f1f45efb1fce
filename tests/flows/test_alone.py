"""One run at a time in a project: the second one says so at once, and changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import alone
from flows.alone import LOCK
from tasks.errors import TercetError

ROOT = Path(__file__).resolve().parents[2]
SOON_S = 1.0
CROWDED = 5.0  # other tests have the processors as well
HOLDER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from flows.alone import alone
with alone("tercet search"):
    print("holds", flush=True)
    input()
"""


@contextmanager
def holder():
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"holds\n"
        yield process
        process.kill()


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_second_is_told_who_is_at_work_and_changes_nothing(project):
    with holder() as first:
        before, start = content(project), time.monotonic()
        with pytest.raises(TercetError) as caught, alone.alone("tercet run"):
            raise AssertionError("two at once")
        assert time.monotonic() - start < SOON_S * CROWDED
        assert content(project) == before
    said = str(caught.value)
    assert said.startswith(f"another `tercet search` (PID {first.pid}, since 20")
    assert f" is at work in {project}; " in said


def test_a_killed_one_is_in_nobodys_way(project):
    with holder() as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        with alone.alone("tercet run"), alone.alone("tercet run"):  # a flow asks again, in the same process
            assert json.loads(LOCK.read_text())["pid"] == os.getpid()
    with alone.alone("tercet run"):
        pass


def test_the_command_itself_says_so_in_a_line(make_clone):
    clone = make_clone()
    (clone.root / ".tercet").mkdir()
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, cwd=clone.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        for words in (["run"], ["search"]):
            said = clone.run("tercet", *words, code=1)
            assert said.startswith(f"tercet: another `tercet search` (PID {first.pid}, ")
            assert len(said.splitlines()) == 1
        assert not (clone.root / "out").exists()
        first.kill()


def written(holders):
    alone.DVC_HOLDERS.parent.mkdir(parents=True)
    alone.DVC_HOLDERS.write_text(holders if isinstance(holders, str) else json.dumps(holders))


def test_dvc_repro_at_work_is_seen(project):
    with subprocess.Popen(["sleep", "60"]) as dvc:
        info = {"pid": dvc.pid, "cmd": "/somewhere/bin/dvc repro"}
        written({"write": {"/a": info}, "read": {"/b": [info]}})
        with (
            pytest.raises(TercetError, match=rf"another `dvc repro` \(PID {dvc.pid}, since "),
            alone.alone("tercet run"),
        ):
            raise AssertionError("two at once")
        dvc.kill()
    with alone.alone("tercet run"):  # it has ended without a word
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"write": 1, "read": {}}', '{"write": {"a": {}}, "read": {}}'])
def test_a_broken_file_of_dvcs_stops_nobody(text, project):
    written(text)
    with alone.alone("tercet run"):
        pass
