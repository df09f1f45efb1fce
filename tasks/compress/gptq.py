"""Weights of 4 bits in blocks, each chosen so that it makes up for the rounding of those before it.

GPTQ: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2022), layer
by layer: each layer is given what the layers before it answer once they are quantized. Scales are found first, those
of the least error weighted by how large the inputs are; the inputs are taken in the order of their size. What comes of
it are floats upon a grid that the conversion to `int4-dynamic` with the same `block` finds again.
"""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.compress import fisher, inputs, kernels
from tasks.decoder.cached import is_decoder
from tasks.errors import ModelError
from tasks.formats.grid import LEVELS, rounded_scale
from tasks.members import CompressionMethod
from tasks.params.compress import Gptq
from tasks.quality import heads
from tasks.quantize.language import HEAD
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

Products = NDArray[np.float64]
Matrix = NDArray[np.float32]
SHRINKS = np.linspace(1.0, 0.7, 16)  # of the largest weight of a block, which are tried as the end of its scale
JUDGED = 24  # validation examples that the layers which keep 8 bits are found on
AT_ONCE = 128  # columns, after which the error is brought to all that are left
log = logging.getLogger(__name__)


def scales(weights: Matrix, block: int, importance: NDArray[np.float64]) -> Matrix:
    """The scale of each block that makes the weighted squared error of rounding least.

    Args:
        weights: [outputs, inputs].
        block: inputs that share a scale.
        importance: of an error at each input, [inputs].

    Returns:
        float32 [outputs, inputs / block], each a bfloat16, as files store them.
    """
    parts = weights.reshape(len(weights), -1, block)
    weight = importance.reshape(1, -1, block).astype(np.float32)
    ends = np.abs(parts).max(axis=2)
    best, least = rounded_scale(ends), np.full(ends.shape, np.inf, np.float32)
    for shrink in SHRINKS:
        tried = rounded_scale(ends * np.float32(shrink))
        off = np.clip(np.rint(parts / tried[..., None]), -LEVELS, LEVELS) * tried[..., None] - parts
        error = (np.square(off) * weight).sum(axis=2)
        best, least = np.where(error < least, tried, best), np.minimum(error, least)
    return best


