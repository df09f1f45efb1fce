"""What operations of Keras 3 do with shapes and places, by layers of tf_keras where there are any."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tasks.foreign.arithmetic import alike, as_type, is_masked, is_tensor

layers = keras.layers
Axes = int | Sequence[int] | None


def reshape(x: Any, newshape: Sequence[int | None]) -> Any:
    """Another shape; by `Reshape` where every example keeps to itself."""
    first, *rest = [-1 if size is None else size for size in newshape]
    apart = newshape[0] is None or newshape[0] == x.shape[0]
    if apart or (first == -1 and None not in x.shape[1:] and math.prod(rest) == math.prod(x.shape[1:])):
        return layers.Reshape(rest)(x)
    return tf.reshape(x, [first, *rest])


def _per_example(x: Any, shape: list[int | None]) -> Any:
    """The tensor in a shape that has the same numbers of each example; None if several axes are open."""
    if shape.count(None) > 1:
        return None
    return layers.Reshape([-1 if size is None else size for size in shape])(x)


def expand_dims(x: Any, axis: Axes) -> Any:
    """Axes of one place, counted among those that there are afterwards."""
    axes = _list(axis)
    rank = x.shape.rank + len(axes)
    places = sorted(a % rank for a in axes)
    shape = x.shape.as_list()
    for place in places:
        shape.insert(place, 1)
    made = _per_example(x, shape[1:]) if 0 not in places else None
    if made is not None:
        return made
    for place in places:
        x = tf.expand_dims(x, place)
    return x


def squeeze(x: Any, axis: Axes = None) -> Any:
    """A tensor without axes of one place: the given ones, or all."""
    sizes = x.shape.as_list()
    gone = [a % len(sizes) for a in _list(axis)] or [i for i, size in enumerate(sizes) if size == 1]
    kept = [size for i, size in enumerate(sizes) if i not in gone]
    made = _per_example(x, kept[1:]) if 0 not in gone else None
    return tf.squeeze(x, gone) if made is None else made


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; by `Permute` where the examples stay in front."""
    order = list(axes) if axes else list(range(x.shape.rank))[::-1]
    return layers.Permute(order[1:])(x) if order[0] == 0 and len(order) > 1 else tf.transpose(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes in each other's place."""
    order = list(range(x.shape.rank))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def moveaxis(x: Any, source: Axes, destination: Axes) -> Any:
    """Some axes to other places, the rest in their order."""
    rank = x.shape.rank
    moved = {to % rank: of % rank for of, to in zip(_list(source), _list(destination), strict=True)}
    rest = (axis for axis in range(rank) if axis not in moved.values())
    return transpose(x, [moved[place] if place in moved else next(rest) for place in range(rank)])


def concatenate(xs: Sequence[Any], axis: int = -1) -> Any:
    """Tensors one behind the other."""
    parts = alike(*xs)
    if axis % len(parts[0].shape) and all(is_tensor(part) for part in parts) and len(parts) > 1:
        return layers.Concatenate(axis)(parts)
    return tf.concat(parts, axis)


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Tensors along a new axis."""
    return tf.stack(alike(*x), axis)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """Parts of equal size, or between given places; by slices, of which converters leave none in floats."""
    size, places = x.shape[axis], indices_or_sections
    if isinstance(places, int) and size is None:
        return tf.split(x, places, axis)
    ends = list(range(0, size + 1, size // places)) if isinstance(places, int) else [0, *places, size]
    return [x[_along(x, axis, slice(*pair))] for pair in pairwise(ends)]


def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """What stands at each place of an axis; by slices likewise."""
    size = x.shape[axis] or num
    if size is None:
        raise ValueError(f"axis {axis} is open, so it is not known how many there are; give num")
    return [x[_along(x, axis, place)] for place in range(size)]


def _along(x: Any, axis: int, key: slice | int) -> tuple[slice | int, ...]:
    """A key to one axis, and to all of those before it."""
    return (*[slice(None)] * (axis % x.shape.rank), key)


def get_item(x: Any, key: Any) -> Any:
    """What stands at places, in slices, or along new axes."""
    return x[tuple(key) if isinstance(key, list | tuple) else key]


def cut(inputs: Any, start_indices: Any, shape: Sequence[int]) -> Any:
    """A block of a given shape from a given place on."""
    return tf.slice(inputs, as_type(start_indices, tf.int32), list(shape))


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float | None = None) -> Any:
    """More places at the ends of axes: zeros around an image or a series by the layer that does it."""
    rank = x.shape.rank
    widths = np.broadcast_to(np.asarray(pad_width), (rank, 2)).tolist()
    plain = mode == "constant" and not constant_values and widths[0] == widths[-1] == [0, 0]
    if plain and rank in (3, 4, 5) and x.dtype.is_floating and not is_masked(x):
        around = [tuple(width) for width in widths[1:-1]]
        return getattr(layers, f"ZeroPadding{rank - 2}D")(around if rank > 3 else around[0])(x)
    return tf.pad(x, widths, mode.upper(), constant_values=as_type(constant_values or 0, x.dtype))


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Each place of an axis several times."""
    return tf.repeat(x, repeats, axis)


def tile(x: Any, repeats: int | Sequence[int]) -> Any:
    """The whole tensor several times along its last axes."""
    times = _list(repeats)
    if len(times) > x.shape.rank:
        raise ValueError(f"repeats {times} for {x.shape.rank} axes are not supported")
    return tf.tile(x, [1] * (x.shape.rank - len(times)) + times)


def flip(x: Any, axis: Axes = None) -> Any:
    """The other way round along some axes, or all."""
    return tf.reverse(x, _list(axis) or list(range(x.shape.rank)))


def roll(x: Any, shift: int | Sequence[int], axis: Axes = None) -> Any:
    """Places moved along an axis; what leaves at one end comes in at the other."""
    if axis is None:
        raise ValueError("to roll over all numbers of all examples is not supported; give an axis")
    return tf.roll(x, shift, axis)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """What stands at the given places of an axis."""
    if axis is None:
        raise ValueError("to take from among all numbers of all examples is not supported; give an axis")
    if not is_tensor(indices):
        indices = np.asarray(indices, np.int32) % x.shape[axis]
    return tf.gather(x if is_tensor(x) else tf.constant(x), as_type(indices, tf.int32), axis=axis)


def pool(kind: str) -> Any:
    """The largest or the mean of neighbours."""

    def pooled(inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid") -> Any:
        layer = getattr(layers, f"{kind}Pooling{inputs.shape.rank - 2}D")
        return layer(_sizes(pool_size), _sizes(strides), padding)(inputs)

    return pooled


def resize(images: Any, size: Sequence[int], interpolation: str = "bilinear", **more: Any) -> Any:
    """Images in another size."""
    if strange := [key for key, value in more.items() if value not in (None, False, 0.0, "constant")]:
        raise ValueError(f"{', '.join(strange)} of a resize are not supported")
    return layers.Resizing(*size, interpolation)(images)


def _sizes(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _list(value: Any) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)
