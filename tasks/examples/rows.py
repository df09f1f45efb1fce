"""Prepared inputs side by side as rows of plain numbers, for methods that know nothing of shapes and vocabularies."""

from collections.abc import Mapping

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Arrays, Examples, chunks
from tasks.examples.dataset import TensorSpec

MOST = 2**28  # numbers: a gibibyte


def width(inputs: Mapping[str, TensorSpec]) -> int:
    """How many numbers a row has."""
    return sum(each.vocabulary_size or int(np.prod(each.shape)) for each in inputs.values())


def rows(examples: Examples, inputs: Mapping[str, TensorSpec]) -> Array:
    """All examples in memory: float32 [n, width].

    Raises:
        DataError: they are too many numbers.
    """
    if len(examples) * width(inputs) > MOST:
        raise DataError(
            f"{len(examples)} examples of {width(inputs)} numbers are more than {MOST:,} in memory; choose another "
            "yardstick, or set prepare.limit"
        )
    return np.concatenate([flat(chunk, inputs) for chunk in chunks(examples)])


def flat(examples: Arrays, inputs: Mapping[str, TensorSpec]) -> Array:
    """Of each example its numbers as they are, and of what is numbered how often each number is there.

    Args:
        examples: prepared.
        inputs: what they are.

    Returns:
        float32 [n, width].
    """
    parts = []
    for name, each in inputs.items():
        array = examples.inputs[name].reshape(len(examples), -1)
        parts.append(array if each.vocabulary_size is None else _counted(array, each.vocabulary_size))
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


def _counted(numbers: Array, size: int) -> Array:
    places = numbers.astype(np.int64) + size * np.arange(len(numbers))[:, None]
    return np.bincount(places.ravel(), minlength=size * len(numbers)).reshape(len(numbers), size)
