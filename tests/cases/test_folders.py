"""A folder of images through every stage: the figures are those of the same images in arrays."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tasks import paths, records
from tasks.records import Evaluation

CLASSES = ("dark", "left", "right")
EACH = 60
CNN = {"family": "cnn", "filters": [8], "dense": [16]}
TRAINING = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01}
FP32, INT8 = {"model": "baseline", "scheme": "float32"}, {"model": "baseline", "scheme": "int8"}
SHORT = {"mode": "quick", "windows": 2, "window_s": 0.05}


def photos(root, channels):
    """Files of each class, bright where its name says, and the same in arrays."""
    rng, made, labels = np.random.default_rng(0), [], []
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(EACH):
            image = rng.integers(0, 120, (10, 12, channels))
            image[:, {"dark": slice(0), "left": slice(6), "right": slice(6, 12)}[name]] += 110
            made.append(image.astype(np.uint8))
            labels.append(number)
            Image.fromarray(made[-1].squeeze()).save(root / name / f"{i:02}.png")
    return np.array(made), np.array(labels)


def scores(variant):
    found = records.read(Evaluation, paths.evaluation(variant)).scores
    return [(score.split, score.kernels, score.value, score.outputs_sha256) for score in found]


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "until"), [(3, "bundle"), (1, "evaluate")])
def test_the_figures_of_a_folder_are_those_of_arrays(run_case, project, channels, until):
    images, labels = photos(project / "photos", channels)
    shared = {"validation": 0.2, "calibration": 20, "normalize": "standard"}
    sections = {
        "model": CNN,
        "train": TRAINING,
        "quantize": {"fp32": FP32, "int8": INT8},
        "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": SHORT},
    }
    case = run_case(prepare={"source": "folder", "path": "photos", **shared}, until=until, **sections)
    of_files = {variant: scores(variant) for variant in ("fp32", "int8")}
    assert case.quality("fp32") > 0.9
    if until == "bundle":
        said = {name: classify(project, name) for name in ("photos/left/07.png", "large.jpg", "pixels.npy")}
        assert {name: line["label"] for name, line in said.items()} == {
            "photos/left/07.png": "left", "large.jpg": "right", "pixels.npy": "left",
        }  # fmt: skip
        assert said["photos/left/07.png"] == said["pixels.npy"]
    (project / "arrays").mkdir()
    rows = {"inputs.image": images, "targets.label": labels, "classes": np.array(CLASSES)}
    np.savez(project / "arrays" / "train.npz", **rows)
    run_case(prepare={"source": "npz", "path": "arrays", **shared}, until="evaluate", **sections)
    assert {variant: scores(variant) for variant in ("fp32", "int8")} == of_files


def classify(project, name):
    """What the bundle says of a file."""
    with Image.open(project / "photos/left/07.png") as image:
        np.save(project / "pixels.npy", np.asarray(image))
    with Image.open(project / "photos/right/03.png") as image:
        image.resize((240, 200)).save(project / "large.jpg")
    words = [sys.executable, "-I", project / "out/bundles/host-cpu/classify.py", name]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)
