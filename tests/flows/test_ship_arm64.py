"""From a fresh clone to an arm64 machine behind sshd: what was run, signed and shipped classifies raw digits there."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import openssh
from tasks.data import digits
from tasks.params import Prepare
from tests.board import Board
from tests.board import arm64 as emulated_arm64

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
DEVICES = {"board": "litert", "board-onnx": "onnxruntime"}


@pytest.fixture
def arm64(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A machine with an Arm processor behind sshd, by two names; its Python has no packages."""
    if Board.SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: `apt-get install openssh-server openssh-client`")
    setting = emulated_arm64(request.config)
    board = Board(tmp_path / "ssh")
    board.config.write_text(board.config.read_text().replace("Host board\n", f"Host {' '.join(DEVICES)}\n"))
    board.start(*setting)
    try:
        yield board
    finally:
        board.stop()


def emulated(params: dict[str, Any]) -> None:
    """One variant on the machine, by two runtimes; where its bundles go."""
    params["compress"] = {}
    params["quantize"] = {name: params["quantize"][name] for name in ("fp32", "int8")}
    params["benchmark"]["devices"] = list(DEVICES)
    params["bundle"] = {"default": {"minimize": "bytes"}}
    params["ship"] = {name: {"folder": f"/tmp/{name}"} for name in DEVICES}


def test_what_was_shipped_classifies_raw_digits_there_as_here(
    make_clone: Callable[[], Any], arm64: Board, tmp_path: Path
) -> None:
    clone = make_clone()
    clone.env.update({openssh.CONFIG: str(arm64.config), "TERCET_KEYS": str(tmp_path / "keys")})
    clone.change(emulated)
    (clone.root / "devices").mkdir()
    for name, runtime in DEVICES.items():
        about = f"kind: ssh\nruntime: {runtime}\ndescription: emulated\nwatts_per_core: [1, 2, 3]\n"
        (clone.root / "devices" / f"{name}.yaml").write_text(about)
    clone.run("tercet", "run")
    clone.run("tercet", "keys", "new")
    clone.run("tercet", "sign")
    said = clone.run("tercet", "ship", *DEVICES)
    told = [line for line in said.splitlines() if not line.startswith("MLflow: ")]
    assert [line.split(":")[0] for line in told] == list(DEVICES), said
    for name in DEVICES:
        assert f"MLflow: champion-{name} is version " in said
    assert said.count(": 8 examples agree; ") == 2  # its time means nothing
    images = digits.load(Prepare.model_validate({"source": "digits"})).train.inputs["image"][-40:]
    np.save(arm64.tmp / "images.npy", images)  # its /tmp
    np.save(tmp_path / "images.npy", images)
    for name in DEVICES:
        here = answers([sys.executable, "-I", clone.root / f"out/bundles/{name}/classify.py", tmp_path / "images.npy"])
        command = openssh.connect(name, shlex.join([f"/tmp/{name}/classify", "/tmp/images.npy"]))
        there = answers([command[0], "-F", arm64.config, *command[1:]])
        assert [each["label"] for each in there] == [each["label"] for each in here]
        assert len(there) == 40
        np.testing.assert_allclose([e["score"] for e in there], [e["score"] for e in here], rtol=0, atol=0.02)
        files = {path.name for path in (arm64.tmp / name).iterdir()} - {".ship.lock", ".lock"}
        assert files == {"bundles", "classify", "current", "journal.json", "packages", "site", "trust"}
    code = clone.run("tercet", "ship", "--status")
    assert code.count("well") == 2
    clone.run("tercet", "ship", "board", "--unsigned", code=10)


def answers(command: list[Any]) -> list[dict[str, Any]]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
