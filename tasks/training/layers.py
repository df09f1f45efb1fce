"""Layers that models of Keras 3 need and tf_keras lacks, registered with it as `tercet>…`."""

from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable("tercet")
class RMSNormalization(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """x / √(mean(x²) + epsilon) · scale, over the last axes from `axis` on.

    Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.
    """

    channel_rule = "fix"  # of tasks/channels/rules.py: each number of the output depends on all of the input's

    def __init__(self, axis: int | list[int] = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis, self.epsilon = axis, epsilon

    def build(self, input_shape: Any) -> None:
        """Make the one weight, `scale`, of the sizes of the axes."""
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        self.scale = self.add_weight("scale", [input_shape[axis] for axis in axes], initializer="ones")

    def call(self, inputs: Any) -> Any:
        """Normalize `inputs`; the shape stays."""
        square = tf.reduce_mean(tf.math.square(inputs), self.axis, keepdims=True)
        # the scale first: one that came last would be folded into the matrices behind it, which then quantize worse
        return inputs * self.scale * tf.math.rsqrt(square + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("tercet")
class LayerScale(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """x · gamma, a weight for each channel, as in ConvNeXt.

    Touvron et al., Going deeper with Image Transformers, 2021.
    """

    channel_rule = "pass"  # of tasks/channels/rules.py

    def build(self, input_shape: Any) -> None:
        """Make the one weight, `gamma`, of the size of the last axis."""
        self.gamma = self.add_weight("gamma", [input_shape[-1]], initializer="ones")

    def call(self, inputs: Any) -> Any:
        """Scale `inputs`; the shape stays."""
        return inputs * self.gamma


@keras.saving.register_keras_serializable("tercet")
class Einsum(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """A sum of products of its inputs, by Einstein's convention: `btc,bsc->bts`."""

    channel_rule = "fix"  # of tasks/channels/rules.py

    def __init__(self, subscripts: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subscripts = subscripts

    def call(self, inputs: Any) -> Any:
        """Sum over what `subscripts` says; `inputs` is a list of tensors."""
        return tf.einsum(self.subscripts, *inputs)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "subscripts": self.subscripts}
