"""A file of Keras 3 comes out as int8 on three devices, by one command; and a change of the file is seen."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DEVICES = ("host-cpu", "host-cpu-2t", "ethos-u55-128")
MAKE = """
import sys
import keras
from keras import layers

keras.utils.set_random_seed(int(sys.argv[1]))
x = inputs = layers.Input((28, 28, 1), name="pixels")
x = layers.Activation("relu6")(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, padding="same")(x)))
y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x))
x = layers.Conv2D(8, 1)(y) + x
x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
keras.Model(inputs, layers.Dense(10)(x), name="net").save("model.keras")
"""


def make(clone, seed):
    environment = clone.env | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", MAKE, str(seed)], cwd=clone.root, env=environment, timeout=300, check=True)


def test_a_keras_3_file_becomes_int8_on_three_devices(make_clone, outcomes):
    clone = make_clone()
    make(clone, 1)

    def own(params):
        params["model"] = {"family": "file", "source": "model.keras"}
        params["train"] = {"epochs": 0}
        params["compress"] = {}
        params["quantize"] = {
            "fp32": {"model": "baseline", "scheme": "float32"},
            "int8": {"model": "baseline", "scheme": "int8"},
        }
        params["benchmark"]["devices"] = list(DEVICES)

    clone.change(own)
    said = clone.run("tercet", "run")
    assert {"train", "quantize int8"} <= outcomes(said)["ran"]
    for device in DEVICES:
        found = json.loads((clone.root / f"out/benchmarks/int8@{device}.json").read_text())
        assert (found["status"], found["reason"]) == ("ok", None)
        assert found["phases"]["infer"]["latency"]["ms_p50"] > 0
    card = json.loads((clone.root / "out/artifacts/int8/card.json").read_text())
    assert {tensor["dtype"] for tensor in (*card["inputs"], *card["outputs"])} == {"int8"}
    assert card["inputs"][0]["name"] == "image"
    assert json.loads((clone.root / "out/models/baseline/card.json").read_text())["epochs"] == 0

    assert not any(outcomes(clone.run("tercet", "run")).values())
    make(clone, 2)
    again = outcomes(clone.run("tercet", "run"))["ran"]
    assert {"train", "quantize fp32", "evaluate int8"} <= again
    assert "prepare" not in again
