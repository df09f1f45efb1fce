"""Stage `compress`: make a model into another one, by the method that its entry in `compress` names."""

from tasks import paths, track
from tasks.compress.model import make
from tasks.examples import dataset
from tasks.params import Params


def compress(params: Params, model: str) -> None:
    """Apply the method of `params.compress[model]` to its parent; write `out/models/<model>/`.

    Raises:
        ModelError: the method cannot be applied.
    """
    with track.curves(model, params) as on_epoch:
        make(paths.model(model), model, params.compress[model], paths.model, dataset.load("train"), on_epoch)
