"""A device that ssh reaches is held by the lock of its own machine."""

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tasks.bench.ssh import Remote

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from tasks.bench import locks
with locks.hold("local", exclusive={}):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("exclusive", [True, False], ids=["a measurement", "a training"])
def test_a_device_is_held_by_its_own_lock_whoever_asks(
    board: Any, caplog: pytest.LogCaptureFixture, exclusive: bool
) -> None:
    """Another project's process on the device itself is waited for, and told; it waits for a session in turn."""
    there = os.environ | {"TERCET_LOCKS": str(board.locks)}
    command = [sys.executable, "-c", HOLDER.format(exclusive)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": there, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as holder, Remote("board", sys.executable) as remote:
        assert holder.stdout
        assert holder.stdin
        holder.stdout.readline()
        thread = threading.Thread(target=remote.hold)
        thread.start()
        assert board.eventually(lambda: caplog.messages)
        assert thread.is_alive()
        (said,) = caplog.messages
        assert said.startswith(f"waiting for board: process {holder.pid} of {ROOT} holds it since ")
        holder.stdin.close()
        thread.join(20)
        assert not thread.is_alive()
        held = json.loads((board.locks / "tercet-local.lock").read_text())
        assert held["folder"] == f"{os.uname().nodename}:{Path.cwd()}"
        with subprocess.Popen(command, **pipes) as other:
            assert other.stdin
            assert other.stdout
            assert not select.select([other.stdout], [], [], 1.0)[0]
            remote.__exit__()
            assert select.select([other.stdout], [], [], 20.0)[0]
            other.stdin.close()
