"""How matrices are multiplied in programs of StableHLO: rows times numbers [batch, n, inputs], with sums in float32."""

from typing import Any

from tasks.decoder import kernels
from tasks.decoder.normed import Normed, multiplied

FEW = 8  # tokens that the kernel multiplies at once
TILE, PART, WARPS = 16, 256, 16  # rows of a tile, inputs of a warp's chunk, warps of a block at most
BLOCK = 128  # inputs that share a scale, where a row has several
SHARED = 48 * 1024  # bytes that a block has without asking
BLOCKS = 264  # of threads at once: two for each of a large GPU's 132 processors


def plain(x: Any, matrix: Any, scale: Any, onto: Any = None, *, head: bool) -> Any:
    """By products that every platform has: float32 [batch, n, rows], or its sum with others, in their type.

    Args:
        x: floats [batch, n, inputs], or such of a norm, whose factor is multiplied behind the product.
        matrix: [rows, inputs], floats or integers.
        scale: float32 [rows, blocks] of these; None: they have none.
        onto: [batch, n, rows], to which the product in the type of x is added; None: nothing.
        head: whether these are the scores, which are not rounded to the type of x.
    """
    import tensorflow as tf

    factor, x = (x.factor, x.x) if isinstance(x, Normed) else (None, x)
    matrix = tf.cast(matrix, x.dtype)
    if scale is not None and scale.shape[1] > 1:
        matrix, scale = scaled_blocks(matrix, scale), None
    found = tf.cast(_dot(x, matrix) if head else tf.einsum("bti,oi->bto", x, matrix), tf.float32)
    if scale is not None:
        found *= scale[:, 0]
    if factor is not None:
        found *= factor
    return found if onto is None else onto + tf.cast(found, x.dtype)


def by_ptx(x: Any, matrix: Any, scale: Any, onto: Any = None, *, head: bool) -> Any:
    """The same by a kernel of ours, which NVIDIA's GPUs alone run: four bits, times eight tokens at most.

    An RMS norm before the product, and the sum behind it, are one step with it. Where the kernel does not know a
    matrix, or the tokens are more, XLA multiplies.
    """
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    norm = x if isinstance(x, Normed) and x.of is not None else None
    given = norm.of if norm else multiplied(x)
    batch, n, width = given.shape
    tokens, rows = batch * n, int(matrix.shape[0])
    fit = given.dtype == tf.bfloat16 and matrix.dtype.name == "int4" and tokens <= FEW
    asked = _asked(rows, width, tokens, int(scale.shape[1]), norm, added=onto is not None) if fit else None
    if asked is None:
        return plain(x, matrix, scale, onto, head=head)
    none = scale  # an argument that is not read
    flat = none if onto is None else tf.reshape(onto, [tokens, rows])
    (found,) = gen_xla_ops.xla_custom_call_v2(
        operands=[matrix, tf.reshape(given, [tokens, width]), scale, norm.gain if norm else none, flat],
        call_target_name=kernels.TARGET,
        backend_config=asked,
        has_side_effect=False,
        result_dtypes=[tf.float32 if onto is None else tf.bfloat16],
        result_shapes=[[tokens, rows]],
    )
    found.set_shape([tokens, rows])
    return tf.reshape(found, [batch, n, rows])


def _asked(rows: int, width: int, tokens: int, blocks: int, norm: Normed | None, *, added: bool) -> str | None:
    """What XLA is told of the kernel for a matrix whose rows have so many scales; None: there is none for it."""
    parts = width // PART
    chunks = 1 if parts <= WARPS else 2
    warps, tiles = parts // chunks, rows // TILE
    if rows % TILE or width % (PART * chunks) or not tokens * TILE <= 32 * warps <= 32 * WARPS:
        return None
    if blocks not in (1, width // BLOCK):
        return None
    shared = (1024 + 32) * warps + (2 * tokens * width if norm else 0)
    if shared > SHARED:
        return None
    turns = -(-tiles // (BLOCKS if warps <= WARPS // 2 else BLOCKS // 2))
    name = f"int4_{'rows' if blocks == 1 else 'blocks'}_{chunks}"
    sizes: dict[str, int | float] = {"ROWS": rows, "TOKENS": tokens, "NORMED": int(norm is not None)}
    sizes |= {"ADDED": int(added), "EPSILON": float(norm.epsilon) if norm else 0.0}
    return kernels.call(name, -(-tiles // turns), 32 * warps, shared, **sizes)


def scaled_blocks(rows: Any, scale: Any) -> Any:
    """Rows [..., width] times the scales [..., blocks] of their blocks."""
    import tensorflow as tf

    blocks = scale.shape[-1]
    parts = tf.reshape(rows, [*rows.shape[:-1], blocks, rows.shape[-1] // blocks])
    return tf.reshape(parts * tf.cast(scale, rows.dtype)[..., None], rows.shape)


def _dot(x: Any, matrix: Any) -> Any:
    """The product in float32, whatever its factors are."""
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla
    from tensorflow.compiler.xla import xla_data_pb2

    sides = xla_data_pb2.DotDimensionNumbers(lhs_contracting_dimensions=[2], rhs_contracting_dimensions=[1])
    return xla.dot_general(x, matrix, sides, preferred_element_type=tf.float32)
