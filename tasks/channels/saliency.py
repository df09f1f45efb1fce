"""How much each dependency group of channels matters to a network."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.channels.groups import Channels, Cut
from tasks.errors import ModelError
from tasks.examples.feed import feed, own_words
from tasks.training.losses import Objective, objective

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples
    from tasks.params import Slim

Scores = NDArray[np.float64]  # by group, never negative
EXAMPLES = 2048  # of the training split, for the gradients


def score(model: "tf_keras.Model", channels: Channels, train: "Examples", params: "Slim") -> Scores:
    """Score every group by `params.score`.

    - l1: the sum of the absolute weights that make its channels (H. Li et al., "Pruning Filters for Efficient
      ConvNets", 2017).
    - bn: the mean of the absolute scales that batch normalization gives them (Z. Liu et al., "Learning Efficient
      Convolutional Networks through Network Slimming", 2017).
    - taylor: the squared first-order estimate of what removing it does to the loss, averaged over batches of training
      examples (P. Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019). The estimate is the sum
      of gradient times weight over the slices that read its channels, which is that of a gate where they are read.

    Raises:
        ModelError: bn, and a group that could go has no batch normalization; the layer that makes it is named.
    """
    match params.score:
        case "l1":
            return _l1(model, channels)
        case "bn":
            return _bn(model, channels)
        case "taylor":
            return _taylor(model, channels, train, params)


def _l1(model: "tf_keras.Model", channels: Channels) -> Scores:
    scores = np.zeros(channels.groups)
    for layer in model.layers:
        weights = layer.get_weights()
        for cut in channels.cuts.get(layer.name, ()):
            if cut.role == "makes" and weights[cut.weight].ndim > 1:  # no biases
                _add(scores, cut, np.abs(weights[cut.weight]))
    return scores


def _bn(model: "tf_keras.Model", channels: Channels) -> Scores:
    sums, counts = np.zeros(channels.groups), np.zeros(channels.groups)
    for layer in model.layers:
        gamma = getattr(layer, "gamma", None)
        for cut in channels.cuts.get(layer.name, ()):
            if layer.weights[cut.weight] is gamma:
                _add(sums, cut, np.abs(gamma.numpy()))
                _add(counts, cut, np.ones_like(gamma))
    for name, made in channels.made.items():
        if any(not counts[group] and group not in channels.fixed for group in made):
            raise ModelError(
                f"slim: score bn: the channels of layer {name!r} go through no batch normalization with a scale; "
                "use score taylor or l1"
            )
    return sums / np.maximum(counts, 1)


@own_words()
def _taylor(model: "tf_keras.Model", channels: Channels, train: "Examples", params: "Slim") -> Scores:
    import tensorflow as tf

    cuts = _gates(model, channels)
    order = np.random.default_rng(params.seed).permutation(len(train))[:EXAMPLES]
    if len(order) > params.batch_size:  # a last batch of another size would weigh its few examples more
        order = order[: len(order) - len(order) % params.batch_size]
    taken = train.take(order)
    aim = objective(model, taken, taken, params)
    gradients = tf.function(_gradients(model, [variable for variable, _ in cuts], aim))
    count = math.ceil(len(order) / params.batch_size)
    scores = np.zeros(channels.groups)
    for given, wanted in feed(taken, aim.train, params.batch_size):
        estimates = np.zeros(channels.groups)
        for (variable, cut), gradient in zip(cuts, gradients(given, wanted), strict=True):
            _add(estimates, cut, gradient.numpy() * variable.numpy())
        scores += estimates**2 / count
    return scores


def _gates(model: "tf_keras.Model", channels: Channels) -> list[tuple[Any, Cut]]:
    """The weights that read each group, and those that make it where none reads it (an attention's products)."""
    found = [(layer.weights[cut.weight], cut) for layer in model.layers for cut in channels.cuts.get(layer.name, ())]
    reads = [(variable, cut) for variable, cut in found if cut.role == "reads"]
    read = np.zeros(channels.groups, bool)
    for _, cut in reads:
        read[cut.channels] = True
    return reads + [(v, cut) for v, cut in found if cut.role == "makes" and not read[cut.channels].all()]


def _gradients(model: "tf_keras.Model", variables: list[Any], aim: Objective) -> Any:
    """A function of inputs and targets that gives the gradients of the loss that the model is trained on."""
    import tensorflow as tf
    import tf_keras as keras

    losses = {name: keras.losses.get(loss) for name, loss in aim.losses.items()}

    def gradients(given: Any, wanted: Any) -> list[Any]:
        if aim.ask is not None:
            given, wanted = aim.ask(given, wanted)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = tf.nest.flatten(model(given, training=False))
            named = dict(zip(model.output_names, outputs, strict=True))
            loss = sum(tf.reduce_mean(losses[name](wanted[name], named[name])) for name in losses)
        found: list[Any] = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in found]  # an embedding's is of some rows alone

    return gradients


def _add(scores: Scores, cut: Cut, values: Any) -> None:
    """Add to each group the sum of its slices of `values`."""
    others = tuple(axis for axis in range(values.ndim) if axis != cut.axis)
    np.add.at(scores, cut.channels, values.sum(axis=others))
