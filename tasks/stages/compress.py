"""Stage `compress`: make a model into another one, by the method that its entry in `compress` names."""

from contextlib import nullcontext

from tasks import paths, track
from tasks.compress.model import make
from tasks.examples import dataset
from tasks.params import Params
from tasks.training import checkpoint


def compress(params: Params, model: str) -> None:
    """Apply the method of `params.compress[model]` to its parent; write `out/models/<model>/`.

    Where the method trains, a killed run goes on after its last finished epoch, as `train` says.

    Raises:
        ModelError: the method cannot be applied.
    """
    entry = params.compress[model]
    given = [paths.model(name) for name in (entry.parent, entry.teacher) if isinstance(name, str)]
    given.append(paths.source("model"))
    trains = checkpoint.kept(f"compress.{model}", entry.model_dump_json(), *given) if entry.epochs else nullcontext()
    with trains, track.curves(model, params) as on_epoch:
        make(paths.model(model), model, entry, paths.model, dataset.load("train"), on_epoch)
