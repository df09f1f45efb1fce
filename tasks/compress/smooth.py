"""Channels that are large moved into the weights behind them, so that activations of 8 bits cost less.

SmoothQuant: Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models"
(2022). A number that is divided by s where it is made and multiplied by s in the weights that read it changes no
answer. The places where that is so are found on the model's graph: a norm before dense layers, the side of a gated
product that is not bent, and the values that heads attend to.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.compress import inputs, kernels
from tasks.errors import ModelError
from tasks.members import CompressionMethod
from tasks.params.compress import Smooth
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

Channels = NDArray[np.float32]
TINY = 1e-5  # of the largest number or weight: a channel that is smaller counts as if it were so large
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Channels that are made in one layer and read by dense layers alone, with nothing between that would bend them."""

    makers: tuple[Any, ...]  # variables whose last axis counts the channels
    readers: tuple[Any, ...]  # dense layers, which are all given the same
    channels: NDArray[np.int64]  # which channel each input of a reader is

    def scales(self, largest: Channels, alpha: float) -> Channels:
        """What each channel is to be divided by: the geometric mean of all is 1.

        Args:
            largest: absolute value that each input of a reader takes.
            alpha: how much of the outliers the weights take over: 0 to 1.
        """
        weights = np.max([np.abs(reader.kernel.numpy()).max(axis=1) for reader in self.readers], axis=0)
        given, read = (_of_channels(each, self.channels) for each in (largest, weights))
        logs = alpha * np.log(given) - (1 - alpha) * np.log(read)
        found: Channels = np.exp(logs - logs.mean()).astype(np.float32)
        return found

    def divide(self, scales: Channels) -> None:
        """Divide the channels, and multiply what reads them."""
        for variable in self.makers:
            variable.assign(variable.numpy() / scales)
        for reader in self.readers:
            reader.kernel.assign(reader.kernel.numpy() * scales[self.channels, None])


def _of_channels(values: Channels, channels: NDArray[np.int64]) -> Channels:
    """The largest of each channel's values, none of them zero."""
    found = np.zeros(channels.max() + 1, np.float32)
    np.maximum.at(found, channels, values)
    return np.maximum(found, TINY * (found.max() or 1))


def places(model: "tf_keras.Model") -> list[Place]:
    """Where channels may be scaled without a change of any answer, in the order in which they compute."""
    graph = _Graph(model)
    found = []
    for node in graph.nodes:
        readers = graph.readers(node)
        if readers and (made := graph.makers(node)):
            found.append(Place(made[0], readers, made[1]))
    return found


class _Graph:
    """Who makes and who reads each tensor of a model."""

    def __init__(self, model: "tf_keras.Model") -> None:
        import tensorflow as tf

        self.nodes = inputs.nodes(model)
        self._made = {id(tensor): node for node in self.nodes for tensor in tf.nest.flatten(node.outputs)}
        self._read: dict[int, list[Any]] = {}
        for node in self.nodes:
            for tensor in tf.nest.flatten(node.keras_inputs):
                self._read.setdefault(id(tensor), []).append(node)
        self._ends = set(map(id, model.outputs))
        self._calls = Counter(id(node.layer) for node in self.nodes)

    def readers(self, node: Any) -> tuple[Any, ...]:
        """The layers that read what a node makes, if all are dense."""
        import tf_keras as keras

        read = [] if id(node.outputs) in self._ends else self._read.get(id(node.outputs), [])
        dense = all(type(each.layer) is keras.layers.Dense and self._calls[id(each.layer)] == 1 for each in read)
        return tuple(each.layer for each in read) if dense else ()

    def makers(self, node: Any) -> tuple[tuple[Any, ...], NDArray[np.int64]] | None:
        """The variables that a node's channels come from, and which channel each number of its output is."""
        import tf_keras as keras

        from tasks.training.attention import Attend

        layer, channels = node.layer, np.arange(node.outputs.shape[-1])
        if self._calls[id(layer)] > 1:
            return None
        if found := _norm(layer, len(node.outputs.shape)):
            return found, channels
        if type(layer) is keras.layers.Multiply:
            sides = [self._linear(tensor) for tensor in node.keras_inputs if tensor.shape == node.outputs.shape]
            return next(((side, channels) for side in sides if side), None)
        if type(layer) is Attend and (found := self._linear(node.keras_inputs[2])):
            by_head = channels.reshape(layer.heads, -1)[: layer.kv_heads]
            return found, np.repeat(by_head, layer.heads // layer.kv_heads, axis=0).ravel()
        return None

    def _linear(self, tensor: Any) -> tuple[Any, ...]:
        """The weights of the dense layer that makes a tensor, if nothing bends it and one node alone reads it."""
        import tf_keras as keras

        node = self._made.get(id(tensor))
        alone = len(self._read[id(tensor)]) == 1 and id(tensor) not in self._ends
        if node is None or not alone or type(node.layer) is not keras.layers.Dense or self._calls[id(node.layer)] > 1:
            return ()
        return tuple(node.layer.weights) if node.layer.activation is keras.activations.linear else ()


def _norm(layer: Any, rank: int) -> tuple[Any, ...]:
    """What a norm over the last axis multiplies and adds; empty: another layer, or it only adds."""
    import tf_keras as keras

    from tasks.training.layers import RMSNormalization

    if type(layer) not in (RMSNormalization, keras.layers.LayerNormalization):
        return ()
    axes = [axis % rank for axis in np.atleast_1d(layer.axis)]
    return tuple(layer.weights) if axes == [rank - 1] and getattr(layer, "scale", True) is not False else ()


def apply(
    model: "tf_keras.Model", params: Smooth, train: "Examples", _validation: "Examples", _on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Scale the channels of every place by what training examples show of them.

    Returns:
        The model, which answers as before, and no history: nothing is fitted.

    Raises:
        ModelError: it has no such place.
    """
    twin = kernels.copy(model)
    if not (found := places(twin)):
        raise ModelError(
            f"smooth: model {model.name!r} has no norm, gated product or attention that dense layers alone read"
        )
    names = {place.readers[0].name for place in found}
    largest = dict(_largest(twin, names, inputs.batches(twin, train, params.examples)))
    for place in reversed(found):  # so that the rows of a layer are settled before its columns are weighed
        place.divide(place.scales(largest[place.readers[0].name], params.alpha))
    log.info("smooth: %d places", len(found))
    return twin, {}


def _largest(model: "tf_keras.Model", names: Collection[str], batches: Sequence[Any]) -> Iterator[tuple[str, Channels]]:
    """The largest absolute value of each input of these layers, by their names."""
    for layer, given in inputs.walk(model, batches, names):
        rows = [np.abs(batch.numpy()).reshape(-1, batch.shape[-1]).max(axis=0) for batch in given]
        yield layer.name, np.max(rows, axis=0)


METHOD = CompressionMethod(schema=Smooth, apply=apply)
