"""Functional models of Keras 3 with its operations side by side, each an output, for `keras3_files.py`."""

import keras
import numpy as np
from keras import layers, ops

ROW = np.array([0.5, -1.0, 2.0, 3.0])  # float64, as numpy makes it
FAMILIES = {  # of a series: 6 steps of 4 channels
    "arithmetic": [
        lambda x: x + 1, lambda x: 2.5 + x, lambda x: x + x[:, ::-1], lambda x: x + ROW,
        lambda x: ops.add(x, x[:, :1]), lambda x: x - 1.5, lambda x: 1 - x, lambda x: x - ROW,
        lambda x: ops.subtract(ROW, x), lambda x: x * 3, lambda x: 0.1 * x, lambda x: x * ops.sigmoid(x),
        lambda x: ops.multiply(ROW, x), lambda x: x * x[..., :1], lambda x: x / 3, lambda x: x / ROW,
        lambda x: 2 / (ops.abs(x) + 1), lambda x: ops.divide(x, ops.exp(x)), lambda x: -x, lambda x: abs(x),
        lambda x: x**2, lambda x: x**3, lambda x: ops.power(ops.abs(x) + 0.1, 1.7), lambda x: ops.abs(x) ** 0.5,
        lambda x: 2.0 ** x, lambda x: ops.maximum(x, 0.1), lambda x: ops.minimum(0, x), lambda x: ops.maximum(x, -x),
        lambda x: ops.minimum(x, ROW), lambda x: x // 0.7, lambda x: x % 0.7, lambda x: ops.clip(x, -0.5, 1),
        lambda x: ops.square(x), lambda x: ops.sqrt(ops.abs(x)), lambda x: ops.rsqrt(ops.abs(x) + 0.1),
        lambda x: ops.cast(x * 3, "int32") + 1, lambda x: ops.cast(x * 3, "int32") * 0.5,
        lambda x: ops.cast(x * 3, "int32") / 2, lambda x: ops.cast(x * 3, "int32") + x,
    ],
    "functions": [
        lambda x: ops.exp(x), lambda x: ops.log(ops.abs(x) + 0.1), lambda x: ops.log1p(ops.abs(x)),
        lambda x: ops.expm1(x), lambda x: ops.log2(ops.abs(x) + 0.1), lambda x: ops.log10(ops.abs(x) + 0.1),
        lambda x: ops.exp2(x), lambda x: ops.logaddexp(x, 2 * x), lambda x: ops.sin(x), lambda x: ops.cos(x),
        lambda x: ops.sign(x), lambda x: ops.floor(x), lambda x: ops.ceil(x), lambda x: ops.round(x),
        lambda x: ops.round(x, 1), lambda x: ops.trunc(x), lambda x: ops.reciprocal(ops.abs(x) + 0.5),
        lambda x: ops.hypot(x, 1 - x), lambda x: ops.cumsum(x, axis=1), lambda x: ops.matmul(x, np.ones((4, 3))),
        lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), lambda x: ops.dot(x, np.eye(4)),
        lambda x: ops.dot(0.5, ops.dot(x, 3)),
        lambda x: ops.einsum("btc,bsc->bts", x, x), lambda x: ops.tensordot(x, np.ones((4, 2)), axes=1),
        lambda x: ops.normalize(x), lambda x: ops.normalize(x, axis=1), lambda x: ops.norm(x, axis=-1),
        lambda x: ops.norm(x, ord=2, axis=1, keepdims=True),
    ],
    "rare_functions": [  # no operators of LiteRT
        lambda x: ops.tan(x), lambda x: ops.arctan(x), lambda x: ops.arctan2(x, 1 + x), lambda x: ops.sinh(x),
        lambda x: ops.cosh(x), lambda x: ops.arcsinh(x), lambda x: ops.erf(x), lambda x: ops.arcsin(ops.tanh(x)),
        lambda x: ops.arccos(ops.tanh(x)), lambda x: ops.arctanh(0.5 * ops.tanh(x)), lambda x: ops.erfc(x),
        lambda x: ops.arccosh(1 + ops.abs(x)), lambda x: ops.deg2rad(x), lambda x: ops.rad2deg(x),
        lambda x: ops.cumprod(x, axis=1), lambda x: ops.isnan(x), lambda x: ops.isfinite(x), lambda x: ops.isinf(x),
    ],
    "conditions": [
        lambda x: x > 0, lambda x: x <= ROW, lambda x: ops.where(x > 0, x, 0.1 * x),
        lambda x: ops.where(x > 0, 1.0, x), lambda x: ops.where(ops.logical_and(x > 0, x < 1), x, 0),
        lambda x: ops.logical_or(x > 1, x < -1), lambda x: ops.logical_not(x > 0),
        lambda x: ops.where(ops.logical_xor(x > 0, x > 1), 2.0, 3.0), lambda x: ops.equal(ops.round(x), 0),
        lambda x: ops.not_equal(ops.round(x), 0), lambda x: ops.any(x > 1, axis=1),
        lambda x: ops.all(x > -1, axis=-1, keepdims=True), lambda x: ops.count_nonzero(ops.round(x), axis=1),
        lambda x: ops.greater_equal(x, 0.5), lambda x: ops.cast(x > 0, "float32"), lambda x: ops.less(x, x[:, ::-1]),
    ],
    "over_axes": [
        lambda x: ops.mean(x, axis=1), lambda x: ops.mean(x, axis=-1),
        lambda x: ops.mean(x, axis=(1, 2), keepdims=True), lambda x: ops.mean(x, axis=1, keepdims=True),
        lambda x: ops.max(x, axis=1), lambda x: ops.max(x, axis=(1, 2)), lambda x: ops.amax(x, axis=-1),
        lambda x: ops.min(x, axis=1, keepdims=True), lambda x: ops.amin(x, axis=-1), lambda x: ops.sum(x, axis=1),
        lambda x: ops.sum(x, axis=(-1, -2)), lambda x: ops.prod(x, axis=-1), lambda x: ops.var(x, axis=1),
        lambda x: ops.std(x, axis=-1, keepdims=True), lambda x: ops.logsumexp(x, axis=-1),
        lambda x: ops.moments(x, axes=[1])[0], lambda x: ops.moments(x, axes=[1], keepdims=True)[1],
        lambda x: ops.argmax(x, axis=-1), lambda x: ops.argmin(x, axis=1), lambda x: ops.argmax(x, 1, keepdims=True),
        lambda x: ops.ptp(x, axis=1), lambda x: ops.top_k(x, 2)[0], lambda x: ops.top_k(x, 2)[1],
        lambda x: ops.mean(ops.cast(x * 3, "int32"), axis=1), lambda x: ops.sort(x, axis=-1),
        lambda x: ops.argsort(x, axis=-1),
    ],
    "activations": [
        lambda x: ops.relu(x), lambda x: ops.relu6(8 * x), lambda x: ops.leaky_relu(x),
        lambda x: ops.leaky_relu(x, 0.01), lambda x: ops.elu(x), lambda x: ops.elu(x, 0.5), lambda x: ops.selu(x),
        lambda x: ops.celu(x, 2.0), lambda x: ops.gelu(x), lambda x: ops.gelu(x, approximate=False),
        lambda x: ops.glu(x), lambda x: ops.sigmoid(x), lambda x: ops.log_sigmoid(x),
        lambda x: ops.hard_sigmoid(4 * x), lambda x: ops.silu(x), lambda x: ops.hard_silu(4 * x),
        lambda x: ops.hard_swish(x), lambda x: ops.tanh(x), lambda x: ops.hard_tanh(x), lambda x: ops.tanh_shrink(x),
        lambda x: ops.soft_shrink(x), lambda x: ops.hard_shrink(x), lambda x: ops.threshold(x, 0.3, -1.0),
        lambda x: ops.softplus(x), lambda x: ops.softsign(x), lambda x: ops.squareplus(x), lambda x: ops.softmax(x),
        lambda x: ops.softmax(x, axis=1), lambda x: ops.log_softmax(x), lambda x: ops.log_softmax(x, axis=1),
    ],
    "shapes": [
        lambda x: ops.reshape(x, (-1, 24)), lambda x: ops.reshape(x, (-1, 3, 8)), lambda x: ops.reshape(x, (-1, 12)),
        lambda x: ops.expand_dims(x, 1), lambda x: x[:, None], lambda x: ops.expand_dims(x, -1),
        lambda x: ops.expand_dims(x, (1, -1)), lambda x: ops.squeeze(x[:, :1], 1),
        lambda x: ops.squeeze(ops.expand_dims(x, (1, -1))), lambda x: ops.transpose(x, (0, 2, 1)),
        lambda x: ops.transpose(x, (1, 0, 2)), lambda x: ops.transpose(x), lambda x: ops.swapaxes(x, 1, 2),
        lambda x: ops.swapaxes(x, 0, -1), lambda x: ops.moveaxis(x, -1, 1), lambda x: ops.moveaxis(x, (1, 2), (2, 1)),
        lambda x: ops.concatenate([x, 1.0 - x], axis=-1), lambda x: ops.concatenate([x, x], axis=1),
        lambda x: ops.concatenate([x, x], axis=0), lambda x: ops.hstack([x, x]), lambda x: ops.stack([x, -x], axis=1),
        lambda x: ops.stack([x, x, x], axis=-1), lambda x: ops.split(x, 2, axis=-1)[1],
        lambda x: ops.unstack(x, axis=1)[3], lambda x: ops.split(x, [1, 4], axis=1)[1],
        lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 0))),
        lambda x: ops.pad(x, ((0, 0), (2, 1), (1, 0)), constant_values=2.0), lambda x: ops.repeat(x, 2, axis=1),
        lambda x: ops.pad(x, ((0, 0), (2, 1), (0, 0)), mode="reflect"), lambda x: ops.tile(x, (1, 2, 3)),
        lambda x: ops.tile(x, 2), lambda x: ops.flip(x, axis=1), lambda x: ops.flip(x, axis=(1, 2)),
        lambda x: ops.roll(x, 2, axis=1), lambda x: ops.take(x, [0, -1], axis=1), lambda x: ops.average_pool(x, 2),
        lambda x: ops.max_pool(x, 3, strides=1, padding="same"), lambda x: ops.fliplr(x),
    ],
    "slices": [
        lambda x: x[:, 1:-1], lambda x: x[:, ::2], lambda x: x[:, ::-1], lambda x: x[..., 0], lambda x: x[:, -1],
        lambda x: x[:, 2, 1:], lambda x: x[:, :, None, :2], lambda x: x[:, None, ..., None], lambda x: x[:, 4:1:-2],
        lambda x: x[:, 0][:, 1], lambda x: ops.slice(x, (0, 1, 0), (4, 2, 2)),
        lambda x: ops.take(x, 2, axis=-1), lambda x: x[..., 1:3],
    ],
    "values": [
        lambda x: ops.cast(x * 10, "int32"), lambda x: ops.cast(x, "bool"), lambda x: ops.zeros_like(x),
        lambda x: ops.one_hot(ops.argmax(x, axis=-1), 4), lambda x: ops.one_hot(ops.cast(x > 0, "int32"), 2, axis=1),
        lambda x: ops.stop_gradient(x), lambda x: ops.copy(x), lambda x: ops.ones_like(x) + x,
        lambda x: ops.convert_to_tensor(x),
        lambda x: ops.take(np.arange(12.0).reshape(4, 3), ops.argmax(x, -1), axis=0),
    ],
}  # fmt: skip
IMAGES = [  # of 6 by 6 places and 4 channels
    lambda x: x * ops.sigmoid(ops.mean(x, axis=(1, 2), keepdims=True)), lambda x: ops.mean(x, axis=(1, 2)),
    lambda x: ops.max(x, axis=(1, 2)), lambda x: x[:, 1:-1, 1:-1, :], lambda x: ops.max_pool(x, 2),
    lambda x: ops.average_pool(x, (2, 3), strides=(1, 2), padding="same"), lambda x: ops.image.resize(x, (3, 9)),
    lambda x: ops.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0))), lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 2))),
    lambda x: ops.depth_to_space(x, 2), lambda x: ops.space_to_depth(x, 3), lambda x: ops.flip(x, axis=2),
    lambda x: ops.image.resize(x, (12, 12), interpolation="nearest"),
    lambda x: ops.image.rgb_to_grayscale(x[..., :3]), lambda x: ops.concatenate([x, 1.0 - x], axis=-1),
    lambda x: ops.transpose(x, (0, 3, 1, 2)), lambda x: ops.einsum("bhwc,bhvc->bhwv", x, x),
    lambda x: ops.reshape(x, (-1, 36, 4)), lambda x: x + x[:, :1],
]  # fmt: skip


def beside(shape, operations):
    inputs = layers.Input(shape)
    return keras.Model(inputs, [operation(inputs) for operation in operations])


MODELS = {f"ops_{name}": lambda family=family: beside((6, 4), family) for name, family in FAMILIES.items()}
MODELS["ops_images"] = lambda: beside((6, 6, 4), IMAGES)
