"""The dense autoencoder of MLPerf Tiny's anomaly detection (Banbury et al., 2021), after DCASE 2020's task 2."""

from math import prod
from typing import TYPE_CHECKING

from tasks.errors import ModelError
from tasks.examples.dataset import RECONSTRUCTION
from tasks.members import ModelFamily
from tasks.models.image import normalized
from tasks.params.models import Autoencoder

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Autoencoder, spec: "Spec") -> "tf_keras.Model":
    """Build dense layers with batch normalisation and ReLU down to `latent` units and up again, then a linear one.

    Input and output: float32 [batch, ...] of the same shape.

    Raises:
        ModelError: the data has not one input of floats to reconstruct.
    """
    import tf_keras as keras

    (name, tensor), *others = spec.inputs.items()
    if others or tensor.dtype != "float32" or spec.task != "reconstruction":
        found = {key: f"{value.dtype} {list(value.shape)}" for key, value in spec.inputs.items()}
        raise ModelError(
            f"family autoencoder takes one input of float32, and the task reconstruction (prepare.task); the data has "
            f"{found} for {spec.task}"
        )
    inputs = keras.Input(tensor.shape, name=name)
    flat = len(tensor.shape) == 1
    x = inputs if flat else keras.layers.Flatten()(inputs)
    for units in (*params.hidden, params.latent, *reversed(params.hidden)):
        x = normalized(keras.layers.Dense(units)(x))
    x = keras.layers.Dense(prod(tensor.shape), name=RECONSTRUCTION if flat else None)(x)
    outputs = x if flat else keras.layers.Reshape(tensor.shape, name=RECONSTRUCTION)(x)
    return keras.Model(inputs, outputs, name="autoencoder")


FAMILY = ModelFamily(schema=Autoencoder, build=build)
