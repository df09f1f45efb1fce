"""Averaged word embeddings for text: Iyyer et al., "Deep Unordered Composition Rivals Syntactic Methods" (2015)."""

from typing import TYPE_CHECKING

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.models.tokens import embedded
from tasks.params.models import Bow

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Bow, spec: "Spec") -> "tf_keras.Model":
    """Build an embedding, word dropout (whole tokens), the mean over the positions, dense layers, and the head.

    Input: int32 [batch, length], token indices. Output: see `head.answer`. A text's padding has the vector 0, so the
    graph needs no mask, which integer runtimes lack.

    Raises:
        ModelError: the data has not one input of tokens.
    """
    import tf_keras as keras

    (name, tensor), *others = spec.inputs.items()
    if others or tensor.vocabulary_size is None:
        raise ModelError(f"family bow takes one input of tokens; the data has {', '.join(spec.inputs)}")
    inputs = keras.Input(tensor.shape, dtype="int32", name=name)
    x = embedded(inputs, tensor, params.embedding, params, averaged=True)
    x = keras.layers.GlobalAveragePooling1D()(x)
    for units in params.dense:
        x = keras.layers.Dense(units, **params.as_keras)(x)
        x = keras.layers.Dropout(params.dropout)(x) if params.dropout else x
    return keras.Model(inputs, answer(x, spec), name="bow")


FAMILY = ModelFamily(schema=Bow, build=build)
