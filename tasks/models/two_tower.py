"""A tower for users and one for items, and how well the two go together.

X. He et al., "Neural collaborative filtering" (2017): the product of the two and dense layers over both side by side,
as in their NeuMF.
"""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.params.models import TwoTower

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

INPUTS = ("user", "items")


def build(params: TwoTower, spec: "Spec") -> "tf_keras.Model":
    """Build an embedding and dense layers for the user, others for each item, and a score of each pair.

    Inputs: `user`, int32 [batch, 1], and `items`, int32 [batch, candidates]. Output: float32 [batch, candidates], the
    probability of each that it is the one that is liked.

    Raises:
        ModelError: the data has other inputs, or does not tell which of the items is liked.
    """
    import tf_keras as keras

    user, items = (spec.inputs.get(name) for name in INPUTS)
    if user is None or items is None or spec.task != "classification" or items.shape != (spec.answers,):
        raise ModelError(
            f"family two_tower takes the inputs user and items, and tells which of the items is liked (source "
            f"ratings); the data has {', '.join(spec.inputs)} for {spec.task}"
        )
    inputs = [
        keras.Input(each.shape, dtype="int32", name=name) for name, each in zip(INPUTS, (user, items), strict=True)
    ]
    towers = [
        _tower(x, each.vocabulary_size, name, params)
        for x, each, name in zip(inputs, (user, items), INPUTS, strict=True)
    ]
    parts = []
    if params.product:
        parts.append(keras.layers.Multiply(name="product")(towers))
    if params.dense:
        # a dense layer over both side by side is the sum of one over each; so the user's is computed once
        first, *more = params.dense
        both = [
            keras.layers.Dense(first, kernel_initializer=params.initializer, name=f"{name}_part")(x)
            for x, name in zip(towers, INPUTS, strict=True)
        ]
        x = keras.layers.Activation(params.activation)(keras.layers.Add(name="together")(both))
        for units in more:
            x = keras.layers.Dropout(params.dropout)(x) if params.dropout else x
            x = keras.layers.Dense(units, **params.as_keras)(x)
        x = keras.layers.Dropout(params.dropout)(x) if params.dropout else x
        parts.append(x)
    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    scores = keras.layers.Flatten(name="scores")(keras.layers.Dense(1)(x))
    return keras.Model(inputs, keras.layers.Activation("softmax", name="probabilities")(scores), name="two_tower")


def _tower(x: Any, size: int | None, name: str, params: TwoTower) -> Any:
    import tf_keras as keras

    if size is None:
        raise ModelError(f"family two_tower: the input {name} does not say how many there are")
    return keras.layers.Embedding(size, params.embedding, name=f"{name}_embedding")(x)


FAMILY = ModelFamily(schema=TwoTower, build=build)
