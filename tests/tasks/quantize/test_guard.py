"""A file that does not answer as it must is refused, with by how much and where; arithmetic alone is no reason."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks.errors import ConversionError
from tasks.examples import Arrays
from tasks.quantize import guard, litert

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
GOLDEN = Path(__file__).resolve().parents[2] / "golden"
RNG = np.random.default_rng(0)
SEQUENCES = Arrays({"sequence": RNG.normal(size=(40, 5, 2)).astype(np.float32)}, {})
POINTS = Arrays({"x": RNG.normal(size=(40, 6)).astype(np.float32)}, {})


def forgetful(artifact, examples, calls=(), asked=None):
    """What a file answers where nobody sets its state back."""
    interpreter = Interpreter(str(artifact))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for example in examples.inputs["sequence"]:
        interpreter.set_tensor(taken["index"], example[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(given["index"])[0])
    return {given["name"]: np.array(rows)}, "LiteRT"


def test_what_an_example_leaves_behind_is_noticed(monkeypatch):
    content = (GOLDEN / "recurrent.tflite").read_bytes()
    assert guard.check(content, "as-is", SEQUENCES) is None
    monkeypatch.setattr(guard, "predict", forgetful)
    with pytest.raises(ConversionError, match=r"example \d+ otherwise when others were asked before it, by 0\.\d+"):
        guard.check(content, "as-is", SEQUENCES)


def test_no_number_is_no_answer():
    a, b = (np.ones((6, 3), np.float32) for _ in range(2))
    a[4], b[4] = 1e30, 1e30
    with pytest.raises(ConversionError, match=r"'product' is no finite number for 1 of 6 .*first for example 4;"):
        guard.check((GOLDEN / "two.tflite").read_bytes(), "as-is", Arrays({"a": a, "b": b}, {}))


def network(steepness):
    keras.utils.set_random_seed(0)
    given = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(16, "tanh")(given)
    logits = keras.layers.Dense(3)(hidden)
    model = keras.Model(given, keras.layers.Softmax()(logits))
    model.layers[2].set_weights([weight * steepness for weight in model.layers[2].get_weights()])
    return model


@pytest.mark.parametrize(
    ("steepness", "scheme", "step"), [(1, "float32", 1e-4), (1, "float16", 0.05), (3000, "float32", 300)]
)
def test_floats_are_held_to_what_their_arithmetic_may_change(steepness, scheme, step):
    model = network(steepness)
    content = litert.convert(model, scheme, None)
    weights = model.get_weights()
    distance = guard.check(content, scheme, POINTS, model)
    assert (0 if scheme == "float32" else 1e-6) <= distance < 1e-2  # processors there are that compute both alike
    assert all((a == b).all() for a, b in zip(model.get_weights(), weights, strict=True))
    model.layers[2].set_weights([weights[2], weights[3] + step * np.array([1, 0, 0], np.float32)])
    with pytest.raises(ConversionError, match=rf"scheme {scheme}: .* off by .*explains .*most at example \d+, by"):
        guard.check(content, scheme, POINTS, model)


def test_an_answer_of_keras_that_is_no_number_is_told_as_keras():
    model = network(1)
    content = litert.convert(model, "float32", None)
    model.layers[2].set_weights([model.layers[2].get_weights()[0], np.array([0, np.inf, 0], np.float32)])
    with pytest.raises(ConversionError, match=r"the Keras model's output 'softmax.*' is no finite number for 24 of 24"):
        guard.check(content, "float32", POINTS, model)
