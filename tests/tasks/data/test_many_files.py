"""CIFAR-10 as 60,000 JPEG files: prepared, and learnt from for an epoch, in bounded memory."""

import json
import os
import subprocess
import sys
import tarfile

import pytest
import yaml

BOUND = 3 * 2**20  # kilobytes of memory, of which TensorFlow takes the most
STAGE = """
import sys
from pathlib import Path
from tasks.stages import call
call(*sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""
WORKLOAD = {
    "name": "cifar10-files",
    "prepare": {"source": "folder", "path": "cifar10", "normalize": "standard"},
    "model": {"family": "cnn", "filters": [8, 16], "dense": [32]},
    "train": {"epochs": 1, "batch_size": 128},
    "compress": {},
    "quantize": {"fp32": {"model": "baseline", "scheme": "float32"}},
    "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
    "bundle": {},
}


def stage(*words):
    """The largest memory of a stage, in kilobytes: its own account, as `wait4`'s has what this process held before."""
    command = [sys.executable, "-c", STAGE, *words]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=1200, check=True).stdout
    return int(said.split()[-1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sixty_thousand_files_need_little_memory(project, data):
    archive = data / "cifar10" / "cifar10-jpeg.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as packed:
        packed.extractall(project, filter="data")
    (project / "params.yaml").write_text(yaml.safe_dump(WORKLOAD))
    used = {name: stage(*name.split()) for name in ("prepare", "train", "quantize fp32", "evaluate fp32")}
    counts = json.loads((project / "out" / "data" / "card.json").read_text())["counts"]
    assert counts == {"train": 45_000, "validation": 5_000, "test": 10_000, "calibration": 100}
    assert max(used.values()) < BOUND
    scores = json.loads((project / "out" / "evaluations" / "fp32.json").read_text())["scores"]
    assert all(score["low"] > 0.2 for score in scores)  # ten classes: it has learnt something
    assert sum(path.stat().st_size for path in (project / "out" / "data").rglob("*") if path.is_file()) < 10 * 2**20
