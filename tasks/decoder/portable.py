"""A decoder as a function of its weights: what programs are traced from that bring no numbers of their own.

It follows the graph of the Keras model, a compressed one too, so no second definition can drift from the first. Only
the form is another one, for the sake of hardware that waits for memory: matrices are `[outputs, inputs]`, those that
read the same numbers are one, and what a norm divides by is multiplied into the product behind it, which so need not
wait for it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.decoder import attending, multiplying
from tasks.decoder.cached import KEYS, SCALES, VALUES, is_decoder, standing_for
from tasks.decoder.multiplying import scaled_blocks
from tasks.decoder.network import LOGITS
from tasks.decoder.normed import Later, Normed, layer_norm, multiplied, rms
from tasks.errors import ConversionError

if TYPE_CHECKING:
    import tf_keras

Array = NDArray[Any]
Tensors = Mapping[str, Any]  # by the names of weights, or of caches
Arithmetic = Literal["float32", "bfloat16", "float16"]


VECTORS = {"RMSNormalization": {"": "scale"}, "LayerNormalization": {".gamma": "gamma", ".beta": "beta"}}


@dataclass(frozen=True)
class Numbers:
    """What a decoder computes in, and what its matrices are stored as."""

    arithmetic: Arithmetic = "float32"
    bits: int | None = None  # of each number of a matrix, integers of 8 or 4; None: as it is computed
    block: int | None = None  # of them in a row that share a scale; None: a whole row
    cache: str | None = None  # "int8": integers and a scale a token and head are kept; None: as it is computed


@dataclass(frozen=True)
class Weight:
    """An argument of all programs."""

    shape: tuple[int, ...]
    dtype: str  # float32, bfloat16, float16, int8 or int4
    value: Callable[[], Array]  # in that shape: float32, or integers as int8
    looked_up: bool = False  # only single rows of it are read

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        bits = {"float32": 32, "bfloat16": 16, "float16": 16, "int8": 8, "int4": 4}[self.dtype]
        return int(np.prod(self.shape)) * bits // 8


@contextmanager
def numberless() -> Iterator[None]:
    """Within it a Keras model is built without memory for its weights: their values cannot be read."""
    import tensorflow as tf
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    def shaped(_next: Any, **about: Any) -> Any:
        return UninitializedVariable(
            shape=about["shape"], dtype=about["dtype"], name=about["name"], trainable=about["trainable"]
        )

    with tf.variable_creator_scope(shaped):
        yield


class Network:
    """A decoder's graph, and the weights that it takes, in their order.

    Args:
        model: of one input; its scores come from a layer called `logits`.
        numbers: that it computes with.
        attend: how tokens attend, instead of `attending.plain`.
        multiply: how matrices are multiplied, instead of `multiplying.plain`.
        joined: matrices that read the same numbers are one; each by itself can be parted by rows among devices.

    Raises:
        ConversionError: it is no decoder, or a layer with weights has no such form.
    """

    def __init__(
        self,
        model: "tf_keras.Model",
        numbers: Numbers,
        attend: Any = attending.plain,
        multiply: Any = multiplying.plain,
        *,
        joined: bool = True,
    ) -> None:
        import tf_keras as keras

        if not is_decoder(model) or len(model.inputs) != 1:
            raise ConversionError(f"{model.name}: no decoder: it has no layer that counts the places of its tokens")
        whole = keras.Model(model.input, model.get_layer(LOGITS).output, name=model.name)
        self.numbers, self._attend, self._multiply = numbers, attend, multiply
        self._input, self._output = id(whole.inputs[0]), id(whole.output)
        depths = sorted(whole._nodes_by_depth, reverse=True)
        self._nodes = [node for depth in depths for node in whole._nodes_by_depth[depth] if not node.is_input]
        self._products = _products(self._nodes, joined=joined)
        self._same: dict[str, Any] = {}  # layers without weights, in the arithmetic
        self.weights: dict[str, Weight] = {}
        for node in self._nodes:
            self._declare(node)
        self.attends = [node for node in self._nodes if _kind(node.layer) == "Attend"]
        head = next(node.layer for node in self._nodes[::-1] if node.layer.weights)
        self.vocabulary = int(whole.output.shape[-1])
        self._head = head.name

    def caches(self, batch: int, room: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """The shape and type of each layer's caches by their names: [batch, kv_heads, room, head_width or 1]."""
        found: dict[str, tuple[tuple[int, ...], str]] = {}
        cache = self.numbers.cache
        for number, node in enumerate(self.attends):
            heads, (_, *rows, _) = node.layer.kv_heads, node.call_args[0]
            for name, tensor in zip((KEYS, VALUES), rows, strict=True):
                shape = (batch, heads, room, tensor.shape[-1] // heads)
                found[name.format(number)] = shape, cache or self.numbers.arithmetic
            found |= {name.format(number): ((batch, heads, room, 1), "float32") for name in SCALES if cache}
        return found

    def run(
        self,
        tokens: Any,
        places: Any,
        weights: Tensors,
        caches: Tensors,
        pick: Any = None,
        *,
        fresh: bool = False,
        seen: int | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Scores float32 [batch, n, vocabulary] of int32 tokens [batch, n], and the caches with them.

        Args:
            tokens: in a row.
            places: int32 [n], where they stand.
            weights: by name.
            caches: of the tokens before, by name; none: these are the first ones, and nothing is kept of them.
            pick: of all tokens one, int32 []: only its scores are told, [batch, 1, vocabulary].
            fresh: these are the first ones whatever the caches hold, which are written alone.
            seen: places of the caches, from the first, that are read: there all tokens stand. None: every one.
        """
        import tensorflow as tf

        known: dict[int, Any] = {self._input: tokens}
        products: dict[tuple[int, str], Any] = {}
        written: dict[str, Any] = {}
        for node in self._nodes:
            layer = node.layer
            given = (node.call_args, node.call_kwargs)
            args, kwargs = tf.nest.map_structure(partial(standing_for, known), given)
            if _kind(layer) == "Attend":
                query, key, value = attending.turned(layer, [multiplied(each) for each in args[0][:3]], places)
                rows = attending.kept(key, value, self.numbers.cache)
                if caches:
                    now = self._written(node, rows, places, caches)
                    written |= now
                    rows = rows if fresh else [attending.first(cache, seen) for cache in now.values()]
                found = self._attend(layer, query, *rows[:2], places, *rows[2:])
                if node is self.attends[-1] and pick is not None:  # from here on tokens do not meet
                    found, known = _one(found, pick), {k: _one(value, pick) for k, value in known.items()}
                    products.clear()
            elif _kind(layer) == "Dense":
                found = self._dense(layer, id(node.call_args[0]), args[0], weights, products)
            else:
                found = self._other(layer, args, kwargs, places, weights)
            known |= zip(map(id, tf.nest.flatten(node.outputs)), [found], strict=True)
        return tf.cast(known[self._output], tf.float32), written

    def _written(self, node: Any, rows: list[Any], places: Any, caches: Tensors) -> dict[str, Any]:
        """The caches of a layer that attends, with what is kept of new tokens."""
        names = [name.format(self.attends.index(node)) for name in (KEYS, VALUES, *SCALES)[: len(rows)]]
        return {name: attending.written(caches[name], new, places) for name, new in zip(names, rows, strict=True)}

    def _declare(self, node: Any) -> None:
        """Note the weights of a layer, where they are not known."""
        layer, kind = node.layer, _kind(node.layer)
        if kind == "Dense":
            parts = self._products[id(node.call_args[0]), layer.name]
            if layer is parts[0]:
                self._matrix(_joined(parts), [part.kernel for part in parts], turned=True)
                if any(part.use_bias for part in parts):
                    sizes = [int(part.kernel.shape[1]) for part in parts]
                    self._vector(f"{_joined(parts)}.bias", sum(sizes), partial(_biases, parts))
        elif kind == "TokenEmbedding":
            tied = not node.call_args[0].dtype.is_integer
            self._matrix(layer.name, [layer.embeddings], turned=False, looked_up=not tied)
        elif kind in VECTORS:
            for name, attribute in VECTORS[kind].items():
                variable = getattr(layer, attribute)
                if variable is not None:
                    self._vector(f"{layer.name}{name}", int(variable.shape[0]), variable.numpy)
        elif kind == "PlaceEmbedding":
            table = layer.embeddings
            self.weights[layer.name] = Weight(tuple(table.shape), self.numbers.arithmetic, table.numpy, looked_up=True)
        elif layer.weights:
            raise ConversionError(f"{layer.name}: a layer {kind} has no form whose weights come as arguments")

    def _vector(self, name: str, size: int, value: Callable[[], Array]) -> None:
        self.weights[name] = Weight((size,), "float32", value)

    def _matrix(self, name: str, variables: list[Any], *, turned: bool, looked_up: bool = False) -> None:
        """The matrices of variables below each other, and their scales where they are integers."""
        shapes = [tuple(variable.shape) for variable in variables]
        rows, width = (sum(shape[turned] for shape in shapes), shapes[0][not turned])
        read, numbers = partial(_rows, variables, turned=turned), self.numbers
        if numbers.bits is None:
            self.weights[name] = Weight((rows, width), numbers.arithmetic, read, looked_up)
            return
        block = numbers.block if numbers.block and width % numbers.block == 0 else width
        integers = partial(_integers, read, block, numbers.bits)
        self.weights[name] = Weight((rows, width), f"int{numbers.bits}", lambda: integers()[0], looked_up)
        self.weights[f"{name}.scale"] = Weight((rows, width // block), "float32", lambda: integers()[1], looked_up)

    def _dense(self, layer: Any, source: int, x: Any, weights: Tensors, products: dict[tuple[int, str], Any]) -> Any:
        """A layer's part of the product of all that read what it reads, or, where that waits for a sum, `Later`."""
        import tensorflow as tf
        import tf_keras as keras

        parts, x = self._products[source, layer.name], x if isinstance(x, Normed) else multiplied(x)
        name, head = _joined(parts), self._head == layer.name
        bias, linear = weights.get(f"{name}.bias"), layer.activation is keras.activations.linear
        if self._multiply is not multiplying.plain and len(parts) == 1 and bias is None and linear and not head:
            return Later(lambda onto: self._product(x, name, weights, onto=onto))
        if (source, name) not in products:
            products[source, name] = self._product(x, name, weights, bias, head=head)
        sizes = [int(part.kernel.shape[1]) for part in parts]
        start, found = sum(sizes[: parts.index(layer)]), products[source, name]
        found = found if len(parts) == 1 else found[..., start : start + layer.units]
        return tf.cast(layer.activation(found), found.dtype)

    def _product(
        self, x: Any, name: str, weights: Tensors, bias: Any = None, onto: Any = None, *, head: bool = False
    ) -> Any:
        """Rows of a matrix times numbers [batch, n, inputs]: sums in float32, and those of the head stay so.

        With `onto`, in the type of x, its sum with that.
        """
        import tensorflow as tf

        found = self._multiply(x, weights[name], weights.get(f"{name}.scale"), onto, head=head)
        if bias is not None:
            found += bias
        return found if head else tf.cast(found, x.dtype)

    def _other(self, layer: Any, args: Any, kwargs: Any, places: Any, weights: Tensors) -> Any:
        import tensorflow as tf

        kind, dtype = _kind(layer), self.numbers.arithmetic
        if kind == "Places":
            return places[None]
        if kind == "TokenEmbedding":
            x = args[0] if isinstance(args[0], Normed) else multiplied(args[0])
            if isinstance(x, Normed) or not x.dtype.is_integer:
                return self._product(x, layer.name, weights, head=True)
            rows, scale = (tf.cast(tf.gather(weights[layer.name], x), dtype), weights.get(f"{layer.name}.scale"))
            return rows if scale is None else scaled_blocks(rows, tf.gather(scale, x))
        if kind == "PlaceEmbedding":
            return tf.gather(weights[layer.name], args[0] + layer.offset)
        if kind == "RMSNormalization":
            return rms(multiplied(args[0]), weights[layer.name], layer.epsilon, layer.heads)
        if kind == "LayerNormalization":
            about = weights[f"{layer.name}.gamma"], weights.get(f"{layer.name}.beta")
            return layer_norm(multiplied(args[0]), *about, layer.epsilon)
        if kind == "Add" and len(args[0]) == 2 and isinstance(args[0][1], Later):
            return args[0][1].add(multiplied(args[0][0]))
        if layer.name not in self._same:
            self._same[layer.name] = type(layer).from_config({**layer.get_config(), "dtype": dtype})
        same = self._same[layer.name]
        args, kwargs = ([_list(each) for each in args], kwargs) if isinstance(args, tuple | list) else (args, kwargs)
        if any(getattr(tensor, "dtype", None) == tf.float32 for tensor in tf.nest.flatten(args)):  # scores of the head
            same = layer
        return same(*args, **kwargs)


def _kind(layer: Any) -> str:
    return type(layer).__name__


def _list(value: Any) -> Any:
    return [multiplied(each) for each in value] if isinstance(value, list | tuple) else multiplied(value)


def _one(value: Any, place: Any) -> Any:
    """Of numbers [batch, n, …] those of one token, [batch, 1, …]; anything else as it is."""
    import tensorflow as tf

    if isinstance(value, Normed):
        return Normed(_one(value.x, place), _one(value.factor, place))
    value = multiplied(value)
    if not value.dtype.is_floating:
        return value
    return tf.slice(value, tf.stack([0, place] + [0] * (len(value.shape) - 2)), [-1, 1] + [-1] * (len(value.shape) - 2))


def _products(nodes: list[Any], *, joined: bool) -> dict[tuple[int, str], list[Any]]:
    """The Dense layers of one product, by the id of the tensor that they read and the name of each of them."""
    readers: dict[int, list[Any]] = {}
    for node in nodes:
        if _kind(node.layer) == "Dense":
            readers.setdefault(id(node.call_args[0]), []).append(node.layer)
    return {(source, each.name): layers if joined else [each] for source, layers in readers.items() for each in layers}


def _joined(parts: list[Any]) -> str:
    return "+".join(part.name for part in parts)


def _rows(variables: list[Any], *, turned: bool) -> Array:
    values = [variable.numpy() for variable in variables]
    return np.concatenate([value.T if turned else value for value in values])


def _biases(parts: list[Any]) -> Array:
    return np.concatenate([part.bias.numpy() if part.use_bias else np.zeros(part.units, "f4") for part in parts])


def _integers(read: Callable[[], Array], block: int, bits: int) -> tuple[Array, Array]:
    """Rows as integers about zero, int8, and what they are multiplied by: float32 [rows, blocks]."""
    rows = read().astype(np.float32)
    parts = rows.reshape(len(rows), -1, block)
    most = 2 ** (bits - 1) - 1
    scale = np.abs(parts).max(axis=2) / np.float32(most)
    scale[scale == 0] = 1
    integers = np.clip(np.rint(parts / scale[:, :, None]), -most, most).astype(np.int8)
    return integers.reshape(rows.shape), scale.astype(np.float32)
