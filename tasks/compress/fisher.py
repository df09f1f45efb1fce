"""What changes of single layers cost, in nats of Kullback-Leibler divergence, without trying each of them.

To second order the divergence of a model's answers from those before is half the change's square in Fisher's metric,
which answers drawn from the model itself tell: S. Amari, "Natural Gradient Works Efficiently in Learning" (1998).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

TINY = 1e-9  # below any probability that matters


def costs(
    model: "tf_keras.Model", changes: Mapping[str, NDArray[np.float32]], batches: Sequence[Any], *, scores: bool
) -> dict[str, float]:
    """The nats that each change alone would cost, summed over the places of a batch, the mean of all batches.

    Args:
        model: whose answers are meant; its weights stay.
        changes: of dense layers' kernels, by the layers' names.
        batches: what it takes, each one example or a few.
        scores: whether it answers with scores before the softmax; else with probabilities. Of the last axis.

    Raises:
        ModelError: an answer is no finite number, or no gradient reaches a kernel.
    """
    import tensorflow as tf

    found = dict.fromkeys(changes, 0.0)
    kernels = [model.get_layer(name).kernel for name in changes]
    for batch in batches:
        with tf.GradientTape() as tape:
            answer = model(batch, training=False)
            logits = tf.reshape(answer if scores else tf.math.log(answer + TINY), [-1, answer.shape[-1]])
            drawn = tf.random.categorical(tf.stop_gradient(logits), 1)[:, 0]
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(drawn, logits))
        if not np.isfinite(float(loss)):
            raise ModelError(f"model {model.name!r} answers with no finite numbers, so no change of it can be judged")
        for (name, change), gradient in zip(changes.items(), tape.gradient(loss, kernels), strict=True):
            if gradient is None:
                raise ModelError(f"model {model.name!r}: no gradient reaches {name!r}, so no change of it is judged")
            found[name] += float(np.vdot(gradient.numpy(), change)) ** 2 / 2 / len(batches)
    return found
