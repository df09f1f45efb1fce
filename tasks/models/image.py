"""What the families for images share: their input, where a stride fits, and the block of depthwise networks."""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.models.head import answer

if TYPE_CHECKING:
    from tasks.examples.dataset import Spec

KERNEL = 3
LEAST = 3  # pixels a side that a stride must leave for the kernels behind it


def image(family: str, spec: "Spec", smallest: tuple[int, int] = (1, 1)) -> Any:
    """The Keras input of a family that takes one image and tells of it: float32 [batch, height, width, channels].

    Args:
        family: its name, for the errors.
        spec: what the data asks of a model.
        smallest: the height and width that the family needs at least.

    Raises:
        ModelError: the data has not one input of images with something to tell, or they are too small.
    """
    import tf_keras as keras

    (name, tensor), *others = spec.inputs.items()
    if others or len(tensor.shape) != 3 or tensor.dtype != "float32":
        found = {key: f"{value.dtype} {list(value.shape)}" for key, value in spec.inputs.items()}
        raise ModelError(f"family {family} takes one input, float32 [height, width, channels]; the data has {found}")
    if spec.task == "reconstruction":
        raise ModelError(f"family {family} reconstructs nothing; the task is {spec.task}: use the family autoencoder")
    height, width, _ = tensor.shape
    if height < smallest[0] or width < smallest[1]:
        raise ModelError(
            f"family {family} needs images of at least {smallest[0]} x {smallest[1]} pixels; "
            f"the data has {height} x {width}: use the family cnn, with fewer filters"
        )
    return keras.Input(tensor.shape, name=name)


def stride(x: Any) -> int:
    """2 where that leaves at least `LEAST` pixels a side of a feature map [batch, height, width, channels], else 1."""
    return 2 if min(-(-side // 2) for side in x.shape[1:3]) >= LEAST else 1


def separable(x: Any, filters: int, stride: int = 1) -> Any:
    """A depthwise 3x3 and a pointwise convolution, each with batch normalisation and ReLU."""
    import tf_keras as keras

    x = keras.layers.DepthwiseConv2D(KERNEL, stride, padding="same", depthwise_initializer="he_normal")(x)
    x = normalized(x)
    x = keras.layers.Conv2D(filters, 1, kernel_initializer="he_normal")(x)
    return normalized(x)


def normalized(x: Any, activation: str = "relu") -> Any:
    """Batch normalisation and an activation."""
    import tf_keras as keras

    x = keras.layers.BatchNormalization()(x)
    return keras.layers.ReLU()(x) if activation == "relu" else keras.layers.Activation(activation)(x)


def classes(x: Any, spec: "Spec") -> Any:
    """The mean over the positions, and the head."""
    import tf_keras as keras

    return answer(keras.layers.GlobalAveragePooling2D()(x), spec)
