"""A LiteRT file that takes pixels as they are is not given scaled ones, which it would all round to nothing."""

import pytest

from tasks.errors import ModelError
from tasks.examples.dataset import Pixels, TensorSpec
from tasks.quantize.as_is import _checked
from tasks.records import Tensor

SCALED, RAW = Pixels((0.0,) * 3, (255.0,) * 3), Pixels((0.0,) * 3, (1.0,) * 3)


def checked(scale, pixels):
    tensor = Tensor(name="x", shape=(8, 8, 3), dtype="uint8", scale=scale, zero_point=0)
    return _checked("own", tensor, [1, 8, 8, 3], TensorSpec((8, 8, 3), "float32", pixels=pixels))


def test_pixels_that_are_scaled_are_refused_where_the_file_takes_bytes():
    with pytest.raises(ModelError, match=r"takes pixels from 0 to 255, .* set `prepare\.normalize: none`"):
        checked(1.0, SCALED)


@pytest.mark.parametrize(("scale", "pixels"), [(1.0, RAW), (1 / 255, SCALED), (1 / 127.5, SCALED), (0.03, None)])
def test_what_fits_is_taken(scale, pixels):
    assert checked(scale, pixels).shape == (8, 8, 3)
