"""Recurrent layers for texts and series: LSTM (Hochreiter and Schmidhuber, 1997) and GRU (Cho et al., 2014)."""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.head import answer
from tasks.models.tokens import embedded
from tasks.params.models import Rnn

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Rnn, spec: "Spec") -> "tf_keras.Model":
    """Build an embedding where the input is tokens, recurrent layers, one vector of all steps, dense layers, the head.

    Input: int32 [batch, length], token indices, or float32 [batch, steps, channels], a series. Output: see
    `head.answer`. Both ways, a stack of layers reads from the front and another one from the back, and neither sees
    what the other found (Peters et al., "Deep contextualized word representations", 2018): nothing is turned around
    between layers, which integer runtimes lack. Each step has operators of its own in the graph ("unrolled"): LiteRT's
    fused one keeps its state from one example to the next and takes longer with integers, and a loop has none.

    Raises:
        ModelError: the data has not one input of tokens or of a series.
    """
    import tf_keras as keras

    (name, tensor), *others = spec.inputs.items()
    tokens, series = tensor.vocabulary_size is not None, len(tensor.shape) == 2 and tensor.dtype == "float32"
    if others or not (series or (tokens and len(tensor.shape) == 1)):
        raise ModelError(
            f"family rnn takes one input of tokens, or of a series [steps, channels]; the data has "
            f"{', '.join(f'{name} {list(each.shape)}' for name, each in spec.inputs.items())}"
        )
    if params.vectors and not tokens:
        raise ModelError(f"model.vectors: a file of words is for texts with a class; the data has {name}, a series")
    inputs = keras.Input(tensor.shape, dtype=tensor.dtype, name=name)
    x = embedded(inputs, tensor, params.embedding, params) if tokens else inputs
    ways = [_read(x, params, backwards=backwards) for backwards in (False, True)[: 1 + params.bidirectional]]
    x = keras.layers.Concatenate(name="both_ways")(ways) if params.bidirectional else ways[0]
    for units in params.dense:
        x = keras.layers.Dropout(params.dropout)(x) if params.dropout else x
        x = keras.layers.Dense(units, **params.as_keras)(x)
    x = keras.layers.Dropout(params.dropout)(x) if params.dropout else x
    return keras.Model(inputs, answer(x, spec), name="rnn")


def _read(x: Any, params: Rnn, *, backwards: bool) -> Any:
    """The recurrent layers one behind the other, and one vector of what the last one gave: [batch, units]."""
    import tf_keras as keras

    # each gate a product of its own: one for all is parted again, which has no integers where the first state is 0
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[params.cell]
    for place, units in enumerate(params.units):
        last = place == len(params.units) - 1
        x = kind(
            units,
            kernel_initializer=params.initializer,
            return_sequences=not last or params.pool == "max",
            go_backwards=backwards and not place,  # what it gives is in its own order, which the next one goes on in
            unroll=True,
            implementation=1,
            name=f"{'backward' if backwards else 'forward'}_{place}",
        )(x)
        if params.dropout and not last:
            x = keras.layers.Dropout(params.dropout)(x)
    return keras.layers.GlobalMaxPooling1D()(x) if params.pool == "max" else x


FAMILY = ModelFamily(schema=Rnn, build=build)
