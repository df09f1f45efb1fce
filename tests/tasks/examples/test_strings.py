"""Texts and categories come back as they were, and what is there again and again takes little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from tasks.examples import strings

SIGNS = st.characters(exclude_categories=["Cs"])


@given(some.arrays(object, some.array_shapes(max_dims=2, min_side=0), elements=st.text(SIGNS, max_size=4)))
def test_strings_come_back(made: np.ndarray) -> None:
    written = strings.parts(made)
    assert all(part.dtype != object for part in written.values())
    found = strings.whole(*(written[end] for end in ("", ".ends", ".which")))
    assert found.shape == made.shape
    assert found.tolist() == made.tolist()


@pytest.mark.parametrize(("different", "width"), [(256, 1), (257, 2), (70_000, 4)])
def test_each_is_written_once_and_a_place_takes_as_few_bytes_as_tell_them_apart(different: int, width: int) -> None:
    made = np.array([f"{number % different:05}" for number in range(100_000)], object).reshape(-1, 10)
    written = strings.parts(made)
    assert written[""].nbytes == 5 * different
    assert written[".which"].nbytes == width * made.size
    found = strings.whole(*(written[end] for end in ("", ".ends", ".which")))
    assert len({id(each) for each in found.ravel()}) == different, "those that are equal are one in memory"


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    written = strings.parts(np.array(["ab", "c", "ab"], object))
    content, ends, which = (written[end] for end in ("", ".ends", ".which"))
    for damaged in ((content[:-1], ends, which), (content, ends[:-1], which), (content, ends, which + np.uint8(1))):
        with pytest.raises(ValueError, match="do not belong together"):
            strings.whole(*damaged)
    with pytest.raises(ValueError, match="decode"):
        strings.whole(np.full(3, 255, np.uint8), ends, which)
