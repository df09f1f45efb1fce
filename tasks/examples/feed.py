"""Examples as Keras takes them: data sets of TensorFlow that read a batch when it is its turn.

The order of an epoch is a function of (seed, epoch) alone, so a fitting that goes on sees what it would have seen.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Arrays, Examples, first

BATCH = 256  # where nothing is learnt from them
WRAPPED = re.compile(rf"{DataError.__name__}: (.+)")


def feed(examples: Examples, targets: dict[str, Array] | None = None, size: int = BATCH) -> Any:
    """The examples in their order: batches of inputs, or of inputs and `targets`, by name."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(len(examples)).batch(size)
    return indices.map(_reader(examples, targets), num_parallel_calls=1).prefetch(2)


def epochs(examples: Examples, targets: dict[str, Array], size: int, seed: int, which: range) -> Any:
    """The batches of some epochs, one epoch after the other, each in an order drawn from (seed, epoch)."""
    import tensorflow as tf

    count = len(examples)

    def epoch_indices(epoch: Any) -> Any:
        seeds = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=seeds)
        return tf.data.Dataset.from_tensor_slices(order).batch(size)

    numbers = tf.data.Dataset.range(which.start, which.stop)
    return numbers.flat_map(epoch_indices).map(_reader(examples, targets), num_parallel_calls=1).prefetch(2)


@contextmanager
def own_words() -> Iterator[None]:
    """Give an error of reading its own words again: TensorFlow passes it on within a traceback.

    Raises:
        DataError: the one that was raised while a batch was read.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        found = WRAPPED.search(error.message)
        if found is None:
            raise
        raise DataError(found[1]) from None


def _reader(examples: Examples, targets: dict[str, Array] | None) -> Callable[[Any], Any]:
    """A function of example numbers, a tensor [batch], that gives the inputs there, and the targets if any."""
    if isinstance(examples, Arrays):
        read = _from_memory(examples.inputs)
        answers = _from_memory(targets) if targets else None
    else:
        read = _when_asked(lambda indices: examples.take(indices).arrays().inputs, first(examples, 1).inputs)
        answers = _when_asked(_rows(targets), targets) if targets else None
    return (lambda indices: (read(indices), answers(indices))) if answers else read


def _from_memory(arrays: dict[str, Array]) -> Callable[[Any], Any]:
    import tensorflow as tf

    tensors = {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
    return lambda indices: {name: tf.gather(tensor, indices) for name, tensor in tensors.items()}


def _rows(arrays: dict[str, Array]) -> Callable[[Array], dict[str, Array]]:
    return lambda indices: {name: array[indices] for name, array in arrays.items()}


def _when_asked(look_up: Callable[[Array], dict[str, Array]], described: dict[str, Array]) -> Callable[[Any], Any]:
    """What is looked up, some rows at a time, in what may lie in files: its types and shapes are as described."""
    import tensorflow as tf

    def rows(indices: Array) -> list[Array]:
        found = look_up(indices.astype(np.int64))
        return [found[name] for name in described]

    def read(indices: Any) -> dict[str, Any]:
        found = tf.numpy_function(rows, [indices], [array.dtype for array in described.values()])
        named = dict(zip(described, found, strict=True))
        for name, tensor in named.items():  # which numpy functions do not tell
            tensor.set_shape([None, *described[name].shape[1:]])
        return named

    return read
