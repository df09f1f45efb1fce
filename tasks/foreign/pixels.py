"""Models of one's own that scale pixels themselves, and so must be given them as they are, from 0 to 255."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import Pixels
from tasks.foreign import answers

if TYPE_CHECKING:
    import tf_keras

FAR = 16.0  # from 0, in widths of what they spread over: numbers from which a mean of pixels was taken


def scaled_by(model: "tf_keras.Model", tensor: Any, raw: list[Array], ready: list[Array], source: str) -> bool:
    """Whether the model scales pixels before its first layer with a kernel, or takes bytes.

    It is tried: a network learns from numbers that spread over about 1 and lie about 0. Whatever stands in front of
    the kernels, pixels as they are come nearer to that by it, or pixels that `prepare` has scaled.

    Args:
        model: Sequential or Functional, without models in it.
        tensor: the input.
        raw: examples for all inputs, pixels as they are.
        ready: the same as `prepare` makes them.
        source: the model's file, for the error.

    Raises:
        ModelError: the model cannot run on them.
    """
    import tf_keras as keras

    if not tensor.dtype.is_floating:
        return True
    front = keras.Model(model.inputs, _read_by_kernels(model, tensor))
    return any(map(_meant, answers.of(front, raw, source), answers.of(front, ready, source)))


def restored(tensor: Any, pixels: Pixels, name: str) -> Any:
    """The pixels that `prepare` has made a tensor's numbers of, by a layer of that name."""
    import tf_keras as keras

    scale, mean = (values[0] if len(set(values)) == 1 else list(values) for values in (pixels.scale, pixels.mean))
    return keras.layers.Rescaling(scale, mean, name=name)(tensor)


def _read_by_kernels(model: "tf_keras.Model", tensor: Any) -> list[Any]:
    """What is made of an input where the first layers with kernels read it, or where the model ends."""
    import tensorflow as tf

    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes if not node.is_input]
    waiting, seen, found = [tensor], {id(tensor)}, []
    while waiting:
        current = waiting.pop()
        readers = [node for node in nodes if any(given is current for given in node.keras_inputs)]
        onward = [node for node in readers if not _has_kernel(node.layer)]
        if len(onward) < len(readers) or not readers:
            found.append(current)
        made = [output for node in onward for output in tf.nest.flatten(node.outputs) if id(output) not in seen]
        seen |= set(map(id, made))
        waiting += made
    return found


def _has_kernel(layer: Any) -> bool:
    return "normalization" not in type(layer).__module__ and any(len(weight.shape) > 1 for weight in layer.weights)


def _meant(raw: Array, ready: Array) -> bool:
    """Whether pixels as they are were meant, by what becomes of them and what of those that were scaled before."""
    (wide, far), (wide_ready, far_ready) = _spread(raw), _spread(ready)
    if not wide or not wide_ready:
        return wide > wide_ready
    return bool(abs(np.log(wide)) < abs(np.log(wide_ready)) or far_ready >= FAR > far)


def _spread(values: Array) -> tuple[float, float]:
    """The width of what a channel's numbers spread over, and how far from 0 their middle is in such widths."""
    channels = values.reshape(-1, values.shape[-1])
    wide = float(np.ptp(channels, axis=0).mean())
    return wide, float(np.abs(channels.mean(axis=0)).mean()) / wide if wide else np.inf
