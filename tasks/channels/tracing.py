"""Following the channels of a Keras model from its inputs to its outputs, layer by layer."""

from typing import TYPE_CHECKING, Any

from tasks.channels import rules
from tasks.channels.groups import Call, Channels, Ids, Shape, Tracer, Visit
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


def trace(model: "tf_keras.Model") -> Channels:
    """The dependency groups of a Sequential or Functional model.

    Raises:
        ModelError: the model is neither, or a layer's channels cannot be followed; the layer is named.
    """
    tracer, known = Tracer(), dict[int, Ids]()
    for node in _nodes(model):
        visit = _visit(node, known)
        output = known[visit.output] = rules.apply(tracer, visit)
        inputs = [known[id(tensor)] for tensor in node.keras_inputs]
        shapes = [_shape(tensor) for tensor in node.keras_inputs]
        tracer.calls.append(Call(node.layer, tuple(inputs), tuple(shapes), output, visit.output_shape))
    for name, tensor in zip(model.output_names, model.outputs, strict=True):
        tracer.fix(known[id(tensor)], f"are the model's output {name!r}")
    return tracer.finish()


def _nodes(model: "tf_keras.Model") -> list[Any]:
    """The uses of the layers, each after those it reads from."""
    if not getattr(model, "_is_graph_network", False):
        raise ModelError(
            f"slim: {type(model).__name__} {model.name!r} is no Sequential or Functional model with known shapes, so "
            "there is no graph to follow channels through; build it from Keras layers and inputs"
        )
    by_depth = model._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _visit(node: Any, known: dict[int, Ids]) -> Visit:
    """What a rule needs to know about a node whose inputs have been traced."""
    import tensorflow as tf

    first = tf.nest.flatten(node.call_args[0]) if node.call_args else node.keras_inputs
    main = [tensor for tensor in first if id(tensor) in known]
    outputs = tf.nest.flatten(node.outputs)
    visit = Visit(
        owner=node.layer,
        layer=node.layer,
        node=node,
        inputs=tuple(known[id(tensor)] for tensor in main),
        shapes=tuple(_shape(tensor) for tensor in main),
        read={id(tensor): known[id(tensor)] for tensor in node.keras_inputs},
        output=id(outputs[0]),
        output_shape=_shape(outputs[0]),
    )
    if len(outputs) != 1:
        raise visit.refuse(f"gives {len(outputs)} tensors; only layers of one output can be followed")
    if not visit.output_shape:
        raise visit.refuse("gives one number an example, which has no axis of channels; reshape it to [batch, 1]")
    return visit


def _shape(tensor: Any) -> Shape:
    return tuple(tensor.shape)[1:]
