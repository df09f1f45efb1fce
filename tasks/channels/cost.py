"""What one inference of a Keras model takes, layer by layer, from shapes alone: multiplications, and parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.channels.groups import Channels, Ids, Kept, Shape
from tasks.channels.recurrent import GATES
from tasks.channels.tracing import trace
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

Size = tuple[int, ...]
AT_OUTPUTS = {  # each of the kernel's weights is used once at every place of the output
    "Dense",
    *(f"{kind}{n}D" for kind in ("Conv", "DepthwiseConv", "SeparableConv") for n in (1, 2, 3)),
}
AT_INPUTS = {f"Conv{n}DTranspose" for n in (1, 2, 3)}


@dataclass(frozen=True)
class Cost:
    """Of one layer, or of more."""

    macs: int  # multiplications that are added up, at batch 1
    parameters: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.parameters + other.parameters)


def of(model: "tf_keras.Model") -> dict[str, Cost]:
    """The cost of each layer that has any, by name.

    Raises:
        ModelError: the model has a layer that cannot be followed, or inputs of unknown size.
    """
    channels = trace(model)
    return layers(model, channels, channels.everything())


def total(model: "tf_keras.Model", channels: Channels, kept: Kept) -> Cost:
    """The cost of the model with the groups that `kept` says, without building it."""
    return sum(layers(model, channels, kept).values(), Cost(0, 0))


def layers(model: "tf_keras.Model", channels: Channels, kept: Kept) -> dict[str, Cost]:
    """Likewise by layer."""
    sizes = {layer.name: _weights(layer, channels, kept) for layer in model.layers if layer.weights}
    macs = dict.fromkeys((call.layer.name for call in channels.calls), 0)
    for call in channels.calls:
        inputs = [_shape(call.layer, s, ids, kept) for s, ids in zip(call.shapes, call.inputs, strict=True)]
        output = _shape(call.layer, call.output_shape, call.output, kept)
        macs[call.layer.name] += _macs(call.layer, sizes.get(call.layer.name, []), inputs, output)
    costs = {name: Cost(count, sum(map(math.prod, sizes.get(name, [])))) for name, count in macs.items()}
    return {name: cost for name, cost in costs.items() if cost != Cost(0, 0)}


def _weights(layer: Any, channels: Channels, kept: Kept) -> list[Size]:
    """The shapes of a layer's weights with the channels that are kept."""
    sizes = [list(weight.shape) for weight in layer.weights]
    for cut in channels.cuts.get(layer.name, ()):
        sizes[cut.weight][cut.axis] = int(np.count_nonzero(kept[cut.channels]))
    return [tuple(size) for size in sizes]


def _shape(layer: Any, shape: Shape, channels: Ids, kept: Kept) -> Size:
    *places, _ = shape
    known = [place for place in places if place is not None]
    if len(known) != len(places):
        raise ModelError(
            f"slim: layer {layer.name!r} ({type(layer).__name__}) works on shape {shape}, whose cost is unknown; "
            "give the model's inputs a shape, or choose the budget parameters"
        )
    return (*known, int(np.count_nonzero(kept[channels])))


def _macs(layer: Any, weights: Sequence[Size], inputs: Sequence[Size], output: Size) -> int:
    kind = type(layer).__name__
    kernels = sum(math.prod(size) for size in weights if len(size) > 1)
    if kind in AT_OUTPUTS:
        return kernels * math.prod(output[:-1])
    if kind in AT_INPUTS:
        return kernels * math.prod(inputs[0][:-1])
    if kind in GATES:  # a bias may have two axes as well
        return inputs[0][0] * sum(map(math.prod, weights[:2]))
    if kind == "TimeDistributed":
        steps = output[0]
        return steps * _macs(layer.layer, weights, [size[1:] for size in inputs], output[1:])
    if kind in ("Attention", "AdditiveAttention"):  # scores, then the values that they weigh
        query, value = inputs[:2]
        return query[0] * value[0] * (query[-1] + value[-1])
    if kind == "MultiHeadAttention":
        return _heads(layer, weights, inputs)
    if kind == "Attend":  # likewise, of all tokens with all
        return 2 * inputs[0][0] ** 2 * inputs[0][-1]
    if kind == "TokenEmbedding" and output[-1] == weights[0][0]:  # it gives the scores too
        return kernels * math.prod(output[:-1])
    return 0


def _heads(layer: Any, weights: Sequence[Size], inputs: Sequence[Size]) -> int:
    """Projections of queries, keys and values, scores, weighted values, and the output's projection."""
    query, key, value, out = (size for size in weights if len(size) == 3)
    asked, given = (math.prod(size[:-1]) for size in inputs[:2])
    attended: list[int] = [inputs[1][axis - 1] for axis in layer._attention_axes]
    projections = asked * (math.prod(query) + math.prod(out)) + given * (math.prod(key) + math.prod(value))
    return projections + asked * math.prod(attended) * (math.prod(query[1:]) + math.prod(value[1:]))
