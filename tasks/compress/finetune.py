"""Further training and nothing else: the control whose budget of epochs equals a compressed model's."""

from typing import TYPE_CHECKING

from tasks.compress import masks
from tasks.members import CompressionMethod
from tasks.params.compress import Finetune
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples


def apply(
    model: "tf_keras.Model", params: Finetune, train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Fit the model for `params.epochs` more epochs; what was pruned stays pruned."""
    callbacks = masks.keep(model)
    return model, fit.fit(model, train, validation, params, label="finetune", callbacks=callbacks, on_epoch=on_epoch)


METHOD = CompressionMethod(schema=Finetune, apply=apply)
