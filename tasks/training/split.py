"""Dense layers whose columns lie on several devices, for one that is wider than any of them.

Each device multiplies the input by its own columns, adds its biases, and has their gradients and the optimizer's state
of them; what they give is put side by side. It is the column-parallel layer of Shoeybi et al., "Megatron-LM" (2019).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


def split(model: "tf_keras.Model", devices: Sequence[str]) -> "tf_keras.Model":
    """A model that computes the same, with the columns of each dense layer on all `devices`.

    Layers with fewer columns than devices, and those whose weights are held to a constraint, stay whole; so do dense
    layers within other layers.

    Args:
        model: a functional one. Its weights are copied.
        devices: TensorFlow's names of two or more.

    Raises:
        ModelError: it has no dense layer that may be split.
    """
    import tf_keras as keras

    parted = [layer.name for layer in model.layers if _may_be(layer, len(devices))]
    if not parted:
        raise ModelError(
            f"train.parallel.layers: the model has no dense layer of {len(devices)} columns or more to put on so many "
            "devices; `workers` puts parts of each batch there"
        )

    def cloned(layer: Any) -> Any:
        if layer.name in parted:
            return _columns(layer, devices)
        return layer.__class__.from_config(layer.get_config())

    made = keras.models.clone_model(model, clone_function=cloned)
    for old, new in zip(model.layers, made.layers, strict=True):
        weights = old.get_weights()
        if old.name in parted:
            weights = [part for whole in weights for part in np.array_split(whole, len(devices), axis=-1)]
        new.set_weights(weights)
    return made


def join(parted: "tf_keras.Model", model: "tf_keras.Model") -> None:
    """Put the weights of a model that `split` has made back into the one that it was made of."""
    for new, old in zip(parted.layers, model.layers, strict=True):
        weights = new.get_weights()
        if new.__class__ is not old.__class__:
            ways = len(weights) // len(old.weights)
            weights = [np.concatenate(weights[at : at + ways], axis=-1) for at in range(0, len(weights), ways)]
        old.set_weights(weights)


def _may_be(layer: Any, ways: int) -> bool:
    import tf_keras as keras

    held = getattr(layer, "kernel_constraint", None) or getattr(layer, "bias_constraint", None)
    return type(layer) is keras.layers.Dense and layer.units >= ways and not held


def _columns(dense: Any, devices: Sequence[str]) -> Any:
    """A layer in the place of `dense`; its weights are the parts of the kernel, then those of the bias."""
    import tensorflow as tf
    import tf_keras as keras

    widths = [len(part) for part in np.array_split(np.arange(dense.units), len(devices))]

    class Columns(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
        def build(self, shape: Any) -> None:
            self.kernels = self._parts("kernel", (shape[-1],), dense.kernel_regularizer)
            self.biases = self._parts("bias", (), dense.bias_regularizer) if dense.use_bias else []
            super().build(shape)

        def _parts(self, name: str, before: tuple[int, ...], regularizer: Any) -> list[Any]:
            parts = []
            for number, (device, width) in enumerate(zip(devices, widths, strict=True)):
                with tf.device(device):
                    shape = (*before, width)
                    parts.append(self.add_weight(f"{name}_{number}", shape, regularizer=regularizer))
            return parts

        def call(self, inputs: Any) -> Any:
            given = []
            for number, device in enumerate(devices):
                with tf.device(device):
                    products = tf.matmul(inputs, self.kernels[number])
                    given.append(products + self.biases[number] if self.biases else products)
            return dense.activation(tf.concat(given, axis=-1))

    return Columns(name=dense.name, trainable=dense.trainable, activity_regularizer=dense.activity_regularizer)
