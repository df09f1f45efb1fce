"""MobileNet: Howard et al., "MobileNets: Efficient CNNs for Mobile Vision Applications" (2017).

At a width of 0.25 it is the visual wake words network of MLPerf Tiny (2021): ReLU, and biases beside the batch
normalisations.
"""

from typing import TYPE_CHECKING

from tasks.members import ModelFamily
from tasks.models.image import KERNEL, classes, image, normalized, separable, stride
from tasks.params.models import MobilenetV1

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

FIRST = 32  # filters of the first convolution, at width 1
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
SMALLEST = (KERNEL, KERNEL)


def build(params: MobilenetV1, spec: "Spec") -> "tf_keras.Model":
    """Build a convolution and thirteen depthwise-separable blocks (filters at width 1 and stride as in `BLOCKS`).

    Input: float32 [batch, height, width, channels]. Output: float32 [batch, classes], probabilities. A stride of 2
    that would leave fewer than three pixels a side becomes 1, so images under 65 pixels are halved less often.

    Raises:
        ModelError: the data has not one input of images, or the image is smaller than the kernel.
    """
    import tf_keras as keras

    inputs = image("mobilenet_v1", spec, SMALLEST)
    x = keras.layers.Conv2D(
        _scaled(FIRST, params.width), KERNEL, stride(inputs), padding="same", kernel_initializer="he_normal"
    )(inputs)
    x = normalized(x)
    for filters, step in BLOCKS:
        x = separable(x, _scaled(filters, params.width), stride(x) if step == 2 else 1)
    return keras.Model(inputs, classes(x, spec), name="mobilenet_v1")


def _scaled(filters: int, width: float) -> int:
    return max(1, int(filters * width))


FAMILY = ModelFamily(schema=MobilenetV1, build=build)
