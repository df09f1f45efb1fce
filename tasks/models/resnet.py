"""Residual networks: He et al., "Deep Residual Learning for Image Recognition" (2015), section 4.2 and table 1.

One block a stack is ResNet-8 as MLPerf Tiny has it (Banbury et al., 2021): biases beside the batch normalisations, and
1x1 convolutions as shortcuts where the shape changes. `large` has the paper's form for photographs: no biases,
shortcuts normalised, and an image that is quartered first.
"""

from typing import TYPE_CHECKING, Any

from tasks.members import ModelFamily
from tasks.models.image import KERNEL, classes, image, normalized
from tasks.params.models import Resnet

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

STEM = 7  # the first kernel of a large one
EXPANSION = 4  # of a bottleneck's filters


def build(params: Resnet, spec: "Spec") -> "tf_keras.Model":
    """Build stacks of residual blocks, each stack but the first at half the resolution of the one before.

    The first has the image's own, or half of it where the first convolution has a stride of 2: the rows and columns of
    an image are where its time goes, and filters at lower resolutions cost little of it.

    Input: float32 [batch, height, width, channels]. Output: float32 [batch, classes], probabilities.

    Raises:
        ModelError: the data has not one input of images, or the image is too small to be halved so often.
    """
    import tf_keras as keras

    smallest = params.stride * 2 ** (len(params.filters) - 1 + 2 * params.large)
    inputs = image("resnet", spec, (smallest, smallest))
    x = _stem(inputs, params)
    for stack, (filters, blocks) in enumerate(zip(params.filters, params.counts, strict=True)):
        for block in range(blocks):
            x = _block(x, filters, 2 if stack and not block else 1, params)
    return keras.Model(inputs, classes(x, spec), name="resnet")


def _stem(x: Any, params: Resnet) -> Any:
    import tf_keras as keras

    filters = params.stem or params.filters[0]
    if not params.large:
        return normalized(_convolution(x, filters, params.stride))
    x = normalized(_convolution(x, filters, 2, STEM, bias=False))
    return keras.layers.MaxPooling2D(KERNEL, 2, padding="same")(x)


def _block(x: Any, filters: int, stride: int, params: Resnet) -> Any:
    import tf_keras as keras

    shortcut, bias = x, not params.large
    if params.bottleneck:
        x = normalized(_convolution(x, filters, stride, kernel=1, bias=bias))
        x = normalized(_convolution(x, filters, bias=bias))
        x = _convolution(x, EXPANSION * filters, kernel=1, bias=bias)
    else:
        x = normalized(_convolution(x, filters, stride, bias=bias))
        x = _convolution(x, filters, bias=bias)
    x = keras.layers.BatchNormalization()(x)
    if shortcut.shape != x.shape:
        shortcut = _convolution(shortcut, x.shape[-1], stride, kernel=1, bias=bias)
        if params.large:
            shortcut = keras.layers.BatchNormalization()(shortcut)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))


def _convolution(x: Any, filters: int, stride: int = 1, kernel: int = KERNEL, *, bias: bool = True) -> Any:
    import tf_keras as keras

    return keras.layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=bias, kernel_initializer="he_normal"
    )(x)  # fmt: skip


FAMILY = ModelFamily(schema=Resnet, build=build)
