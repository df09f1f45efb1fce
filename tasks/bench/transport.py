"""How the runner is reached on a device."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tasks.bench import answers
from tasks.bench.answers import Answer
from tasks.errors import DeviceError
from tasks.process import kill
from tasks.scratch import unplaced

RUNNER = Path(__file__).with_name("runner")
RESOURCES = ("runner/__main__.py",)  # of the code that is run there
# as a module of a package, from the folder that it lies in, and with nothing of the caller's environment in its way
START = "import sys; sys.path.insert(0, sys.argv[1]); from runner.__main__ import main; main()"
STATUSES = ("ok", "unsupported", "error")
SIGNALS = {each.value: each.name for each in signal.Signals}
CRASHES = ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")


class Session(Protocol):
    """A place where the runner answers requests, each in a fresh process."""

    def run(
        self, request: dict[str, Any], files: Mapping[str, Path], results: Mapping[str, Path], *, timeout_s: float
    ) -> Answer:
        """Have the runner answer one request; `runner/__main__.py` documents both.

        Args:
            request: all of it but the paths.
            files: what the runner reads, by the request's key: "model", "inputs".
            results: what the runner writes and where it shall be here afterwards, by key: "outputs", "samples".
            timeout_s: when to give up.

        Returns:
            The answer, whose `status` is "ok" or "unsupported".

        Raises:
            DeviceError: no answer within `timeout_s`, a crash, or an answer of status "error".
        """
        ...


class Local:
    """This machine. Each process leads a group of its own, which is killed when the time is up."""

    def run(
        self, request: dict[str, Any], files: Mapping[str, Path], results: Mapping[str, Path], *, timeout_s: float
    ) -> Answer:
        """Have a fresh process answer; see `Session`."""
        full = request | {key: str(path) for key, path in {**files, **results}.items()}
        command = [sys.executable, "-I", "-c", START, str(RUNNER.parent)]
        what = f"{request['action']} of {files.get('model', 'this machine')}"
        return converse(command, full, what, timeout_s=timeout_s)


def converse(command: list[str], request: dict[str, Any], what: str, *, timeout_s: float) -> Answer:
    """Start a command that ends in the runner, put the request to it and read its answer.

    Raises:
        DeviceError: see `Session`; the message begins with `what`.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        out, err = process.communicate(json.dumps(request).encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{unplaced(what)}: no answer within {timeout_s:g} s; the process was killed") from None
    finally:
        kill(process)
    return response(what, process.returncode, out, err)


def response(what: str, code: int, out: bytes, err: bytes) -> Answer:
    """The runner's answer, from its exit code, that of a signal below 0, and what it wrote.

    Raises:
        DeviceError: see `Session`; the message begins with `what`.
    """
    what, told = unplaced(what), unplaced(err.decode(errors="replace"))
    said = (told.strip().splitlines() or ["it said nothing"])[-1]
    if code < 0:
        name = SIGNALS.get(-code, f"signal {-code}")
        why = "the runtime crashes on it" if name in CRASHES else "not by Tercet"
        raise DeviceError(f"{what}: the runner was killed by {name}, {why}; its last words: {said}")
    try:
        given = json.loads(out) if code == 0 else None
    except ValueError:
        given = None
    if not isinstance(given, dict) or given.get("status") not in STATUSES:
        printed = f"; instead of an answer: {out[:60].decode(errors='replace')!r}" if out else ""
        raise DeviceError(f"{what}: the runner ended with code {code} and no answer; its last words: {said}{printed}")
    try:
        answer = answers.parse(given)
    except ValueError as error:
        raise DeviceError(f"{what}: the runner's answer is not understood: {error}") from None
    if answer.reason:
        answer = replace(answer, reason=unplaced(answer.reason))
    if answer.status == "error":
        raise DeviceError(f"{what}: {answer.reason}")
    return answer
