"""A transformer that reads a whole text at once: the encoder of Vaswani et al., "Attention Is All You Need" (2017).

Norms stand before attention and feed-forward (Xiong et al., "On Layer Normalization in the Transformer Architecture",
2020), which trains without a warm-up. What each place is, is learnt.
"""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.models.tokens import embedded
from tasks.params.models import Encoder

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Encoder, spec: "Spec") -> "tf_keras.Model":
    """Build an embedding with places, layers of attention and feed-forward, the mean over the places, and the head.

    Input: int32 [batch, length], token indices. Output: see `head.answer`. Padding is a token like any other, which
    attention learns to pass over: the graph needs no mask, which integer runtimes lack.

    Raises:
        ModelError: the data has not one input of tokens.
    """
    import tf_keras as keras

    from tasks.training.layers import LearntPlaces

    (name, tensor), *others = spec.inputs.items()
    if others or tensor.vocabulary_size is None or len(tensor.shape) != 1:
        raise ModelError(f"family encoder takes one input of tokens; the data has {', '.join(spec.inputs)}")
    inputs = keras.Input(tensor.shape, dtype="int32", name=name)
    x = embedded(inputs, tensor, params.width, params)
    x = LearntPlaces(name="places")(x)
    for place in range(params.layers):
        x = _layer(x, params, f"layer_{place}")
    x = keras.layers.LayerNormalization(name="last_norm")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    if params.dropout:
        x = keras.layers.Dropout(params.dropout)(x)
    return keras.Model(inputs, answer(x, spec), name="encoder")


def _layer(x: Any, params: Encoder, name: str) -> Any:
    """Attention, then feed-forward, each added to what it is given."""
    import tf_keras as keras

    layers = keras.layers
    seen = layers.LayerNormalization(name=f"{name}_attention_norm")(x)
    size, initializer = params.width // params.heads, params.initializer
    heads = layers.MultiHeadAttention(params.heads, size, kernel_initializer=initializer, name=f"{name}_attention")
    x = layers.Add(name=f"{name}_attended")([x, _dropped(heads(seen, seen), params.dropout)])
    seen = layers.LayerNormalization(name=f"{name}_feed_forward_norm")(x)
    hidden = params.feed_forward or 4 * params.width
    found = layers.Dense(hidden, **params.as_keras, name=f"{name}_up")(seen)
    found = layers.Dense(params.width, kernel_initializer=initializer, name=f"{name}_down")(found)
    return layers.Add(name=f"{name}_out")([x, _dropped(found, params.dropout)])


def _dropped(x: Any, share: float) -> Any:
    import tf_keras as keras

    return keras.layers.Dropout(share)(x) if share else x


FAMILY = ModelFamily(schema=Encoder, build=build)
