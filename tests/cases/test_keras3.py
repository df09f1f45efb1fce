"""Files of Keras 3 through the stages: they answer, become integers and train on as they do in Keras 3 itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ConversionError

FP32 = {"model": "baseline", "scheme": "float32"}
INT8 = {"model": "baseline", "scheme": "int8"}
TOGETHER = ("operations", "recurrent", "dropout")  # made by one process


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keras3_models")


@pytest.fixture
def made(folder, write_data):
    """A function that has Keras 3 make a model, writes the data for it, and returns its file and what came of it."""

    def make(name):
        if not (folder / f"{name}.keras").exists():
            environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
            environment.pop("TF_USE_LEGACY_KERAS", None)
            names = TOGETHER if name in TOGETHER else (name,)
            command = [sys.executable, str(Path(__file__).parent / "keras3_models.py"), str(folder), *names]
            subprocess.run(command, env=environment, check=True, timeout=280, capture_output=True)
        with np.load(folder / f"{name}.npz") as stored:
            arrays = dict(stored)
        write_data(
            {"x": arrays["x"]}, arrays["label"], classes=[f"class {i}" for i in range(arrays["answers"].shape[1])]
        )
        held = np.arange(len(arrays["label"])) % 4 == 3
        right = np.mean((arrays["answers"].argmax(-1) == arrays["label"])[held])
        return str(folder / f"{name}.keras"), right, arrays

    return make


@pytest.mark.slow
def test_a_graph_of_operations_becomes_integers(run_case, made):
    source, right, _ = made("operations")
    case = run_case(source, quantize={"fp32": FP32, "int8": INT8}, until="evaluate")
    assert case.quality("fp32") == right > 0.9
    assert case.quality("int8") > right - 0.1


@pytest.mark.slow
def test_recurrent_layers_of_an_older_keras_3(run_case, made):
    """keras #20128, #21663: their initializer had another name."""
    source, right, _ = made("recurrent")
    case = run_case(source, quantize={"fp32": FP32}, until="evaluate")
    assert case.quality("fp32") == right > 0.9


@pytest.mark.slow
def test_dropout_acts_in_training_on(run_case, made):
    from_keras3 = {"epochs": 15, "learning_rate": 0.002, "batch_size": 32}  # as keras3_models.py trains on
    source, right, arrays = made("dropout")
    case = run_case(
        source,
        compress={"more": {"parent": "baseline", "method": "finetune", **from_keras3}},
        quantize={"fp32": FP32},
        until="evaluate",
    )
    assert case.quality("fp32") == right
    loss = case.card("models", "more")["history"]["loss"][-1]
    assert arrays["loss"] / 2 < loss < arrays["loss"] * 2  # without dropout it ends below a hundredth


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mobilenet_v3_becomes_integers(run_case, made):
    """keras #18842: hard_silu and hard_sigmoid, within a network of keras.applications that scales bytes itself."""
    source, right, _ = made("mobile")
    case = run_case(source, quantize={"fp32": FP32, "int8": INT8}, until="evaluate")
    assert case.quality("fp32") == right > 0.9
    assert case.quality("int8") > right - 0.1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_layers_of_every_kind_become_integers_but_those_that_are_named(run_case, made):
    """Whoever leaves out what a refusal names has it in the end; ai-edge-quantizer lacks more than the converter."""
    source, right, _ = made("many_layers")
    excluded = []
    for kind in ("SQUARE", "PRELU"):
        with pytest.raises(ConversionError, match=rf"{kind} \(layer .* stayed float32") as caught:
            run_case(source, quantize={"fp32": FP32, "int8": INT8 | {"exclude": excluded}}, until="quantize")
        excluded += re.search(r"`exclude: \[(.*?)\]`", str(caught.value))[1].split(", ")
    case = run_case(source, quantize={"fp32": FP32, "int8": INT8 | {"exclude": excluded}}, until="evaluate")
    assert case.quality("fp32") == right > 0.9
    assert case.quality("int8") > right - 0.1
