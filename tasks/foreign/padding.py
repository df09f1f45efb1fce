"""What examples that are drawn at random must have: padding, without which nothing that a mask does would be seen.

And whole numbers where an Embedding takes floats, as it does wherever an Input does not say otherwise.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

WORD = 0  # what an Embedding with `mask_zero` takes for none


def pad(examples: Any, kept_out: tuple[float, ...], place: int) -> None:
    """Set runs of positions to what is masked: at the end of an example, at the beginning of the next, in one none.

    A run is of a quarter, a half or three quarters of the positions, never of all, and of another length in each input,
    so that it is seen what becomes of two masks.

    Args:
        examples: [n, positions, ...], of any type; changed, where there are two positions or more.
        kept_out: numbers that are masked, in turn; none: nothing is changed.
        place: of the input among the model's.
    """
    if not kept_out or examples.ndim < 2 or examples.shape[1] < 2:
        return
    positions = examples.shape[1]
    for row in range(len(examples)):
        length = max(1, positions * (1 + (row + place) % 3) // 4)
        if row % 4 != 2:  # one example of four stays whole
            run = slice(length) if row % 4 == 1 else slice(positions - length, None)
            examples[row, run] = kept_out[row % len(kept_out)]


def kept_out(model: "tf_keras.Model", *, real: bool) -> tuple[float, ...]:
    """The numbers that stand for padding in an input: those of its Masking layers in floats, 0 among whole numbers."""
    import tf_keras as keras

    if not real:
        return (WORD,)
    layers = model._flatten_layers(include_self=False)
    return tuple(sorted({float(layer.mask_value) for layer in layers if isinstance(layer, keras.layers.Masking)}))


def words(model: "tf_keras.Model", tensor: Any) -> int | None:
    """How many numbers an Embedding knows that takes an input of the model itself; None where none does."""
    import tf_keras as keras

    known = [
        layer.input_dim
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Embedding)
        and any(given is tensor for node in layer._inbound_nodes for given in node.keras_inputs)
    ]
    return min(known, default=None)
