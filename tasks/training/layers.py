"""Layers that models of Keras 3 or our own families need and tf_keras lacks, registered with it as `tercet>…`."""

from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable("tercet")
class RMSNormalization(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """x / √(mean(x²) + epsilon) · scale, over the last axes from `axis` on, or over each head of the last axis alone.

    Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.
    """

    def __init__(
        self, axis: int | list[int] = -1, epsilon: float = 1e-6, heads: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis, self.epsilon, self.heads = axis, epsilon, heads
        # of tasks/channels/rules.py: each number of the output depends on all of the input's, or on all of its head's
        self.channel_rule = "heads" if heads else "fix"

    def build(self, input_shape: Any) -> None:
        """Make the one weight, `scale`, of the sizes of the axes; that of heads is one for all of them."""
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        sizes = [input_shape[axis] for axis in axes]
        self.scale = self.add_weight("scale", [sizes[0] // self.heads] if self.heads else sizes, initializer="ones")

    def call(self, inputs: Any) -> Any:
        """Normalize `inputs`; the shape stays."""
        places = [size or tf.shape(inputs)[axis] for axis, size in enumerate(inputs.shape[:-1])] if self.heads else []
        x = tf.reshape(inputs, [*places, self.heads, -1]) if self.heads else inputs
        square = tf.reduce_mean(tf.math.square(x), self.axis, keepdims=True)
        # the scale first: one that came last would be folded into the matrices behind it, which then quantize worse
        found = x * self.scale * tf.math.rsqrt(square + self.epsilon)
        return tf.reshape(found, [*places, inputs.shape[-1]]) if self.heads else found

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon, "heads": self.heads}


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
class LearntPlaces(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """x [batch, places, channels] plus a vector that is learnt of each place.

    Gehring et al., Convolutional Sequence to Sequence Learning, 2017.
    """

    channel_rule = "pass"  # of tasks/channels/rules.py

    def build(self, input_shape: Any) -> None:
        """Make the one weight, `table`, of the sizes of the last two axes."""
        self.table = self.add_weight("table", input_shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, inputs: Any) -> Any:
        """Add the vectors; the shape stays."""
        return inputs + self.table

    def get_prunable_weights(self) -> list[Any]:
        """What may have zeros: like an embedding of tokens."""
        return [self.table]

    def get_clusterable_weights(self) -> list[tuple[str, Any]]:
        """What may share values."""
        return [("table", self.table)]


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
