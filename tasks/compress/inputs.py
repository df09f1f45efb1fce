"""What the dense layers of a model are given, one layer after the other, while their weights are being changed."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

Batches = list[Any]  # tensors [examples, ..., inputs]


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

    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    nodes = [node for node in nodes if not node.is_input]
    uses = Counter(id(tensor) for node in nodes for tensor in tf.nest.flatten(node.keras_inputs))
    given = [tf.nest.flatten(batch) for batch in batches]
    known = {id(tensor): [each[i] for each in given] for i, tensor in enumerate(model.inputs)}
    last = max((i for i, node in enumerate(nodes) if node.layer.name in wanted), default=-1)
    for i, node in enumerate(nodes[: last + 1]):
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
