"""Building the model without the channels that go."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.channels.groups import Channels, Kept
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


def remove(model: "tf_keras.Model", channels: Channels, kept: Kept) -> "tf_keras.Model":
    """A new model without the groups that `kept` (bool, by group) leaves out; `model` stays as it is.

    Layers, inputs and outputs keep their names, and the weights that stay their values.

    Raises:
        ModelError: a layer does not come out of its configuration in the new size.
    """
    import tf_keras as keras

    slimmed = keras.models.clone_model(model, clone_function=lambda layer: _smaller(layer, channels, kept))
    for layer in model.layers:
        if layer.weights:
            _fill(slimmed.get_layer(layer.name), _slices(layer, channels, kept))
    return slimmed


def _smaller(layer: Any, channels: Channels, kept: Kept) -> Any:
    """A new layer of the configuration, with the numbers of channels that stay."""
    config = layer.get_config()
    sized = config
    while isinstance(sized.get("layer"), dict):  # a wrapper's own: TimeDistributed
        sized["layer"].pop("build_config", None)  # it holds the old shape
        sized = sized["layer"]["config"]
    for resize in channels.resizes.get(layer.name, ()):
        count = int(np.count_nonzero(kept[resize.channels]))
        sized[resize.key] = count if resize.lead is None else (*resize.lead, count)
    return type(layer).from_config(config)


def _slices(layer: Any, channels: Channels, kept: Kept) -> list[Any]:
    weights = layer.get_weights()
    for cut in channels.cuts.get(layer.name, ()):
        weights[cut.weight] = np.compress(kept[cut.channels], weights[cut.weight], axis=cut.axis)
    return weights  # type: ignore[no-any-return]  # tf_keras ships no types


def _fill(layer: Any, weights: list[Any]) -> None:
    shapes = [tuple(weight.shape) for weight in layer.weights]
    if shapes != [weight.shape for weight in weights]:
        raise ModelError(
            f"slim: layer {layer.name!r} ({type(layer).__name__}) was to have weights of the shapes "
            f"{[weight.shape for weight in weights]}, and its configuration gives {shapes}"
        )
    layer.set_weights(weights)
