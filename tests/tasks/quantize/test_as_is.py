"""A LiteRT file that takes pixels as they are is not given scaled ones, which it would all round to nothing.

Nor is one that takes scaled pixels given others, which it would all clip to the largest.
"""

import numpy as np
import pytest

from tasks.bench.runner.arrays import quantize
from tasks.errors import ModelError
from tasks.examples.dataset import Pixels, Spec, TensorSpec
from tasks.quantize.as_is import _answering, _checked
from tasks.records import Tensor

SCALED, RAW = Pixels((0.0,) * 3, (255.0,) * 3), Pixels((0.0,) * 3, (1.0,) * 3)


def checked(scale, pixels, dtype="uint8", zero_point=0):
    tensor = Tensor(name="x", shape=(8, 8, 3), dtype=dtype, scale=scale, zero_point=zero_point)
    return _checked("own", tensor, [1, 8, 8, 3], TensorSpec((8, 8, 3), "float32", pixels=pixels))


def test_pixels_that_are_scaled_are_refused_where_the_file_takes_bytes():
    with pytest.raises(ModelError, match=r"takes pixels from 0 to 255, .* set `prepare\.normalize: none`"):
        checked(1.0, SCALED)
    with pytest.raises(ModelError, match=r"takes pixels from 0 to 255"):
        checked(255 / 32767, SCALED, "int16")


@pytest.mark.parametrize(
    ("scale", "dtype", "zero_point", "top"),
    [
        (1 / 255, "uint8", 0, "1"),
        (1 / 255, "int8", -128, "1"),
        (1 / 32767, "int16", 0, "1"),
        (0.02, "int8", -10, "2.74"),
    ],
)
def test_pixels_as_they_are_are_refused_where_the_file_would_clip_them(scale, dtype, zero_point, top):
    clipped = quantize(np.array([16.0, 255.0], np.float32), dtype, scale, zero_point)
    assert len(set(clipped)) == 1, "all but the darkest pixels would be one number"
    with pytest.raises(
        ModelError, match=rf"takes numbers up to {top}, .* set `prepare\.normalize` to unit or standard"
    ):
        checked(scale, RAW, dtype, zero_point)


@pytest.mark.parametrize(("scale", "pixels"), [(1.0, RAW), (1 / 255, SCALED), (1 / 127.5, SCALED), (0.03, None)])
def test_what_fits_is_taken(scale, pixels):
    assert checked(scale, pixels).shape == (8, 8, 3)


def test_bytes_fit_into_integers_of_any_width():
    assert checked(1.0, RAW, "int8", -128).shape == checked(255 / 32767, RAW, "int16").shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("task", "shape", "wanted"),
    [
        ("reconstruction", [-1, -1, -1, 3], (8, 8, 3)),
        ("classification", [-1, 2], (2,)),
        ("classification", [1, -1], (2,)),
    ],
)
def test_an_answer_of_any_size_is_one_of_the_data_s(task, shape, wanted):
    spec = Spec({"x": TensorSpec((8, 8, 3), "float32")}, ("no", "yes"), task)
    own = Tensor(name="y", shape=tuple(max(size, 1) for size in shape[1:]), dtype="float32")
    (output,) = _answering("own", (own,), [shape], spec)
    assert output.shape == wanted
    label, other = Tensor(name="label", shape=own.shape, dtype="float32"), Tensor(name="z", shape=(5,), dtype="float32")
    assert [each.shape for each in _answering("own", (other, label), [[1, 5], shape], spec)] == [(5,), wanted]
    with pytest.raises(ModelError, match=r"one output of \[.*\] is expected"):
        _answering("own", (own,), [[*shape[:-1], 7]], spec)
