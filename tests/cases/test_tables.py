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


def houses(count=400, seed=1):
    """An area, a place, and the price, which is what both say and a little noise."""
    rng = np.random.default_rng(seed)
    area, place = rng.normal(100, 30, count), rng.integers(0, 3, count)
    price = 2000 * area + 50_000 * place + rng.normal(0, 5000, count) + 1e6
    return [[f"{a:.2f}", COLORS[p], f"{b:.0f}"] for a, p, b in zip(area, place, price, strict=True)]


@pytest.fixture
def answers(project):
    """A function: what the bundle of this machine says of a file."""

    def run(name):
        words = [sys.executable, "-I", project / "out/bundles/host-cpu/classify.py", name]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.slow
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


@pytest.mark.slow
def test_values_are_told_in_their_own_unit(run_case, project, answers):
    write(project / "houses.csv", houses(), ("area", "place", "price"))
    case = run_case(
        prepare={
            "source": "csv",
            "path": "houses.csv",
            "target": "price",
            "task": "regression",
            "normalize": "standard",
        },
        model={"family": "mlp", "hidden": [24]},
        train=TRAINING | {"epochs": 40},
        quantize={"fp32": FP32, "int8": {"model": "baseline", "scheme": "int8"}},
        benchmark={"reference": "fp32", "devices": ["host-cpu"], "protocol": SHORT},
        bundle={"default": {"minimize": "latency_ms"}},
        until="bundle",
    )
    table = np.array([(float(area), COLORS.index(place), float(price)) for area, place, price in houses()])
    spread = table[:, 2].std()
    assert case.quality("fp32") < 0.2 * spread  # the root mean squared error, where the noise is 5000
    assert case.quality("int8") < 0.3 * spread
    write(project / "new.csv", [["100", "red"], ["100", "blue"], ["200", "red"]], ("area", "place"))
    told = [line["value"] for line in answers("new.csv")]
    assert told == pytest.approx([1.2e6, 1.3e6, 1.4e6], abs=0.5 * spread)


@pytest.mark.slow
def test_several_labels_at_once_are_each_learnt(run_case, write_data):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    labels = (x[:, :3] + rng.normal(0, 0.2, (400, 3)) > 0.5).astype(np.uint8)
    write_data({"x": x}, labels, classes=["cloud", "rain", "wind"])
    case = run_case(
        prepare={"source": "npz", "path": "data", "task": "multilabel", "validation": 0.2},
        model={"family": "mlp", "hidden": [24]},
        train=TRAINING,
        quantize={"fp32": FP32, "int8": {"model": "baseline", "scheme": "int8"}},
        until="evaluate",
    )
    assert case.quality("fp32") > 0.95
    assert case.quality("int8") > 0.93