def quantized(weights: Matrix, products: Products, block: int, damping: float) -> Matrix:
    """The weights on a grid of 4 bits, so that what they make of the inputs changes least.

    The largest weight of each block stays at the end of its scale, so that the grid can be told from the weights.

    Args:
        weights: [outputs, inputs].
        products: of the inputs with each other, [inputs, inputs], summed over examples.
        block: inputs that share a scale.
        damping: added to the diagonal of `products`, as a share of its mean.
    """
    mean = products.trace() / len(products) or 1.0
    products = products + np.eye(len(products)) * damping * mean
    order = np.argsort(-products.diagonal(), kind="stable")
    each = np.repeat(scales(weights, block, products.diagonal()), block, axis=1)[:, order]
    ends = _ends(weights, block)[:, order]
    inverse = np.linalg.inv(products[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T.astype(np.float32)
    left, found = weights[:, order].copy(), np.empty_like(weights)
    for start in range(0, len(order), AT_ONCE):
        stop = min(start + AT_ONCE, len(order))
        errors = np.empty((len(weights), stop - start), np.float32)
        for i in range(start, stop):
            steps = np.clip(np.rint(left[:, i] / each[:, i]), -LEVELS, LEVELS)
            found[:, i] = np.where(ends[:, i], ends[:, i] * LEVELS, steps) * each[:, i]
            errors[:, i - start] = (left[:, i] - found[:, i]) / upper[i, i]
            left[:, i + 1 : stop] -= errors[:, i - start, None] * upper[i, i + 1 : stop]
        left[:, stop:] -= errors @ upper[start:stop, stop:]
    result = np.empty_like(weights)
    result[:, order] = found
    return result


def _ends(weights: Matrix, block: int) -> Matrix:
    """The sign of each block's largest weight, at its place; 0 elsewhere: [outputs, inputs]."""
    parts = weights.reshape(len(weights), -1, block)
    largest = np.abs(parts).argmax(axis=2)[..., None]
    ends = np.zeros_like(parts)
    np.put_along_axis(ends, largest, np.sign(np.take_along_axis(parts, largest, 2)), 2)
    return ends.reshape(weights.shape)


def apply(
    model: "tf_keras.Model", params: Gptq, train: "Examples", validation: "Examples", _on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Quantize the dense layers one after the other, on training examples, but those that keep 8 bits.

    Returns:
        The model, and no history: nothing is fitted.

    Raises:
        ModelError: there is no layer that can be quantized, the blocks do not divide the inputs of one, the damping is
            too small for these, or `eight` is asked of a model whose answers it cannot be told from.
    """
    twin = kernels.copy(model)
    layers = _layers(twin, params.block)
    kept = _kept(twin, layers, params, validation)
    names = [name for name in layers if name not in kept]
    solved: tuple[Any, Products] = (None, np.empty(0))
    for layer, given in inputs.walk(twin, inputs.batches(twin, train, params.examples), names):
        if solved[0] is not given:
            solved = (given, _products(given))
        layer.kernel.assign(_solved(layer, solved[1], params))
        log.info("gptq: %s", layer.name)
    return twin, {}


def _solved(layer: Any, products: Products, params: Gptq) -> Matrix:
    """The kernel that a dense layer gets, [inputs, outputs]."""
    if not np.isfinite(products).all():
        raise ModelError(f"gptq: layer {layer.name!r} is given no finite numbers, so no rounding can be made up for")
    try:
        return quantized(np.ascontiguousarray(layer.kernel.numpy().T), products, params.block, params.damping).T
    except np.linalg.LinAlgError:  # what the inputs do not span is left to the damping, which rounding must not exceed
        raise ModelError(
            f"gptq: damping: received {params.damping}, which is too small for what {layer.name!r} is given in "
            f"{params.examples} examples; raise it (0.01 is usual), or `examples`"
        ) from None


def _layers(model: "tf_keras.Model", block: int) -> dict[str, int]:
    """The dense layers that the conversion gives 4 bits, and the weights of each."""
    import tf_keras as keras

    found = {
        layer.name: int(layer.kernel.shape.num_elements())
        for layer in model.layers
        if type(layer) is keras.layers.Dense and not (is_decoder(model) and layer.name == HEAD)
    }
    if not found:
        raise ModelError(f"gptq: model {model.name!r} has no dense layer of its own")
    for name in found:
        if (rows := model.get_layer(name).kernel.shape[0]) % block:
            raise ModelError(f"gptq: block: {block} does not divide the {rows} inputs of {name!r}")
    return found


def _kept(model: "tf_keras.Model", layers: dict[str, int], params: Gptq, validation: "Examples") -> set[str]:
    """The layers that keep 8 bits: where rounding to 4 costs most for what it saves, up to a share of all weights."""
    if not params.eight:
        return set()
    kind = _judged(model, params, validation)
    changes = {}
    for name in layers:
        weights = np.ascontiguousarray(model.get_layer(name).kernel.numpy().T)
        step = np.repeat(scales(weights, params.block, np.ones(weights.shape[1])), params.block, axis=1)
        changes[name] = (np.clip(np.rint(weights / step), -LEVELS, LEVELS) * step - weights).T
    found = fisher.costs(model, changes, inputs.batches(model, validation, JUDGED, 1), scores=kind == "tokens")
    kept, left = set(), params.eight * sum(layers.values())
    for name in sorted(found, key=lambda name: -found[name] / layers[name]):
        if layers[name] <= left:
            kept.add(name)
            left -= layers[name]
    log.info("gptq: 8 bits for %s", ", ".join(sorted(kept)) or "none")
    return kept


def _judged(model: "tf_keras.Model", params: Gptq, validation: "Examples") -> heads.Kind:
    """What the answers are whose divergence judges layers: classes (their probabilities) or tokens (their scores)."""
    answers = f"{len(model.outputs)} outputs"
    if len(model.outputs) == 1:
        kind = heads.find(model, validation.targets)[0].kind
        if kind in ("classes", "tokens"):
            return kind
        answers = f"an output of {kind}"
    raise ModelError(
        f"gptq: eight: received {params.eight} for {model.name!r}, which has {answers}; what 4 bits cost is told from "
        "one output of classes or of tokens: leave `eight` out"
    )


def _products(given: inputs.Batches) -> Products:
    """The inputs' products with each other, summed over everything but their last axis: [inputs, inputs]."""
    import tensorflow as tf

    found = np.zeros((given[0].shape[-1],) * 2)
    for batch in given:
        rows = tf.reshape(batch, [-1, batch.shape[-1]])
        found += tf.matmul(rows, rows, transpose_a=True).numpy()
    return found


METHOD = CompressionMethod(schema=Gptq, apply=apply)
