"""A model layer by layer: what its dense layers are given, while their weights are being changed."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

Batches = list[Any]  # tensors [examples, ..., inputs]
BATCH = 8  # examples


def batches(model: "tf_keras.Model", examples: "Examples", count: int, size: int = BATCH) -> Sequence[Any]:
    """What a model is given of some examples at even distances, a few at a time.

    Args:
        model: its inputs are called as the examples' are; their orders may differ.
        examples: of any size.
        count: so many at most.
        size: of a batch.

    Returns:
        Batches as the model takes them: a tensor, or a list of one for each input, in the model's order.
    """
    import tensorflow as tf

    picked = np.linspace(0, len(examples) - 1, min(len(examples), count)).astype(np.int64)
    taken = examples.take(picked).arrays().inputs
    columns = [tf.constant(taken[name]) for name in model.input_names]
    parts = [[column[i : i + size] for column in columns] for i in range(0, len(picked), size)]
    return [part[0] if len(part) == 1 else part for part in parts]


def nodes(model: "tf_keras.Model") -> list[Any]:
    """The calls of a model's layers, in the order in which they compute.

    Args:
        model: Functional or Sequential.
    """
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def walk(model: "tf_keras.Model", batches: Sequence[Any], wanted: Collection[str]) -> Iterator[tuple[Any, Batches]]:
    """Each wanted layer with what it is given, in the order in which they compute.

    A layer answers only when the next one is asked for, so whoever changes its weights in between changes what all
    layers behind it are given. Only tensors that are still needed are held.

    Args:
        model: Functional or Sequential, of one or several inputs.
        batches: what it takes, some examples at a time: a tensor, or a list of one for each input.
        wanted: names of layers of one input.
    """
    import tensorflow as tf

    calls = nodes(model)
    uses = Counter(id(tensor) for node in calls for tensor in tf.nest.flatten(node.keras_inputs))
    given = [tf.nest.flatten(batch) for batch in batches]
    known = {id(tensor): [each[i] for each in given] for i, tensor in enumerate(model.inputs)}
    last = max((i for i, node in enumerate(calls) if node.layer.name in wanted), default=-1)
    for i, node in enumerate(calls[: last + 1]):
        if node.layer.name in wanted:
            yield node.layer, known[id(tf.nest.flatten(node.keras_inputs)[0])]
            if i == last:
                return
        known |= _answers(node, known, len(given))
        for tensor in tf.nest.flatten(node.keras_inputs):
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                known.pop(id(tensor), None)


def _answers(node: Any, known: dict[int, Batches], count: int) -> dict[int, Batches]:
    """What a layer answers to each batch, by its output tensors."""
    import tensorflow as tf

    outputs = tf.nest.flatten(node.outputs)
    found: list[Batches] = [[] for _ in outputs]
    for batch in range(count):

        def here(value: Any, batch: int = batch) -> Any:
            return known[id(value)][batch] if id(value) in known else value

        args, kwargs = tf.nest.map_structure(here, (node.call_args, node.call_kwargs))
        for into, answer in zip(found, tf.nest.flatten(node.layer(*args, **kwargs)), strict=True):
            into.append(answer)
    return dict(zip(map(id, outputs), found, strict=True))
