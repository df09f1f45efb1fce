"""How tokens attend in programs of StableHLO: grouped heads and rotary places, upon caches of floats or integers.

The same as `training.attention.Attend`, whose fields say how; sums of softmax in float32, whatever the caches are.
"""

import json
from typing import Any

from tasks.errors import ConversionError


def plain(layer: Any, query: Any, key: Any, value: Any, places: Any, *scales: Any) -> Any:
    """Attend by products that every platform has: [batch, n, heads · d].

    Args:
        layer: an `Attend`.
        query: [batch, heads, n, d], of `turned`.
        key: [batch, kv_heads, m, d], of `turned` or a cache; so are the values.
        value: see `key`.
        places: int32 [n], of the queries. The keys are those of the same places, or, of another number, from 0 on.
        scales: of the keys and of the values, where these are integers: float32 [batch, kv_heads, m, 1].
    """
    import tensorflow as tf

    batch, _, n, width = query.shape
    seen = places if key.shape[2] == n else tf.range(key.shape[2])
    grouped = tf.reshape(query, [batch, layer.kv_heads, layer.heads // layer.kv_heads, n, width])
    scores = tf.cast(tf.einsum("bkgnd,bkpd->bkgnp", grouped, tf.cast(key, query.dtype)), tf.float32)
    if scales:
        scores *= _by_key(scales[0])
    if layer.cap is not None:
        scores = tf.tanh(scores / layer.cap) * layer.cap
    scores = tf.where(_visible(layer, places, seen), scores, tf.constant(-1e9))
    weights = tf.nn.softmax(scores)
    if scales:
        weights *= _by_key(scales[1])
    found = tf.einsum("bkgnp,bkpd->bkgnd", tf.cast(weights, query.dtype), tf.cast(value, query.dtype))
    return _together(tf.reshape(found, [batch, layer.heads, n, width]))


def by_cudnn(layer: Any, query: Any, key: Any, value: Any, places: Any, *scales: Any) -> Any:
    """The same by one kernel of cuDNN, which XLA knows on NVIDIA alone: causal, or in a cache up to a place.

    As `jax.nn.dot_product_attention` calls it; bfloat16 or float16.

    Raises:
        ConversionError: the layer has a cap or a window, or what is kept are integers.
    """
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    if layer.cap is not None or layer.window is not None or scales:
        raise ConversionError(f"{layer.name}: cuDNN's attention takes neither a cap nor a window nor integers")
    batch, n = query.shape[0], query.shape[2]
    among = key.shape[2] == n
    lengths = [] if among else [tf.ones([batch], tf.int32), tf.fill([batch], places[0] + 1)]
    found, _ = gen_xla_ops.xla_custom_call_v2(
        operands=[query, key, value, *lengths],
        call_target_name="__cudnn$fmhaSoftmax",
        backend_config=_asked_of_cudnn(query, key.shape[2], "CAUSAL" if among else "PADDING"),
        has_side_effect=False,
        result_dtypes=[query.dtype, tf.uint8],
        result_shapes=[query.shape, [0]],
    )
    found.set_shape(query.shape)
    return _together(found)


def _asked_of_cudnn(query: Any, keys: int, mask: str) -> str:
    batch, heads, n, _ = query.shape
    sizes = {"dim_level_types": [], "dim_unique": [], "dim_ordered": [], "minor_to_major": ["3", "2", "1", "0"]}
    none = {"element_size_in_bits": "0", "memory_space": "0", "dynamic_shape_metadata_prefix_bytes": "0"}
    types = dict.fromkeys(("index_primitive_type", "pointer_primitive_type"), "PRIMITIVE_TYPE_INVALID")
    call = {
        "algorithm": {
            "algo_id": "0", "math_type": "TENSOR_OP_MATH", "tuning_knobs": {"17": "1", "24": "0"},
            "is_cudnn_frontend": True, "workspace_size": "0",
        },
        "fmha_scale": 1.0,
        "dropout_rate": 0.0,
        "intermediate_tensor_shape": {
            "element_type": {"bfloat16": "BF16", "float16": "F16"}[query.dtype.name],
            "dimensions": [str(size) for size in (batch, heads, n, keys)],
            "tuple_shapes": [],
            "layout": {**sizes, "tiles": [], **none, **types},
            "is_dynamic_dimension": [False] * 4,
        },
        "seed": 42,
        "is_flash_attention": True,
        "mask_type": mask,
        "sliding_window_length": 0,
        "bmm1_dot_dimension_numbers": _product("3", "3"),
        "bmm2_dot_dimension_numbers": _product("3", "2"),
    }  # fmt: skip
    whole = {"operation_queue_id": "0", "wait_on_operation_queues": [], "cudnn_fmha_backend_config": call}
    return json.dumps(whole)


def _product(left: str, right: str) -> dict[str, list[str]]:
    """Of two arrays of four axes, the first two of them in common."""
    return {
        "lhs_contracting_dimensions": [left], "rhs_contracting_dimensions": [right],
        "lhs_batch_dimensions": ["0", "1"], "rhs_batch_dimensions": ["0", "1"],
    }  # fmt: skip


def turned(layer: Any, given: list[Any], places: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values [batch, n, heads · d] by head, [batch, heads, n, d].

    Queries are scaled, and they and the keys turned by their places, int32 [n].
    """
    import tensorflow as tf

    from tasks.training.attention import rotated

    dtype = given[0].dtype
    query, key, value = (
        tf.transpose(tf.reshape(x, [*x.shape[:2], heads, -1]), [0, 2, 1, 3])
        for x, heads in zip(given, (layer.heads, layer.kv_heads, layer.kv_heads), strict=True)
    )
    query = rotated(tf.cast(query, tf.float32), places, layer.frequencies) * layer.scale
    return tf.cast(query, dtype), tf.cast(rotated(tf.cast(key, tf.float32), places, layer.frequencies), dtype), value


def kept(key: Any, value: Any, cache: str | None) -> list[Any]:
    """What is kept of keys and values [batch, kv_heads, n, d]: these, or integers and scales, as of `Attend`."""
    import tensorflow as tf

    from tasks.training import attention

    if cache is not None:
        key, value = tf.cast(key, tf.float32), tf.cast(value, tf.float32)
    found: list[Any] = attention.kept(key, value, cache)
    return found


def _together(found: Any) -> Any:
    """[batch, heads, n, d] as [batch, n, heads · d]."""
    import tensorflow as tf

    batch, heads, n, width = found.shape
    return tf.reshape(tf.transpose(found, [0, 2, 1, 3]), [batch, n, heads * width])


def written(cache: Any, rows: Any, places: Any) -> Any:
    """The cache with new rows from the first place on."""
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla

    return xla.dynamic_update_slice(cache, tf.cast(rows, cache.dtype), tf.stack([0, 0, places[0], 0]))


def first(cache: Any, count: int | None) -> Any:
    """The first places of a cache; None: all."""
    return cache if count in (None, cache.shape[2]) else cache[:, :, :count]


def _by_key(scale: Any) -> Any:
    """Scales [batch, kv_heads, m, 1] as those of scores, [batch, kv_heads, 1, 1, m]."""
    import tensorflow as tf

    return tf.reshape(scale, [*scale.shape[:2], 1, 1, scale.shape[2]])


def _visible(layer: Any, places: Any, seen: Any) -> Any:
    """Which keys each query may look at: [n, keys]."""
    own = places[:, None]
    found = seen[None] <= own
    return found if layer.window is None else found & (seen[None] > own - layer.window)
