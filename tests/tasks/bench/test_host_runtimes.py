"""What each runtime that reads whole files in this machine's processor does alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.bench import devices
from tasks.bench.kinds import onnxruntime, openvino
from tasks.bench.setup import Setup
from tasks.bench.transport import Local
from tasks.errors import DeviceError

Predict = Callable[..., dict[str, np.ndarray]]
MODULES = {"onnxruntime": onnxruntime, "openvino": openvino}


@pytest.fixture(params=MODULES)
def setup(request: pytest.FixtureRequest, workshop: Path, no_converter: None) -> Setup:
    return MODULES[request.param].setup(devices.load(f"host-cpu-{request.param}"), Local())


def test_inputs_and_outputs_have_the_artifact_s_names_whatever_the_file_s_order(predict: Predict) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 3), np.float32), rng.random((4, 3), np.float32)
    outputs = predict("two", {"a": a, "b": b})  # which lie there as b, a
    np.testing.assert_allclose(outputs["difference"], a - b, rtol=1e-6)
    np.testing.assert_allclose(outputs["product"], a * b, rtol=1e-6)


def test_misshapen_inputs_are_an_error_and_no_verdict_of_the_runtime(predict: Predict, images: np.ndarray) -> None:
    with pytest.raises(DeviceError, match="predict of"):
        predict("float32", {"image": images[:, :4]})
