"""Layers whose operators have no integers: named with the way out, and the way out is one."""

import re

import numpy as np
import pytest

from tasks.bench.predict import predict
from tasks.errors import ConversionError, UnsupportedError
from tasks.examples import Arrays
from tasks.params import Quantize
from tasks.quantize import guard, layers, mixed
from tasks.stages.evaluate import kernels_for
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.fixture(scope="module")
def network():
    """ELU, SQUARE and a comparison; of these TensorFlow's converter makes no integers."""
    fit.reset(0)
    given = keras.Input((6, 6, 4), name="x")
    x = keras.layers.Conv2D(8, 3, name="first")(given)
    x = keras.layers.GroupNormalization(2, name="groups")(keras.layers.ELU(name="bend")(x))
    x = keras.layers.ThresholdedReLU(0.1, name="cut")(keras.layers.Dense(6, activation="elu", name="wide")(x))
    model = keras.Model(given, keras.layers.Dense(3, name="scores")(keras.layers.Flatten()(x)))
    return model, Arrays({"x": np.random.default_rng(0).normal(size=(24, 6, 6, 4)).astype(np.float32)}, {})


def refused(network, **options):
    model, examples = network
    with pytest.raises(ConversionError) as caught:
        mixed.as_asked(model, Quantize(model="baseline", **options), examples, examples)
    return str(caught.value)


@pytest.mark.parametrize("ranges", ["min-max", "mse"])
def test_what_has_no_integers_is_left_out_by_the_line_that_the_refusal_gives(network, ranges):
    model, examples = network
    said = refused(network, scheme="int8", ranges=ranges)
    for operator in ("ELU (layer bend)", "SQUARE (layer groups)", "ELU (layer wide)"):
        assert operator in said
    assert "QUANTIZE (" not in said  # which only stand around them
    line = re.search(r"`exclude: \[(.*?)\]`", said)
    made = mixed.as_asked(
        model, Quantize(model="baseline", scheme="int8", ranges=ranges, exclude=line[1].split(", ")), examples
    )
    kinds = {operator.kind for operator in layers.floats(made.content)}
    assert {"ELU", "SQUARE"} < kinds
    assert {"CONV_2D", "DIV"}.isdisjoint(kinds)
    assert guard.check(made.content, "int8", examples, model) < 0.1


def test_the_kernels_of_devices_elsewhere_are_asked_for_integers_alone(network, golden, tmp_path):
    """LiteRT's reference kernels have no ELU."""
    model, examples = network
    entry = Quantize(model="baseline", scheme="int8", exclude=("bend", "groups", "wide", "cut"))
    file = tmp_path / "model.tflite"
    file.write_bytes(mixed.as_asked(model, entry, examples).content)
    with pytest.raises(UnsupportedError, match="ELU"):
        predict(file, examples, "reference")
    assert kernels_for(file) == kernels_for(golden / "float32.tflite") == ("default",)
    assert kernels_for(golden / "int8.tflite") == kernels_for(golden / "int16x8.tflite") == ("default", "reference")


def test_where_layers_cannot_be_left_out_nobody_is_told_to(network):
    said = refused(network, scheme="int16x8")
    assert "no int16x8 of ELU; use scheme int8 or dynamic" in said
    assert "exclude" not in said


def test_a_mask_of_tokens_is_named_where_it_has_no_integers():
    fit.reset(0)
    given = keras.Input((5,), dtype="int32", name="tokens")
    x = keras.layers.LSTM(3, unroll=True)(keras.layers.Embedding(9, 4, mask_zero=True)(given))
    model = keras.Model(given, keras.layers.Dense(2, activation="softmax")(x))
    examples = Arrays({"tokens": np.random.default_rng(0).integers(0, 9, (8, 5)).astype(np.int32)}, {})
    said = refused((model, examples), scheme="int16x8")
    assert "whole numbers serving_default_tokens:0, as a mask does (mask_zero" in said
    made = mixed.as_asked(model, Quantize(model="baseline", scheme="dynamic"), examples)
    assert guard.check(made.content, "dynamic", examples, model) < 0.1, "which is the way out"
