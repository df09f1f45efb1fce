"""Residual networks for small images: He et al., "Deep Residual Learning for Image Recognition" (2015), section 4.2.

One block a stack is ResNet-8 as MLPerf Tiny has it (Banbury et al., 2021): biases beside the batch normalisations, and
1x1 convolutions as shortcuts where the shape changes.
"""

from typing import TYPE_CHECKING, Any

from tasks.members import ModelFamily
from tasks.models.image import KERNEL, classes, image, normalized
from tasks.params.models import Resnet

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

SMALLEST = (4, 4)  # halved twice


def build(params: Resnet, spec: "Spec") -> "tf_keras.Model":
    """Build three stacks of residual blocks, each stack but the first at half the resolution of the one before.

    Input: float32 [batch, height, width, channels]. Output: float32 [batch, classes], probabilities.

    Raises:
        ModelError: the data has not one input of images, or the image is too small to be halved twice.
    """
    import tf_keras as keras

    inputs = image("resnet", spec, SMALLEST)
    x = normalized(_convolution(inputs, params.filters[0]))
    for stack, filters in enumerate(params.filters):
        for block in range(params.blocks):
            x = _block(x, filters, stride=2 if stack and not block else 1)
    return keras.Model(inputs, classes(x, spec), name="resnet")


def _block(x: Any, filters: int, stride: int) -> Any:
    import tf_keras as keras

    shortcut = x
    x = normalized(_convolution(x, filters, stride))
    x = keras.layers.BatchNormalization()(_convolution(x, filters))
    if shortcut.shape != x.shape:
        shortcut = _convolution(shortcut, filters, stride, kernel=1)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))


def _convolution(x: Any, filters: int, stride: int = 1, kernel: int = KERNEL) -> Any:
    import tf_keras as keras

    return keras.layers.Conv2D(filters, kernel, stride, padding="same", kernel_initializer="he_normal")(x)


FAMILY = ModelFamily(schema=Resnet, build=build)
