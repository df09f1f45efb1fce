"""A device behind an sshd, measured by a worker of Prefect in the device's pool, in a clone of the project."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from tasks.bench import openssh
from tests.board import Board

UP_S = 120.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def two(params):
    """Two variants, on a device that is measured and one that is not."""
    params["compress"] = {}
    params["quantize"] = {name: {"model": "baseline", "scheme": name} for name in ("float32", "int8")}
    params["benchmark"] |= {"reference": "float32", "devices": ["board", "ethos-u55-128"]}


@pytest.fixture
def board(tmp_path):
    if Board.SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: `apt-get install openssh-server openssh-client`")
    found = Board(tmp_path / "ssh")
    found.start()
    yield found
    found.stop()


def test_the_pairs_of_a_device_are_measured_by_its_worker(make_clone, server, board, tmp_path, outcomes):
    clone, remote = make_clone(), tmp_path / "remote"
    clone.change(two)
    (clone.root / "devices").mkdir()
    device = {"kind": "ssh", "description": "by ssh", "python": sys.executable, "watts_per_core": [1, 2, 3]}
    (clone.root / "devices" / "board.yaml").write_text(yaml.safe_dump(device))
    config = f"[core]\nremote = shared\nanalytics = false\nautostage = false\n['remote \"shared\"']\nurl = {remote}\n"
    (clone.root / ".dvc" / "config").write_text(config)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["add", "--all"], [*who, "commit", "--quiet", "--message", "device"]):
        subprocess.run(["git", *words], cwd=clone.root, timeout=60, check=True)
    there = tmp_path / "there"
    subprocess.run(["git", "clone", "--quiet", clone.root, there], timeout=60, check=True)
    api = {"PREFECT_API_URL": server.address}
    own = {"TERCET_HOME": str(there), "PYTHONPATH": str(there), openssh.CONFIG: str(board.config)}
    own |= {"DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    worker = ["prefect", "worker", "start", "--pool", "device-board", "--type", "process", "--limit", "1"]
    with clone.started(*worker, env=api | own) as (_, log):
        assert board.eventually(lambda: "started!" in log.read_text(), UP_S), log.read_text()
        said = clone.run("tercet", "run", env=api)  # which knows no host of that name
    pairs = {f"benchmark {variant} @ board" for variant in ("float32", "int8")}
    assert pairs <= outcomes(said)["ran"]
    for variant in ("float32", "int8"):
        here, made = (root / "out" / "benchmarks" / f"{variant}@board.json" for root in (clone.root, there))
        assert here.read_bytes() == made.read_bytes()
        record = json.loads(here.read_text())
        assert record["status"] == "ok", record["reason"]
        assert record["environment"]["machine"]
    assert not (there / "out" / "benchmarks" / "int8@ethos-u55-128.json").exists()
    assert (board.locks / "tercet-local.lock").exists()  # of the device itself
