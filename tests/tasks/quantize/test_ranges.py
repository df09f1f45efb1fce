"""Ranges against numpy on the values themselves, and on a network whose activations are known in closed form."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks.errors import ConversionError
from tasks.examples import Arrays
from tasks.quantize import ranges

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
BUCKET = 1 / 128  # a bucket's width over its values


def histogram(values):
    made = ranges.Histogram()
    for part in np.array_split(np.asarray(values, np.float32), 7):
        made.add(part)
    return made


def test_the_ranges_of_a_network_are_those_of_its_activations():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400, 3)).astype(np.float32)
    content = (GOLDEN / "two.tflite").read_bytes()
    details = Interpreter(model_content=content).get_signature_runner().get_output_details()
    expected = {details["difference"]["name"]: a - b, details["product"]["name"]: a * b}

    def found(method, percentile=99.9):
        given = ranges.find(content, Arrays({"a": a, "b": b}, {}), method, percentile, 8)
        assert len(given) == 4
        return {name: given[name] for name in expected}

    for name, values in expected.items():
        assert found("min-max")[name] == (values.min(), values.max())
        for percent in (90.0, 99.0):
            tail = (100 - percent) / 2
            ends = np.percentile(values, [tail, 100 - tail], method="lower")  # values that occur, none between
            assert found("percentile", percent)[name] == pytest.approx(tuple(ends), rel=BUCKET)


def test_the_ranges_of_a_recurrent_network_are_those_of_each_example_by_itself():
    content = (GOLDEN / "recurrent.tflite").read_bytes()
    sequences = np.random.default_rng(5).normal(size=(8, 5, 2)).astype(np.float32)

    def found(chosen):
        return ranges.find(content, Arrays({"sequence": chosen}, {}), "min-max", 100.0, 8)

    single = [found(sequence[None]) for sequence in sequences]
    for name, (low, high) in found(sequences).items():
        assert (low, high) == (min(each[name][0] for each in single), max(each[name][1] for each in single))


@pytest.mark.parametrize("percent", [60.0, 99.0, 99.99])
def test_a_percentile_holds_as_many_values_as_it_says(percent):
    values = np.random.default_rng(1).gamma(2.0, size=50_000) - 1
    left = (100 - percent) / 200
    for end, outside in zip(ranges.inner(histogram(values), percent), (np.less, np.greater), strict=True):
        least, most = (np.mean(outside(values, end + side * BUCKET * abs(end))) for side in (-1, 1))
        assert min(least, most) - 2e-5 <= left <= max(least, most) + 2e-5


def rounded(values, low, high, bits):
    """What is left of values after quantization, the plain way: zero has a place of its own."""
    if bits == 16:
        scale, zero, ends = max(-low, high) / 32767, 0.0, (-32767, 32767)
    else:
        scale = (high - low) / 255
        zero, ends = np.round(-128 - low / scale), (-128, 127)
    return (np.clip(np.round(values / scale + zero), *ends) - zero) * scale


SAMPLES = {
    "normal": lambda rng: rng.normal(size=20_000),
    "outlier": lambda rng: np.append(rng.normal(size=20_000), 300.0),
    "one-sided": lambda rng: np.append(np.maximum(rng.normal(size=20_000), 0), 150.0),
    "heavy": lambda rng: rng.standard_t(2, size=20_000),
    "mostly zero": lambda rng: np.concatenate([np.zeros(400_000), rng.normal(size=4000), [20.0]]),
    "uniform": lambda rng: rng.random(20_000) - 0.2,
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", SAMPLES)
def test_no_range_of_a_fine_grid_gives_a_smaller_error(kind, bits):
    values = SAMPLES[kind](np.random.default_rng(2)).astype(np.float32).astype(np.float64)

    others = values[values != 0]

    def error(low, high):
        return np.sum((rounded(others, low, high, bits) - others) ** 2)

    grid = [0.9**i for i in range(0, 80, 2)]
    lowest = min(values.min(), 0.0)
    best = min(error(lowest * i, values.max() * j) for i in (grid if lowest else [0]) for j in grid)
    assert error(*ranges.least_error(histogram(values), bits)) <= 1.1 * best


def test_values_that_are_all_zero_have_a_range():
    assert ranges.least_error(histogram(np.zeros(10)), 8) == (0.0, 0.0)
    assert ranges.inner(histogram(np.zeros(10)), 99.0) == (0.0, 0.0)


def test_what_is_not_finite_has_no_range():
    ones = np.ones((2, 3), np.float32)
    content = (GOLDEN / "two.tflite").read_bytes()
    with pytest.raises(ConversionError, match="is not finite on an example"):
        ranges.find(content, Arrays({"a": ones * np.inf, "b": ones}, {}), "mse", 99.0, 8)
    with pytest.raises(ConversionError, match="no examples"):
        ranges.find(content, Arrays({"a": ones[:0], "b": ones[:0]}, {}), "mse", 99.0, 8)
