"""Norms of programs of StableHLO: what one divides by is multiplied behind the next product, which waits for no sum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FEW = 8  # texts that are decoded at once


@dataclass(frozen=True)
class Normed:
    """x · factor, not yet multiplied: the factor is one number a token."""

    x: Any
    factor: Any
    of: Any = None  # of an RMS norm of all numbers: these, and
    gain: Any = None  # what they are multiplied by, and
    epsilon: float = 0.0  # what is added to their mean square

    @property
    def dtype(self) -> Any:
        """Of the numbers."""
        return self.x.dtype

    def whole(self) -> Any:
        """The product, in the type of x."""
        import tensorflow as tf

        return tf.cast(tf.cast(self.x, tf.float32) * self.factor, self.x.dtype)


@dataclass
class Later:
    """A product that waits for what it is added to, and may be one step with that."""

    add: Callable[[Any], Any]  # its sum with a tensor, or with None alone

    def whole(self) -> Any:
        """The product."""
        if self._found is None:
            self._found = self.add(None)
        return self._found

    _found: Any = None


def multiplied(x: Any) -> Any:
    """A tensor, whether a norm or a layer left it to be multiplied or not."""
    return x.whole() if isinstance(x, Normed | Later) else x


def rms(x: Any, scale: Any, epsilon: float, heads: int | None = None) -> Any:
    """Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019); of heads, each alone."""
    import tensorflow as tf

    if heads:
        return tf.reshape(rms(tf.reshape(x, [*x.shape[:-1], heads, -1]), scale, epsilon).whole(), x.shape)
    # of many texts XLA sums the squares in the kernel that makes x, for which the next product waits
    summed = _apart(x) if x.shape[0] > FEW and x.shape[1] == 1 else x
    square = tf.reduce_mean(tf.math.square(tf.cast(summed, tf.float32)), -1, keepdims=True)
    return Normed(tf.cast(tf.cast(x, tf.float32) * scale, x.dtype), tf.math.rsqrt(square + epsilon), x, scale, epsilon)


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Ba, Kiros and Hinton, "Layer Normalization" (2016)."""
    import tensorflow as tf

    wide = tf.cast(x, tf.float32)
    centred = wide - tf.reduce_mean(wide, -1, keepdims=True)
    found = centred * tf.math.rsqrt(tf.reduce_mean(tf.math.square(centred), -1, keepdims=True) + epsilon) * gamma
    return tf.cast(found if beta is None else found + beta, x.dtype)


def _apart(x: Any) -> Any:
    """The same numbers, which XLA does not read in one step with what else reads them. Only XLA knows this."""
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    (found,) = gen_xla_ops.xla_optimization_barrier([x])
    return found
