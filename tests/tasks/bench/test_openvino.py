import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.bench import devices, same_answers
from tasks.bench.kinds import openvino
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.runner import machine
from tasks.bench.setup import Setup
from tasks.bench.transport import RUNNER, Local
from tasks.errors import UnsupportedError
from tasks.params import Protocol

Described = Callable[[str], Artifact]
Predict = Callable[..., dict[str, np.ndarray]]


# without these instructions oneDNN adds pairs of products in 16 bits, which saturate past the calibrated range
VNNI = bool({"avx512_vnni", "avx_vnni", "asimd"} & set(machine.processor()["features"]))


@pytest.fixture
def setup(workshop: Path) -> Setup:
    return openvino.setup(devices.load("host-cpu-openvino"), Local())


@pytest.mark.parametrize(
    ("name", "tolerance", "stretch"),
    [("float32", 1e-4, 1.2), ("float16", 1e-4, 1.2), ("int8", 0.0045, 1.2 if VNNI else 1.0), ("int16x8", 1e-4, 0.6)],
)
def test_outputs_are_those_of_litert(
    predict: Predict,
    by_litert: Callable[[str, np.ndarray], np.ndarray],
    name: str,
    tolerance: float,
    stretch: float,
) -> None:
    # stretched past both ends of the calibrated range, or kept within it: int16x8 is computed in float32 and does not
    # saturate as the file says
    images = (np.random.default_rng(3).random((200, 8, 8, 1), np.float32) - 0.5) * stretch + 0.5
    (ours,), theirs = predict(name, {"image": images.astype(np.float32)}).values(), by_litert(name, images)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=tolerance)  # of integers: one step
    np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))


def test_what_it_refuses_names_the_operator_in_one_line(predict: Predict) -> None:
    with pytest.raises(UnsupportedError, match="No translator found for Igamma node") as caught:
        predict("custom", {"x": np.ones((1, 3), np.float32)})
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


def test_a_pair_is_measured_and_every_operator_tells_its_kernel(
    setup: Setup, described: Described, images: np.ndarray, tmp_path: Path, crowded: None
) -> None:
    np.savez(tmp_path / "inputs.npz", image=images)
    device, quick = devices.load("host-cpu-openvino"), Protocol(mode="quick", windows=1, window_s=0.02)
    inputs = tmp_path / "inputs.npz"
    request = Request(described("int8"), described("float32"), device, quick, inputs, {"test": Questions(inputs)})
    result = same_answers.measure(request)
    assert result.measurement.status == "ok"
    assert list(result.samples) == ["00-float32", "01-int8"]
    assert result.measurement.environment["runtime"].startswith("openvino 20")
    assert result.kept["test"].values.shape == (6, 4)
    kinds = [operator.kind for operator in result.measurement.operators]
    assert kinds.count("Convolution") == kinds.count("FullyConnected") == 1
    convolution = result.measurement.operators[kinds.index("Convolution")]
    assert convolution.ran_on is not None
    assert convolution.ran_on.lower().endswith("i8")
    assert convolution.ms is not None
    assert 0 < convolution.ms < 1000


def test_nobody_is_told_that_it_is_used(setup: Setup, described: Described, images: np.ndarray, tmp_path: Path) -> None:
    """Without the runner's care, importing it looks its vendor up and writes a client number to the home folder."""
    np.savez(tmp_path / "given.npz", image=images)
    artifact = described("float32")
    paths = {"model": str(artifact.path), "inputs": str(tmp_path / "given.npz"), "outputs": str(tmp_path / "out.npz")}
    code = f"""
import os, runpy, sys
heard = lambda event, args: event.startswith("socket.") and os.write(2, f"heard {{event}}\\n".encode())
sys.addaudithook(heard)
sys.path.insert(0, {str(RUNNER.parent)!r})
runpy.run_module("runner", run_name="__main__", alter_sys=True)
print(*(name for name in sys.modules if "telemetry" in name), file=sys.stderr)
"""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(setup.ask("predict", artifact) | paths),
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["status"] == "ok"
    assert not done.stderr.strip()
    assert not list(home.iterdir())
