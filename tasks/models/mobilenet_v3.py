"""MobileNetV3: Howard et al., "Searching for MobileNetV3" (2019), tables 1 and 2."""

from typing import TYPE_CHECKING, Any

from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.models.image import KERNEL, image, stride
from tasks.models.mobilenet_v2 import scaled
from tasks.params.models import MobilenetV3

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

FIRST = 16  # filters of the first convolution
DROPOUT = 0.2
REDUCTION = 4  # of the channels, where they are weighted
SMALLEST = (KERNEL, KERNEL)
# kernel, expanded channels, filters, whether channels are weighted, whether hard swish, stride
Block = tuple[int, int, int, bool, bool, int]
LARGE: tuple[Block, ...] = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    *[(5, 120, 40, True, False, 1)] * 2,
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    *[(3, 184, 80, False, True, 1)] * 2,
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    *[(5, 960, 160, True, True, 1)] * 2,
)
SMALL: tuple[Block, ...] = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    *[(5, 240, 40, True, True, 1)] * 2,
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    *[(5, 576, 96, True, True, 1)] * 2,
)
SIZES = {"small": (SMALL, 576, 1024), "large": (LARGE, 960, 1280)}  # with the last convolution's and the head's units


def build(params: MobilenetV3, spec: "Spec") -> "tf_keras.Model":
    """Build a convolution, inverted residuals with squeeze and excite, a pointwise convolution, and two dense layers.

    Input: float32 [batch, height, width, channels]. Output: float32 [batch, classes], probabilities. A stride of 2 that
    would leave fewer than three pixels a side becomes 1, so images under 65 pixels are halved less often.

    Raises:
        ModelError: the data has not one input of images, or the image is smaller than the kernel.
    """
    import tf_keras as keras

    blocks, last, head = SIZES[params.size]
    inputs = image("mobilenet_v3", spec, SMALLEST)
    x = _convolution(inputs, FIRST, KERNEL, stride(inputs), swish=True)
    for block in blocks:
        x = _block(x, block, params.width)
    x = _convolution(x, scaled(last, params.width), swish=True)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = _hard_swish(keras.layers.Dense(scaled(head, max(1.0, params.width)))(x))
    return keras.Model(inputs, answer(keras.layers.Dropout(DROPOUT)(x), spec), name="mobilenet_v3")


def _block(x: Any, block: Block, width: float) -> Any:
    import tf_keras as keras

    kernel, expanded, filters, weighted, swish, step = block
    shortcut, channels = x, scaled(expanded, width)
    if channels != x.shape[-1]:
        x = _convolution(x, channels, swish=swish)
    x = keras.layers.DepthwiseConv2D(kernel, stride(x) if step == 2 else 1, padding="same", use_bias=False)(x)
    x = _activated(keras.layers.BatchNormalization()(x), swish=swish)
    if weighted:
        x = _weighted(x)
    x = keras.layers.Conv2D(scaled(filters, width), 1, use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.Add()([shortcut, x]) if shortcut.shape == x.shape else x


def _weighted(x: Any) -> Any:
    """Squeeze and excite: each channel by a weight that all channels' means tell."""
    import tf_keras as keras

    channels = x.shape[-1]
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = keras.layers.Conv2D(scaled(channels / REDUCTION, 1.0), 1, activation="relu")(weights)
    weights = keras.layers.Conv2D(channels, 1)(weights)
    return keras.layers.Multiply()([x, _hard_sigmoid(weights)])


def _convolution(x: Any, filters: int, kernel: int = 1, step: int = 1, *, swish: bool) -> Any:
    import tf_keras as keras

    x = keras.layers.Conv2D(filters, kernel, step, padding="same", use_bias=False)(x)
    return _activated(keras.layers.BatchNormalization()(x), swish=swish)


def _activated(x: Any, *, swish: bool) -> Any:
    import tf_keras as keras

    return _hard_swish(x) if swish else keras.layers.ReLU()(x)


def _hard_swish(x: Any) -> Any:
    import tf_keras as keras

    return keras.layers.Multiply()([x, _hard_sigmoid(x)])


def _hard_sigmoid(x: Any) -> Any:
    """relu6(x + 3) / 6."""
    import tf_keras as keras

    return keras.layers.Rescaling(1 / 6)(keras.layers.ReLU(6.0)(keras.layers.Rescaling(1.0, 3.0)(x)))


FAMILY = ModelFamily(schema=MobilenetV3, build=build)
