"""Depthwise-separable network for keyword spotting: Zhang et al., "Hello Edge" (2017), as MLPerf Tiny has it (2021)."""

from typing import TYPE_CHECKING

from tasks.members import ModelFamily
from tasks.models.image import classes, image, normalized, separable
from tasks.params.models import Dscnn

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

KERNEL = (10, 4)  # time and frequency
DROPOUT = (0.2, 0.4)  # behind the first convolution, and before the classes


def build(params: Dscnn, spec: "Spec") -> "tf_keras.Model":
    """Build a convolution 10x4 of stride 2, then `blocks` depthwise-separable ones of as many filters.

    Input: float32 [batch, time, frequency, channels], such as the 49 x 10 coefficients of a second of speech.
    Output: float32 [batch, classes], probabilities. The mean is over all positions; MLPerf Tiny's leaves out the last
    row of an odd number of them.

    Raises:
        ModelError: the data has not one such input, or it is smaller than the first kernel.
    """
    import tf_keras as keras

    inputs = image("dscnn", spec, KERNEL)
    x = keras.layers.Conv2D(params.filters, KERNEL, 2, padding="same")(inputs)
    x = keras.layers.Dropout(DROPOUT[0])(normalized(x))
    for _ in range(params.blocks):
        x = separable(x, params.filters)
    x = keras.layers.Dropout(DROPOUT[1])(x)
    return keras.Model(inputs, classes(x, spec), name="dscnn")


FAMILY = ModelFamily(schema=Dscnn, build=build)
