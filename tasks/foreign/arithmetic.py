"""What operations of Keras 3 compute number by number, by layers of tf_keras where there are any.

Tensors here are symbolic ones of a Functional model; whatever else stands beside them is a constant.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tasks.training import layers as own

layers = keras.layers
LEAST = 1e-7  # below it, Keras 3 takes a norm for this
POWERS = {0.5: tf.math.sqrt, -0.5: tf.math.rsqrt, -1: tf.math.reciprocal}
PRODUCTS = (2, 3, 4)  # powers by a product, which converters know integers for, and for no power and no square


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of the model and no constant."""
    return hasattr(value, "_keras_history")


def alike(*values: Any) -> list[Any]:
    """The values in one type, as Keras 3 makes them: float32 where any has fractions, else the first tensor's."""
    types = [value.dtype for value in values if is_tensor(value)]
    if any(_has_fractions(value) for value in values):
        wanted = tf.float32
    else:
        wanted = next((dtype for dtype in types if dtype != tf.bool), types[0])
    return [as_type(value, wanted) for value in values]


def _has_fractions(value: Any) -> bool:
    return bool(value.dtype.is_floating) if is_tensor(value) else np.asarray(value).dtype.kind == "f"


def as_type(value: Any, dtype: Any) -> Any:
    """A tensor or a constant in another type."""
    if is_tensor(value):
        return value if value.dtype == dtype else tf.cast(value, dtype)
    array = np.asarray(value, tf.as_dtype(dtype).as_numpy_dtype)
    return array if array.ndim else array.item()


def real(value: Any) -> Any:
    """A tensor in float32, for what has fractions as its answer."""
    return value if value.dtype.is_floating else tf.cast(value, tf.float32)


def of_two(operator: Callable[..., Any]) -> Callable[..., Any]:
    """An operator on two values of one type."""
    return lambda x1, x2: operator(*alike(x1, x2))


def of_truths(operator: Callable[..., Any]) -> Callable[..., Any]:
    """An operator on truth values; other numbers are true where they are not 0."""
    return lambda *values: operator(*(as_type(value, tf.bool) for value in values))


def merged(kind: str, operator: Callable[..., Any]) -> Callable[..., Any]:
    """Two tensors of one shape by the layer that merges them, a tensor and a number by `Rescaling`."""

    def merge(x1: Any, x2: Any) -> Any:
        x1, x2 = alike(x1, x2)
        tensors = [x for x in (x1, x2) if is_tensor(x)]
        if len(tensors) == 2 and x1.shape.as_list() == x2.shape.as_list() and x1.dtype.is_floating:
            return getattr(layers, kind)()([x1, x2])
        line = _line(kind, x1, x2)
        return operator(x1, x2) if line is None else layers.Rescaling(*line)(tensors[0])

    return merge


def _line(kind: str, x1: Any, x2: Any) -> tuple[float, float] | None:
    """The scale and the offset that a tensor and a number of fractions come to; None where they come to no line."""
    match kind, x1, x2:
        case ("Add", float(number), _) | ("Add", _, float(number)):
            return 1.0, number
        case "Subtract", float(number), _:
            return -1.0, number
        case "Subtract", _, float(number):
            return 1.0, -number
        case ("Multiply", float(number), _) | ("Multiply", _, float(number)):
            return number, 0.0
    return None


def divide(x1: Any, x2: Any) -> Any:
    """Division, which has fractions as its answer."""
    x1, x2 = (as_type(x, tf.float32) for x in (x1, x2))
    return layers.Rescaling(1.0 / x2)(x1) if isinstance(x2, float) and x2 else tf.math.truediv(x1, x2)


def power(x1: Any, x2: Any) -> Any:
    """A power; of the common exponents each by what more runtimes know."""
    x1, x2 = alike(x1, x2)
    if isinstance(x2, int | float) and x2 in PRODUCTS:
        return layers.Multiply()([x1] * int(x2))
    return POWERS[x2](x1) if isinstance(x2, int | float) and x2 in POWERS else tf.math.pow(x1, x2)


def square(x: Any) -> Any:
    """A number by itself."""
    return power(x, 2)


def negative(x: Any) -> Any:
    """A number with the other sign; by a factor, which converters know integers for."""
    return layers.Rescaling(-1.0)(x) if x.dtype.is_floating else tf.math.negative(x)


def where(condition: Any, x1: Any, x2: Any) -> Any:
    """The first value where the condition holds, else the second."""
    x1, x2 = alike(x1, x2) if any(is_tensor(x) for x in (x1, x2)) else (np.float32(x1), np.float32(x2))
    return tf.where(as_type(condition, tf.bool), x1, x2)


def reduced(operator: Callable[..., Any], prepare: Callable[[Any], Any] = lambda x: x) -> Callable[..., Any]:
    """An operator over some axes."""

    def reduce(x: Any, *, axis: Any = None, keepdims: bool = False, initial: Any = None, dtype: Any = None) -> Any:
        if initial is not None or dtype is not None:
            raise ValueError("`initial` and `dtype` of a reduction are not supported")
        return operator(prepare(x), axis=axis, keepdims=keepdims)

    return reduce


