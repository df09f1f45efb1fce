"""MobileNetV2: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018)."""

from typing import TYPE_CHECKING, Any

from tasks.members import ModelFamily
from tasks.models.image import KERNEL, classes, image, stride
from tasks.params.models import MobilenetV2

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

FIRST, LAST = 32, 1280  # filters of the first and the last convolution
# expansion, filters at width 1, blocks, stride of the first: table 2 of the paper
STACKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
DIVISOR = 8
SMALLEST = (KERNEL, KERNEL)


def build(params: MobilenetV2, spec: "Spec") -> "tf_keras.Model":
    """Build a convolution, seventeen inverted residuals in seven stacks, and a pointwise convolution.

    Input: float32 [batch, height, width, channels]. Output: float32 [batch, classes], probabilities. Filters are
    multiples of 8. A stride of 2 that would leave fewer than three pixels a side becomes 1, so images under 65 pixels
    are halved less often.

    Raises:
        ModelError: the data has not one input of images, or the image is smaller than the kernel.
    """
    import tf_keras as keras

    inputs = image("mobilenet_v2", spec, SMALLEST)
    x = _normalized(_convolution(inputs, scaled(FIRST, params.width), KERNEL, stride(inputs)))
    for expansion, filters, blocks, step in STACKS:
        for block in range(blocks):
            x = _block(x, expansion, scaled(filters, params.width), stride(x) if step == 2 and not block else 1)
    x = _normalized(_convolution(x, scaled(LAST, max(1.0, params.width))))
    return keras.Model(inputs, classes(x, spec), name="mobilenet_v2")


def _block(x: Any, expansion: int, filters: int, stride: int) -> Any:
    import tf_keras as keras

    shortcut = x
    if expansion > 1:
        x = _normalized(_convolution(x, expansion * x.shape[-1]))
    x = keras.layers.DepthwiseConv2D(KERNEL, stride, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(_convolution(_normalized(x), filters))
    return keras.layers.Add()([shortcut, x]) if shortcut.shape == x.shape else x


def _convolution(x: Any, filters: int, kernel: int = 1, stride: int = 1) -> Any:
    import tf_keras as keras

    return keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(x)


def _normalized(x: Any) -> Any:
    import tf_keras as keras

    return keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))


def scaled(filters: float, width: float) -> int:
    """The multiple of 8 nearest to `filters * width`, but never under nine tenths of it."""
    wanted = filters * width
    nearest = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest if nearest >= 0.9 * wanted else nearest + DIVISOR


FAMILY = ModelFamily(schema=MobilenetV2, build=build)
