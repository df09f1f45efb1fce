"""Many JPEG files, or an archive of them: prepared, and learnt from, in bounded memory and few objects."""

import io
import json
import os
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from tasks.examples import dataset, files
from tasks.params import Cnn, Prepare, Training
from tasks.stages.prepare import prepare

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


def archive_of(count, path):
    """JPEG files of three classes, each of its own colour, without a file of their own."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w:gz") as packed:
        for number in range(count):
            kind = number % 3
            pixels = rng.integers(0, 120, (32, 32, 3)).astype(np.uint8)
            pixels[..., kind] += 120
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "JPEG")
            member = tarfile.TarInfo(f"photos/{('cat', 'dog', 'hen')[kind]}/{number}.jpg")
            member.size = stream.tell()
            stream.seek(0)
            packed.addfile(member, stream)


@pytest.fixture
def few(project):
    """Some hundred images of an archive, prepared, without the archive."""
    archive_of(400, project / "photos.tar.gz")
    section = Prepare(source="folder", path="photos.tar.gz", normalize="standard", test=0.1)
    prepare(SimpleNamespace(prepare=section))
    (project / "photos.tar.gz").unlink()
    return dataset.load("train"), dataset.load("validation")


def test_shards_teach_what_the_same_images_in_memory_teach(few, monkeypatch):
    """Whether they are decoded once or batch by batch, too."""
    keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
    from tasks.models import cnn
    from tasks.training import fit

    assert keras
    train, validation = few
    found = []
    for examples, held in ((train, files.HELD), (train, 0), (train.arrays(), 0)):
        monkeypatch.setattr(files, "HELD", held)
        fit.reset(0)
        model = cnn.build(Cnn(family="cnn", filters=(4,), dense=()), dataset.spec())
        params = Training(epochs=2, batch_size=32, learning_rate=0.01)
        history = fit.fit(model, examples, validation, params, label="test")
        found.append((history, [weight.tobytes() for weight in model.get_weights()]))
    assert found[0] == found[1] == found[2]
    assert found[0][0]["val_accuracy"][-1] > 0.9


def test_shards_are_few_and_small(few, project):
    written = [path for path in (project / "out" / "data").rglob("*") if path.is_file()]
    assert len(written) == 4 * 3 + 2
    assert sum(map(len, few)) == 360
    assert sum(path.stat().st_size for path in written) < 1.3 * 460 * 1_500  # bytes of an image, and what tells of it


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("packed", [False, True])
def test_sixty_thousand_files_need_little_memory(project, data, packed):
    archive = data / "cifar10" / "cifar10-jpeg.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    path = str(archive) if packed else "cifar10"
    if not packed:
        with tarfile.open(archive) as files_of_it:
            files_of_it.extractall(project, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    workload = {**WORKLOAD, "prepare": {**WORKLOAD["prepare"], "path": path}}
    (project / "params.yaml").write_text(yaml.safe_dump(workload))
    used = {name: stage(*name.split()) for name in ("prepare", "train", "quantize fp32", "evaluate fp32")}
    counts = json.loads((project / "out" / "data" / "card.json").read_text())["counts"]
    assert counts == {"train": 45_000, "validation": 5_000, "test": 10_000, "calibration": 100}
    assert max(used.values()) < BOUND
    scores = json.loads((project / "out" / "evaluations" / "fp32.json").read_text())["scores"]
    assert all(score["low"] > 0.2 for score in scores)  # ten classes: it has learnt something
    written = [path for path in (project / "out" / "data").rglob("*") if path.is_file()]
    assert len(written) <= 200
    assert sum(path.stat().st_size for path in written) < (80 if packed else 10) * 2**20