def pooled(kind: str, operator: Callable[..., Any]) -> Callable[..., Any]:
    """A mean or a maximum: over all places of an image or a series by the pooling layer."""

    def pool(x: Any, *, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
        rank, axes = x.shape.rank, [axis] if isinstance(axis, int) else list(axis or ())
        places = sorted(a % rank for a in axes) == list(range(1, rank - 1))
        if places and rank in (3, 4, 5) and x.dtype.is_floating and not is_masked(x):
            return getattr(layers, f"Global{kind}Pooling{rank - 2}D")(keepdims=keepdims)(x)
        prepare = real if kind == "Average" else (lambda x: x)
        return reduced(operator, prepare)(x, axis=axis, keepdims=keepdims, initial=initial)

    return pool


def is_masked(tensor: Any) -> bool:
    """Whether layers of tf_keras would leave out some of the tensor's steps."""
    return getattr(tensor, "_keras_mask", None) is not None


def best(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The place of the largest or smallest number."""

    def place(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
        if axis is None:
            raise ValueError("a place among all numbers of all examples is not supported; give an axis")
        found = operator(x, axis=axis, output_type=tf.int32)
        return tf.expand_dims(found, axis) if keepdims else found

    return place


def normalize(x: Any, axis: int = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """A tensor by its norm."""
    if order != 2:
        raise ValueError(f"a norm of order {order} is not supported")
    return tf.math.l2_normalize(x, axis=axis, epsilon=(LEAST if epsilon is None else epsilon) ** 2)


def norm(x: Any, *, axis: Any = None, keepdims: bool = False, **order: Any) -> Any:
    """The length of a vector."""
    if order.get("ord") not in (None, 2) or not isinstance(axis, int):
        raise ValueError(f"a norm of order {order.get('ord')} over the axes {axis} is not supported")
    return tf.math.sqrt(tf.reduce_sum(square(real(x)), axis=axis, keepdims=keepdims))


def matmul(x1: Any, x2: Any) -> Any:
    """The product of two matrices, or of stacks of them."""
    x1, x2 = alike(x1, x2)
    ranks = [len(x.shape) for x in (x1, x2)]
    return tf.matmul(x1, x2) if min(ranks) > 1 else tf.tensordot(x1, x2, 1)


def dot(x1: Any, x2: Any) -> Any:
    """The product over the last axis of the first and the last but one of the second; with a number, its multiple."""
    if any(not is_tensor(x) and np.ndim(x) == 0 for x in (x1, x2)):
        return tf.math.multiply(*alike(x1, x2))
    if len(x2.shape) > 2:
        raise ValueError("the second of the two has more than two axes; use einsum")
    return matmul(x1, x2)


def einsum(*operands: Any, subscripts: str) -> Any:
    """A sum of products; by a layer, since tf_keras does not read again what it writes of `tf.einsum`."""
    if not all(is_tensor(x) for x in operands):
        raise ValueError("einsum with a constant is not supported; use EinsumDense or matmul")
    return own.Einsum(subscripts)(alike(*operands))


def one_hot(x: Any, *, num_classes: int, axis: int = -1, dtype: str | None = None, sparse: bool = False) -> Any:
    """Numbers of classes as vectors."""
    if sparse:
        raise ValueError("sparse tensors are not supported")
    return tf.one_hot(as_type(x, tf.int32), num_classes, axis=axis, dtype=dtype or "float32")


def moments(x: Any, *, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """The mean and the variance; over several machines, none of which are here, they would be `synchronized`."""
    del synchronized
    return list(tf.nn.moments(x, axes, keepdims=keepdims))


def cumulated(operator: Callable[..., Any]) -> Callable[..., Any]:
    """An operator on each number and those before it."""

    def call(x: Any, axis: int | None = None, dtype: str | None = None) -> Any:
        if axis is None:
            raise ValueError("to go through all numbers of all examples is not supported; give an axis")
        return operator(x if dtype is None else as_type(x, dtype), axis)

    return call


def activation(name: str) -> Callable[[Any], Any]:
    """An activation that tf_keras has too."""
    return lambda x: layers.Activation(name)(x)


def gelu(x: Any, *, approximate: bool = True) -> Any:
    """GELU by the error function, or by tanh."""
    return tf.nn.gelu(x, approximate=True) if approximate else layers.Activation("gelu")(x)


def hard_sigmoid(x: Any) -> Any:
    """max(0, min(6, x + 3)) / 6; tf_keras calls by this name a line of another slope."""
    return layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(x)))


def hard_silu(x: Any) -> Any:
    """A number by its hard sigmoid, in the shape that converters know as HARD_SWISH."""
    return layers.Multiply()([x, hard_sigmoid(x)])


def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(0, x) + alpha · (exp(min(0, x) / alpha) - 1)."""
    below = layers.Rescaling(-1.0 / alpha)(layers.ReLU()(negative(x)))
    return layers.Add()([layers.ReLU()(x), layers.Rescaling(alpha)(tf.math.expm1(below))])


def log_sigmoid(x: Any) -> Any:
    """-log(1 + exp(-x))."""
    return negative(layers.Activation("softplus")(negative(x)))


def glu(x: Any, axis: int = -1) -> Any:
    """The first half of an axis, each number let through by the sigmoid of its pair in the second."""
    first, second = tf.split(x, 2, axis=axis)
    return first * tf.math.sigmoid(second)


def threshold(x: Any, threshold: float = 0.0, default_value: float = 0.0) -> Any:
    """The numbers above the threshold; in place of the others, one value."""
    return tf.where(x > threshold, x, np.float32(default_value))


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """Every number nearer to 0 by the threshold."""
    return tf.math.maximum(x - threshold, 0.0) + tf.math.minimum(x + threshold, 0.0)


def scaled(operator: Callable[[Any], Any], factor: float) -> Callable[[Any], Any]:
    """An operator and then a factor, as for logarithms to another base."""
    return lambda x: layers.Rescaling(factor)(operator(real(x)))
