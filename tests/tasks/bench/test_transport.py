import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.bench import transport
from tasks.bench.answers import Answer
from tasks.bench.runner import SCHEMA
from tasks.errors import DeviceError
from tasks.scratch import scratch

Build = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[3]


def child(code: str) -> "subprocess.Popen[str]":
    """A process that has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def ask(request: dict[str, Any], *, timeout_s: float) -> Answer:
    return transport.Local().run(request, {"model": Path(request["model"])}, {}, timeout_s=timeout_s)


def runners() -> set[int]:
    """Processes that run the runner."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if transport.START.encode() in (folder / "cmdline").read_bytes().split(b"\0")[:4]:
                found.add(int(folder.name))
        except OSError:
            continue  # it has just ended
    return found


def measuring(pid: int) -> bool:
    return "ai_edge_litert" in Path(f"/proc/{pid}/maps").read_text()


def gone(pids: set[int]) -> bool:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if not pids & runners():
            return True
        time.sleep(0.02)
    return False


def test_a_runner_that_does_not_answer_is_killed(request_of: Build) -> None:
    before, start = runners(), time.monotonic()
    with pytest.raises(DeviceError, match=r"no answer within 0\.5 s"):
        ask(request_of("int8", "time", window_s=60), timeout_s=0.5)
    assert time.monotonic() - start < 5
    assert gone(runners() - before)


def test_a_runner_does_not_outlive_its_caller(request_of: Build) -> None:
    before = runners()
    request = request_of("int8", "time", window_s=60)
    files = {"model": request["model"]}
    ask_for = f"Local().run({request!r}, {files!r}, {{}}, timeout_s=60)"
    caller = child(f"from tasks.bench.transport import Local; print(flush=True); {ask_for}")
    deadline = time.monotonic() + 20
    while not (mine := {pid for pid in runners() - before if measuring(pid)}) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert mine
    end(caller)
    assert gone(mine)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "import os, sys; print('bad cable', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)",
            "killed by SIGKILL, not by Tercet; its last words: bad cable",
        ),
        ("import os; os.abort()", "killed by SIGABRT, the runtime crashes on it"),
        ("print('hello')", "no answer; its last words: it said nothing"),
        ("print('[1]')", "no answer"),
        ('print(\'{"status": "ok", "schema": 2}\')', f"answer is not understood: it is in schema 2, and {SCHEMA} is"),
        ('print(\'{"status": "ok"}\')', "it is in schema None"),
        ("raise SystemExit('numpy is missing')", "code 1.*numpy is missing"),
    ],
)
def test_a_crash_or_garbage_is_an_error_with_its_last_words(
    request_of: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: str
) -> None:
    monkeypatch.setattr(transport, "START", script)
    with pytest.raises(DeviceError, match=expected):
        ask(request_of("int8", "time"), timeout_s=10)


ANSWER = {"schema": SCHEMA, "status": "error", "environment": {}, "reason": "cannot map /var/tercet-scratch-x/a.tflite"}


@pytest.mark.parametrize(
    ("script", "timeout_s", "expected"),
    [
        ("import os; os.abort()", 30, "predict of model.tflite: the runner was killed by SIGABRT"),
        ("raise SystemExit('nothing in /tmp/tercet-scratch-kept-x1/a.npz')", 30, "its last words: nothing in a.npz"),
        (f"print({json.dumps(ANSWER)!r})", 30, "predict of model.tflite: cannot map a.tflite"),
        ("import time; time.sleep(60)", 0.1, "predict of model.tflite: no answer within 0.1 s"),
    ],
)
def test_a_reason_names_no_folder_that_was_made_for_a_while(
    request_of: Build, monkeypatch: pytest.MonkeyPatch, script: str, timeout_s: float, expected: str
) -> None:
    monkeypatch.setattr(transport, "START", script)
    with scratch("guard") as folder, pytest.raises(DeviceError) as refused:
        ask(request_of("int8", "predict", model=str(folder / "model.tflite")), timeout_s=timeout_s)
    assert expected in str(refused.value)
    assert "tercet-scratch" not in str(refused.value)
