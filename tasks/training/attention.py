"""Layers of decoders that tf_keras lacks, registered with it as `tercet>…`.

What attends, and what depends on where a token stands, is given the places as a tensor. So one layer serves a whole
window, whose places are 0, 1, 2 …, and the next tokens of a text of which a cache is kept.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

UNSEEN = -1e9  # added to the score of a key that a query may not look at
MOST, LEAST = 127, 1e-30  # the largest integer of a row, and what its largest number counts at least


@keras.saving.register_keras_serializable("tercet")
class TokenEmbedding(keras.layers.Embedding):  # type: ignore[misc]  # tf_keras ships no types
    """A vector for each token and, of vectors, how well each token fits: one table both ways, as in Press and Wolf,
    "Using the Output Embedding to Improve Language Models" (2017).

    Integers [...] give float32 [..., width]; floats [..., width] give float32 [..., vocabulary].
    """  # noqa: D205  # the source belongs to the first sentence

    channel_rule = "fix"  # of tasks/channels/rules.py

    def call(self, inputs: Any) -> Any:
        """Look tokens up, or score them all."""
        if inputs.dtype.is_integer:
            return tf.gather(self.embeddings, inputs)
        return tf.matmul(inputs, self.embeddings, transpose_b=True)


@keras.saving.register_keras_serializable("tercet")
class Places(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """Where the tokens of a window [batch, n] stand: int32 [1, n], from 0 on.

    Args:
        room: places that the model was made for; None: it does not say.
    """

    channel_rule = "fix"  # of tasks/channels/rules.py

    def __init__(self, room: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.room = room

    def call(self, inputs: Any) -> Any:
        """Count."""
        return tf.range(inputs.shape[1] or tf.shape(inputs)[1])[None]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "room": self.room}


@keras.saving.register_keras_serializable("tercet")
class PlaceEmbedding(keras.layers.Embedding):  # type: ignore[misc]  # tf_keras ships no types
    """A learnt vector for each place: int32 [1, n] gives float32 [1, n, width]. Its first `offset` rows are of none."""

    channel_rule = "fix"  # of tasks/channels/rules.py

    def __init__(self, input_dim: int, output_dim: int, offset: int = 0, **kwargs: Any) -> None:
        super().__init__(input_dim, output_dim, **kwargs)
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        """Look places up."""
        return tf.gather(self.embeddings, inputs + self.offset)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "offset": self.offset}


@keras.saving.register_keras_serializable("tercet")
class SoftCap(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """cap · tanh(x / cap): no number is larger. Gemma Team, "Gemma 2" (2024)."""

    channel_rule = "pass"  # of tasks/channels/rules.py

    def __init__(self, cap: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cap = cap

    def call(self, inputs: Any) -> Any:
        """Cap `inputs`; the shape stays."""
        return capped(inputs, self.cap)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "cap": self.cap}


@keras.saving.register_keras_serializable("tercet")
class GeluTanh(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """GELU by its approximation with tanh: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016)."""

    channel_rule = "pass"  # of tasks/channels/rules.py

    def call(self, inputs: Any) -> Any:
        """Bend `inputs`; the shape stays."""
        return tf.nn.gelu(inputs, approximate=True)


@keras.saving.register_keras_serializable("tercet")
class Attend(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
    """Causal attention of grouped heads, with rotary places: it has no weights of its own.

    Vaswani et al., "Attention Is All You Need" (2017); Ainslie et al., "GQA" (2023); Su et al., "RoFormer" (2021), its
    pairs a half of the rotated numbers apart, as in GPT-NeoX.

    It is called on one list: the queries [batch, n, heads · d], the keys and values [batch, n, kv_heads · d], the
    places int32 [1, n], and gives [batch, n, heads · d]. With the caches of the keys and values behind them, float32
    [1, kv_heads, room, d], n tokens in a row see all before them, and the caches with their own keys and values are
    given too. A cache is read as it is, by products of four axes: a slice of it would be a copy, which costs more.

    With `cache` int8, keys and values are integers [1, kv_heads, room, d] of one scale a place and head, float32
    [1, kv_heads, room, 1], in four caches: keys, values, their scales. A scale belongs to a whole row, so it is
    multiplied into the scores, and into what these weigh. Without caches keys and values are rounded likewise: so the
    answer of a window is that of a text of which the caches are kept.

    Args:
        heads: of the queries.
        kv_heads: of the keys and values; each serves as many queries.
        frequencies: radians a place, one for each pair of numbers that is rotated; the numbers behind these are not.
        scale: what the products of queries and keys are multiplied by.
        cap: of the scaled products; None: none.
        window: tokens that one sees, itself among them; None: all before it.
        cache: "int8": what is kept of keys and values; None: they are kept as they are.
    """

    channel_rule = "attention"  # of tasks/channels/rules.py

    def __init__(
        self,
        heads: int,
        kv_heads: int,
        frequencies: Sequence[float] = (),
        scale: float = 1.0,
        cap: float | None = None,
        window: int | None = None,
        cache: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.kv_heads, self.frequencies = heads, kv_heads, list(frequencies)
        self.scale, self.cap, self.window, self.cache = scale, cap, window, cache

    def call(self, inputs: Any) -> Any:
        """Attend."""
        *given, places = inputs[:4]
        caches, places = inputs[4:], places[0]
        query, key, value = self._turned(given, places)
        rows, seen = kept(key, value, self.cache), places
        if caches:
            rows = [_written(cache, new, places) for cache, new in zip(caches, rows, strict=True)]
            seen = tf.range(rows[0].shape[2])
        found = self._attended(query, rows, self._mask(places, seen))
        return [found, *rows] if caches else found

    def _turned(self, given: list[Any], places: Any) -> tuple[Any, Any, Any]:
        """Queries, keys and values [batch, heads, n, d]: the queries scaled, they and the keys turned by their places.

        Side by side: what is done once for all of them is one operator, and what gives them may be one product.
        """
        turning = self.heads + self.kv_heads
        rows = _by_head(tf.concat(given, 2), turning + self.kv_heads)
        factors = np.repeat([self.scale, 1.0], [self.heads, self.kv_heads]).astype(np.float32)[:, None, None]
        turned = rotated(rows[:, :turning], places, self.frequencies, factors)
        return turned[:, : self.heads], turned[:, self.heads :], rows[:, turning:]

    def _attended(self, query: Any, kept: Sequence[Any], mask: Any) -> Any:
        """The queries of a group one below the other: keys and values are read once for all of them, never repeated."""
        key, value, *scales = kept
        key_scale, value_scale = (tf.transpose(scale, [0, 1, 3, 2]) for scale in scales) if scales else (None, None)
        batch, n, width = tf.shape(query)[0], query.shape[2] or tf.shape(query)[2], query.shape[3]
        grouped = tf.reshape(query, [batch, self.kv_heads, (self.heads // self.kv_heads) * n, width])
        scores = tf.matmul(grouped, tf.cast(key, query.dtype), transpose_b=True)
        if key_scale is not None:
            scores *= key_scale
        if self.cap is not None:
            scores = capped(scores, self.cap)
        weights = tf.nn.softmax(scores + mask)
        if value_scale is not None:
            weights *= value_scale
        found = tf.matmul(weights, tf.cast(value, query.dtype))
        found = tf.transpose(tf.reshape(found, [batch, self.heads, n, width]), [0, 2, 1, 3])
        return tf.reshape(found, [batch, n, self.heads * width])

    def _mask(self, places: Any, seen: Any) -> Any:
        """What is added to the scores: [queries of a group, keys], or of a single place [kv_heads, group, keys].

        The latter is as large as the scores, and added in one loop; rows that are repeated are shared out one by one.
        """
        group = self.heads // self.kv_heads
        own = tf.tile(places, [group])[:, None]
        if places.shape[0] == 1:
            own = tf.tile(own[None], [self.kv_heads, 1, 1])
        hidden = tf.cast(seen > own, tf.float32)
        if self.window is not None:
            hidden += tf.cast(seen <= own - self.window, tf.float32)
        return hidden * UNSEEN

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        names = ("heads", "kv_heads", "frequencies", "scale", "cap", "window", "cache")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def capped(x: Any, cap: float) -> Any:
    """Numbers bent so that none is larger than the cap."""
    return tf.tanh(x / cap) * cap


def rotated(x: Any, places: Any, frequencies: Sequence[float], factors: Any = None) -> Any:
    """Pairs of numbers [batch, heads, n, d], a half of the rotated ones apart, turned by frequency times place.

    And multiplied by `factors` [heads, 1, 1], where there are any: which costs nothing with what turns them.

    By the fewest operators, which a token on a processor pays for one by one: both halves at once, and a split in equal
    parts, which XNNPACK has; of parts whose sizes are told it has none.
    """
    half, rest = len(frequencies), x.shape[3] - 2 * len(frequencies)
    if not half:
        return x if factors is None else x * factors
    if rest:
        turning, still = tf.split(x, [2 * half, rest], axis=3)
        return tf.concat([rotated(turning, places, frequencies, factors), rotated(still, places, (), factors)], axis=3)
    angles = tf.cast(places, tf.float32)[:, None] * tf.constant(frequencies, tf.float32)
    cos, sin = tf.cos(angles), tf.sin(angles)
    own, crossed = tf.concat([cos, cos], 1), tf.concat([-sin, sin], 1)
    if factors is not None:
        own, crossed = own * factors, crossed * factors
    one, other = tf.split(x, 2, axis=3)
    return x * own + tf.concat([other, one], 3) * crossed


def _by_head(x: Any, heads: int) -> Any:
    """[batch, n, heads · d] as [batch, heads, n, d]."""
    n, width = x.shape[1] or tf.shape(x)[1], x.shape[2] // heads
    return tf.transpose(tf.reshape(x, [tf.shape(x)[0], n, heads, width]), [0, 2, 1, 3])


def kept(key: Any, value: Any, cache: str | None) -> list[Any]:
    """What is kept of keys and values [..., d]: these, or integers and their scales [..., 1]."""
    if cache is None:
        return [key, value]
    scales = [tf.maximum(tf.reduce_max(tf.abs(rows), 3, keepdims=True), LEAST) / MOST for rows in (key, value)]
    rounded = [tf.cast(tf.round(rows / scale), tf.int8) for rows, scale in zip((key, value), scales, strict=True)]
    return [*rounded, *scales]


def _written(cache: Any, rows: Any, places: Any) -> Any:
    """The cache with new rows from the first place on; rows past its end would be written earlier, without a word."""
    from tensorflow.compiler.tf2xla.python import xla

    return xla.dynamic_update_slice(cache, rows, tf.stack([0, 0, places[0], 0]))
