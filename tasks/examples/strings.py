"""Texts and categories as arrays of numbers, in which each different one is written once."""

from itertools import pairwise

import numpy as np

from tasks.examples import Array


def parts(strings: Array) -> dict[str, Array]:
    """What is written of str objects [...]: three arrays, by the end of the file's name.

    The bytes of all that differ in a row (UTF-8), where each of them ends, and which one is at each place, [...].
    """
    known: dict[str, int] = {}
    found = np.fromiter((known.setdefault(each, len(known)) for each in strings.ravel()), np.int32, strings.size)
    content = [each.encode() for each in known]
    ends = np.cumsum([len(each) for each in content], dtype=np.int64)
    which = found.astype(np.min_scalar_type(max(len(known) - 1, 0))).reshape(strings.shape)
    return {"": np.frombuffer(b"".join(content), np.uint8), ".ends": ends, ".which": which}


def whole(content: Array, ends: Array, which: Array) -> Array:
    """The str objects [...] that `parts` were made of; those that are equal are one in memory.

    Raises:
        ValueError: the arrays do not belong together.
    """
    if (ends[-1:] != len(content)).any() or (which.size and which.max() >= len(ends)):
        raise ValueError("its arrays do not belong together")
    told = content.tobytes()
    known = np.empty(len(ends), object)
    known[:] = [told[start:end].decode() for start, end in pairwise([0, *ends.tolist()])]
    return known[which]
