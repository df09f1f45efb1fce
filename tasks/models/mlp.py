"""Dense layers for tables, and for any other numbers and things that are numbered: a multilayer perceptron."""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.params.models import Mlp

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec, TensorSpec


def build(params: Mlp, spec: "Spec") -> "tf_keras.Model":
    """Build dense layers over all inputs side by side, each flat, and the head.

    What is numbered (categories, ids, tokens) is embedded first: a vector of `embedding` numbers is learnt of each.

    Inputs: float32 or int32 [batch, ...], any number of them. Output: see `head.answer`.

    Raises:
        ModelError: the task is a reconstruction, or an input of integers does not say how many there are.
    """
    import tf_keras as keras

    if spec.task == "reconstruction":
        raise ModelError("family mlp does not reconstruct its input: use the family autoencoder")
    inputs = [keras.Input(tensor.shape, dtype=tensor.dtype, name=name) for name, tensor in spec.inputs.items()]
    parts = [_flat(x, tensor, params.embedding) for x, tensor in zip(inputs, spec.inputs.values(), strict=True)]
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for units in params.hidden:
        x = keras.layers.Dense(units, **params.as_keras)(x)
        if params.dropout:
            x = keras.layers.Dropout(params.dropout)(x)
    return keras.Model(inputs, answer(x, spec), name="mlp")


def _flat(x: Any, tensor: "TensorSpec", embedding: int) -> Any:
    import tf_keras as keras

    if tensor.dtype == "int32":
        if tensor.vocabulary_size is None:
            raise ModelError(
                f"family mlp: the input {x.name!r} has negative integers: what they are says `prepare.features: "
                f"{{{x.name}: {{kind: number}}}}`"
            )
        x = keras.layers.Embedding(tensor.vocabulary_size, embedding)(x)
    return keras.layers.Flatten()(x) if len(x.shape) > 2 else x


FAMILY = ModelFamily(schema=Mlp, build=build)
