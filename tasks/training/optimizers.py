"""How gradients become new weights, and the learning rate over the steps of a run."""

import math
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

    from tasks.params import Training

MOMENTUM = 0.9
ADAMW = 0.004  # its weight decay, as Keras has it


def optimizer(params: "Training", steps: int, model: "tf_keras.Model") -> Any:
    """A Keras optimizer that has seen nothing yet.

    Args:
        params: its name, the learning rate and its schedule, the decay of weights, and the norm that gradients are
            clipped to.
        steps: of the whole run.
        model: whose weights it will change.

    Raises:
        ModelError: the model has none of the matrices that muon is for.
    """
    import tf_keras as keras

    rate, clip = learning_rate(params, steps), params.clip
    match params.optimizer:
        case "sgd":
            return keras.optimizers.SGD(rate, weight_decay=params.weight_decay, global_clipnorm=clip)
        case "momentum":
            return keras.optimizers.SGD(rate, MOMENTUM, weight_decay=params.weight_decay, global_clipnorm=clip)
        case "adam":
            return keras.optimizers.Adam(rate, global_clipnorm=clip)
        case "adamw":
            decay = ADAMW if params.weight_decay is None else params.weight_decay
            return keras.optimizers.AdamW(rate, weight_decay=decay, global_clipnorm=clip)
        case "muon":
            from tasks.training.muon import Muon

            return Muon(_hidden(model), rate, weight_decay=params.weight_decay, global_clipnorm=clip)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, global_clipnorm=clip)


def learning_rate(params: "Training", steps: int) -> Any:
    """Cosine falls to 0, exponential to a hundredth; step falls tenfold at half and at three quarters.

    In the first steps, a share `warmup` of all, it is less than that: it climbs from 0 in a straight line.
    """
    import tf_keras as keras

    schedules, rate = keras.optimizers.schedules, params.learning_rate
    match params.schedule:
        case "constant":
            found: Any = rate
        case "cosine":
            found = schedules.CosineDecay(rate, steps)
        case "exponential":
            found = schedules.ExponentialDecay(rate, steps, 0.01)
        case "step":
            found = schedules.PiecewiseConstantDecay([steps // 2, steps * 3 // 4], [rate, rate / 10, rate / 100])
    return _warmed(found, math.ceil(params.warmup * steps)) if params.warmup else found


def _warmed(rate: Any, steps: int) -> Any:
    import tensorflow as tf
    import tf_keras as keras

    class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # tf_keras ships no types
        def __call__(self, step: Any) -> Any:
            climbed = tf.minimum(1.0, (tf.cast(step, tf.float32) + 1) / steps)
            return climbed * (rate(step) if callable(rate) else rate)

    return WarmUp()


def _hidden(model: "tf_keras.Model") -> list[Any]:
    """The matrices of dense layers and the kernels of convolutions, but for those that give the outputs."""
    import tf_keras as keras

    last, kinds = _giving(model), keras.layers.Dense | keras.layers.Conv2D
    other = keras.layers.Conv2DTranspose  # its kernel has what it makes before what it is given
    found = [
        layer.kernel
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, kinds) and not isinstance(layer, other) and layer.trainable and layer.name not in last
    ]
    if not found:
        raise ModelError(
            "optimizer: muon is for the matrices of hidden dense layers and convolutions, and the model has none; try "
            "adamw"
        )
    return found


def _giving(model: "tf_keras.Model") -> set[str]:
    """The names of the layers with weights that no other such layer stands behind."""
    import tensorflow as tf

    found: set[str] = set()
    waiting = [tensor._keras_history.layer for tensor in model.outputs]
    while waiting:
        layer = waiting.pop()
        if layer.weights:
            found.add(layer.name)
        else:
            waiting += [one for node in layer.inbound_nodes for one in tf.nest.flatten(node.inbound_layers)]
    return found
