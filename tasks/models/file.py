"""A model of one's own, from a file: see `tasks.foreign`."""

from typing import TYPE_CHECKING

from tasks.foreign import fit_to_data, load
from tasks.members import ModelFamily
from tasks.params.models import File, Stored

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Stored, spec: "Spec") -> "tf_keras.Model":
    """Read the model in `params.source` with its weights, for the inputs and classes of the data.

    Input: as `spec` says, by name. Output: float32 [batch, classes], probabilities.

    Raises:
        ModelError: the file cannot be read safely, or its model does not fit the data.
    """
    return fit_to_data.adapt(load.load(params), spec, params.source)


FAMILY = ModelFamily(schema=File, build=build)
