"""A plain convolutional network for images, after LeCun et al., "Gradient-based learning" (1998)."""

from typing import TYPE_CHECKING

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.models.image import KERNEL, image, normalized
from tasks.params.models import Cnn

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

POOL = 2


def build(params: Cnn, spec: "Spec") -> "tf_keras.Model":
    """Build convolution 3×3 + activation + max-pooling 2×2 per entry of `filters`, dense layers, and the head.

    With `batch_norm`, batch normalisation comes before each of these activations: Ioffe and Szegedy, "Batch
    Normalization" (2015). It costs nothing on a device, as the converter folds it into the convolution.

    Input: float32 [batch, height, width, channels]. Output: see `head.answer`.

    Raises:
        ModelError: the data has not one input of images, or the image is too small for so many convolutions.
    """
    import tf_keras as keras

    inputs = image("cnn", spec)
    shape = inputs.shape[1:]
    side = min(shape[:2])
    for _ in params.filters:
        side = (side - KERNEL + 1) // POOL
    if side < 1:
        raise ModelError(f"family cnn: {len(params.filters)} convolutions with pooling leave nothing of {tuple(shape)}")
    x = inputs
    for filters in params.filters:
        if params.batch_norm:
            x = keras.layers.Conv2D(filters, KERNEL, kernel_initializer=params.initializer)(x)
            x = normalized(x, params.activation)
        else:
            x = keras.layers.Conv2D(filters, KERNEL, **params.as_keras)(x)
        x = keras.layers.MaxPooling2D(POOL)(x)
    x = keras.layers.Flatten()(x)
    for units in params.dense:
        x = keras.layers.Dense(units, **params.as_keras)(x)
    if params.dropout:
        x = keras.layers.Dropout(params.dropout)(x)
    return keras.Model(inputs, answer(x, spec), name="cnn")


FAMILY = ModelFamily(schema=Cnn, build=build)
