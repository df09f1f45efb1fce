"""SqueezeNet 1.1: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016)."""

from typing import TYPE_CHECKING, Any

from tasks.members import ModelFamily
from tasks.models.image import KERNEL, classes, image, stride
from tasks.params.models import Squeezenet

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

FIRST = 64  # filters of the first convolution
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))  # squeezed, expanded
POOLED = (0, 2, 4)  # fires before which the resolution is halved
DROPOUT = 0.5
SMALLEST = (KERNEL, KERNEL)


def build(params: Squeezenet, spec: "Spec") -> "tf_keras.Model":
    """Build a convolution of stride 2, eight fire modules, dropout and the head over the mean of all positions.

    Input: float32 [batch, height, width, channels]. Output: float32 [batch, classes], probabilities. All is padded,
    and a stride that would leave fewer than three pixels a side becomes 1. The paper has a 1x1 convolution as head and
    the mean behind it, of which the weights are as many.

    Raises:
        ModelError: the data has not one input of images, or the image is smaller than the kernel.
    """
    import tf_keras as keras

    inputs = image("squeezenet", spec, SMALLEST)
    x = _convolution(inputs, _scaled(FIRST, params.width), KERNEL, stride(inputs))
    for place, (squeezed, expanded) in enumerate(FIRES):
        if place in POOLED:
            x = keras.layers.MaxPooling2D(KERNEL, stride(x), padding="same")(x)
        x = _convolution(x, _scaled(squeezed, params.width))
        sides = [_convolution(x, _scaled(expanded, params.width), kernel) for kernel in (1, KERNEL)]
        x = keras.layers.Concatenate()(sides)
    return keras.Model(inputs, classes(keras.layers.Dropout(DROPOUT)(x), spec), name="squeezenet")


def _convolution(x: Any, filters: int, kernel: int = 1, step: int = 1) -> Any:
    import tf_keras as keras

    return keras.layers.Conv2D(
        filters, kernel, step, padding="same", activation="relu", kernel_initializer="he_normal"
    )(x)  # fmt: skip


def _scaled(filters: int, width: float) -> int:
    return max(1, int(filters * width))


FAMILY = ModelFamily(schema=Squeezenet, build=build)
