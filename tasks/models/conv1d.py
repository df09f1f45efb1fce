"""Convolutions along one axis: the steps of a series, or the columns of a table.

With causal ones whose gaps double it is the temporal convolutional network of Bai, Kolter and Koltun, "An empirical
evaluation of generic convolutional and recurrent networks for sequence modeling" (2018), without their residuals.
"""

from typing import TYPE_CHECKING

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.params.models import Conv1d

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Conv1d, spec: "Spec") -> "tf_keras.Model":
    """Build convolutions, dense layers, and the head.

    Input: float32 [batch, steps, channels], a series, or [batch, columns], a table's numbers, of which each column is a
    step. Output: see `head.answer`. Of a series the last step of the last convolution is what the dense layers get, as
    it has seen the most; of a table all of them.

    Raises:
        ModelError: the data has not one input of that kind.
    """
    import tf_keras as keras

    (name, tensor), *others = spec.inputs.items()
    if others or len(tensor.shape) not in (1, 2) or tensor.dtype != "float32":
        raise ModelError(
            f"family conv1d takes one input of numbers, [steps, channels] or [columns]; the data has "
            f"{', '.join(f'{name} {list(each.shape)} of {each.dtype}' for name, each in spec.inputs.items())}"
        )
    series = len(tensor.shape) == 2
    inputs = keras.Input(tensor.shape, dtype=tensor.dtype, name=name)
    x = inputs if series else keras.layers.Reshape((*tensor.shape, 1))(inputs)
    for place, filters in enumerate(params.filters):
        gap = 2**place if series else 1
        padding = "causal" if series else "same"
        x = keras.layers.Conv1D(filters, params.kernel, padding=padding, dilation_rate=gap, **params.as_keras)(x)
    if series and tensor.shape[0] > 1:
        x = keras.layers.Cropping1D((tensor.shape[0] - 1, 0))(x)
    x = keras.layers.Flatten()(x)
    for units in params.dense:
        x = keras.layers.Dense(units, **params.as_keras)(x)
        if params.dropout:
            x = keras.layers.Dropout(params.dropout)(x)
    return keras.Model(inputs, answer(x, spec), name="conv1d")


FAMILY = ModelFamily(schema=Conv1d, build=build)
