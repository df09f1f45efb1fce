"""Examples in JSON become arrays, or a line that says what is wrong with them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.serve import inputs

ODD = st.sampled_from([-1, 256, 10**30, 0.5, True, False, None, "7", [], [1], {}])
PARTS = st.sampled_from([7, None, "77", [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], {"1": 1, "2": 2}])  # for a row, say


@st.composite
def images(draw: st.DrawFn) -> tuple[list[int], list[Any]]:
    """A shape, and images as JSON has them: with the axis of channels or without, sometimes with something odd."""
    shape = [draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))]
    axes = [draw(st.integers(1, 3)), *shape]
    if shape[-1] == 1 and draw(st.booleans()):
        del axes[-1]
    if draw(st.integers(0, 3)) == 3:
        axes[draw(st.integers(1, len(axes) - 1))] += draw(st.sampled_from([-1, 1]))
    if draw(st.integers(0, 3)) == 3:  # as many numbers, otherwise nested
        axes[1:] = draw(st.permutations(axes[1:]))
    numbers = st.integers(0, 255) | ODD if draw(st.booleans()) else st.integers(0, 255)
    if draw(st.integers(0, 9)) == 9:
        numbers = st.booleans()

    def nested(axes: list[int]) -> Any:
        return [nested(axes[1:]) for _ in range(axes[0])] if axes else draw(numbers)

    whole = nested(axes)
    if draw(st.integers(0, 3)) == 3:  # somewhere in it, another part
        part = whole
        for _ in range(draw(st.integers(0, len(axes) - 2))):
            part = part[-1] if part and isinstance(part[-1], list) else part
        part[-1:] = [draw(PARTS)]
    return shape, whole


def read(shape: list[int], examples: list[Any]) -> Any:
    spec = {"image": {"kind": "image", "shape": shape}}
    try:
        return inputs.arrays(examples, spec, None)["image"]
    except ValueError as error:
        return str(error)


@given(images())
def test_pixels_are_read_as_numpy_reads_them(drawn: tuple[list[int], list[Any]]) -> None:
    """The quick way and numpy's own agree on what is an image, on its pixels, and on what is said where it is none."""
    shape, examples = drawn
    found = read(shape, examples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "_pixels", lambda *_: None)
        expected = read(shape, examples)
    assert type(found) is type(expected)
    if isinstance(found, str):
        assert found == expected
        return
    assert found.dtype == expected.dtype == np.uint8
    np.testing.assert_array_equal(whole(shape, found), whole(shape, expected))


def whole(shape: list[int], found: Any) -> Any:
    """With the axis of channels: a bundle's preprocessing takes grey images with and without."""
    return found[..., np.newaxis] if found.ndim == len(shape) and shape[-1] == 1 else found


@pytest.mark.parametrize("channels", [[], [1], [3]])
def test_images_are_read_the_quick_way(channels: list[int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 4, *channels), np.uint8)
    found = inputs._pixels(image.tolist(), [5, 4, *(channels or [1])])
    assert found is not None
    np.testing.assert_array_equal(found.reshape(image.shape), image)


@pytest.mark.parametrize("other", [(4, 5), (20, 1), (1, 20), (10, 2)])
def test_as_many_numbers_of_another_form_are_no_image(other: tuple[int, int]) -> None:
    assert inputs._pixels(np.zeros((2, *other), int).tolist(), [5, 4, 1]) is None
