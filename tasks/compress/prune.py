"""Magnitude pruning with a polynomial schedule: Zhu and Gupta, "To prune, or not to prune" (2017), by TFMOT."""

import math
from typing import TYPE_CHECKING

from tasks import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.dataset import Examples
    from tasks.params import Prune

RAMP = 0.5  # the share of the steps over which sparsity rises; the rest lets the remaining weights settle
UPDATES = 50  # at most so many times are the masks drawn anew


def apply(
    model: "tf_keras.Model", params: "Prune", train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Prune every layer that TFMOT can prune to `params.sparsity`, fine-tuning meanwhile.

    Returns the model with exact zeros in its kernels, and the history of the fine-tuning.
    """
    import tensorflow_model_optimization as tfmot

    steps = math.ceil(len(train) / params.batch_size) * params.epochs
    end = max(1, round(steps * RAMP))
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=params.sparsity,
        begin_step=0,
        end_step=end,
        frequency=max(1, end // UPDATES),
    )
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    history = fit.fit(
        wrapped,
        train,
        validation,
        params,
        label="prune",
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
        on_epoch=on_epoch,
    )
    return tfmot.sparsity.keras.strip_pruning(wrapped), history
