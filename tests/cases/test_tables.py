"""Tables as CSV files, through every stage to the bundle that reads one."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

COLORS = ("red", "green", "blue")
FP32 = {"model": "baseline", "scheme": "float32"}
SHORT = {"mode": "quick", "windows": 2, "window_s": 0.05}
TRAINING = {"epochs": 20, "batch_size": 32, "learning_rate": 0.01}


def rows(count=400, seed=0):
    """A point in the plane, a colour and a note; the class is the side of a line that the colour moves."""
    rng = np.random.default_rng(seed)
    x, y, color = rng.normal(50, 20, count), rng.normal(0, 1, count), rng.integers(0, 3, count)
    kind = np.where((x - 50) / 20 + y > color - 1, "high", "low")
    table = [[f"{a:.4f}", f"{b:.4f}", COLORS[c], k] for a, b, c, k in zip(x, y, color, kind, strict=True)]
    for place in rng.choice(count, count // 20, replace=False):
        table[place][place % 3] = ""
    return table


def write(path, table, header=("x", "y", "color", "kind")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *table])


@pytest.fixture
def answers(project):
    """A function: what the bundle of this machine says of a file."""

    def run(name):
        words = [sys.executable, "-I", project / "out/bundles/host-cpu/classify.py", name]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_a_table_is_trained_compressed_measured_and_shipped(run_case, project, answers):
    write(project / "things.csv", rows())
    case = run_case(
        prepare={"source": "csv", "path": "things.csv", "target": "kind", "normalize": "standard", "calibration": 50},
        model={"family": "mlp", "hidden": [24, 16]},
        train=TRAINING,
        compress={"slim": {"parent": "baseline", "method": "slim", "keep": 0.5, "epochs": 4, "learning_rate": 0.01}},
        quantize={"fp32": FP32, "slim-int8": {"model": "slim", "scheme": "int8"}},
        benchmark={"reference": "fp32", "devices": ["host-cpu"], "protocol": SHORT},
        until="bundle",
    )
    assert case.quality("fp32") > 0.85
    assert case.quality("slim-int8") > case.quality("fp32") - 0.1
    measured = case.measurement("slim-int8", "host-cpu")
    assert measured.status == "ok", measured.reason
    assert [tensor["name"] for tensor in case.card("artifacts", "slim-int8")["inputs"]] == ["numbers", "categories"]
    new = [["x", "color", "y"], ["90", "red", "1.5"], ["10", "blue", "-1.5"], ["", "yellow", "3"]]
    write(project / "new.csv", new[1:], new[0])
    said = answers("new.csv")
    assert [line["label"] for line in said] == ["high", "low", "high"]
