"""A model of one's own, taken over as it is."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import files
from tasks.errors import ModelError
from tasks.examples import dataset
from tasks.foreign import fit_to_data, load
from tasks.params import Stored
from tasks.records import Layer, ModelCard
from tasks.records.artifacts import Preserved
from tasks.training import custom, keras_files

if TYPE_CHECKING:
    import tf_keras

MAGIC = b"TFL3"  # behind the first four bytes of a LiteRT file


def keep(
    folder: Path,
    name: str,
    params: Stored,
    *,
    parent: str | None,
    method: str,
    preserved: "Callable[[tf_keras.Model], Preserved]",
) -> None:
    """Write a model's folder from a file, without training: a Keras model fitted to the data, or a LiteRT file.

    Args:
        folder: where to.
        name: of the model.
        params: the file.
        parent: of the model in the tree.
        method: what the card says that it was made by.
        preserved: tells what of a Keras model a later method must keep.

    Raises:
        ModelError: the file cannot be read safely, or its model does not fit the data.
    """
    parameters: int | None = None
    layers: tuple[Layer, ...] = ()
    kept: Preserved = ()
    with files.replaced_folder(folder) as temporary:
        if load.is_litert(params):
            _copy(load.existing(params), temporary / keras_files.LITERT)
        else:
            model = fit_to_data.adapt(load.load(params), dataset.spec(), params.source)
            parameters, layers, kept = model.count_params(), keras_files.layers(model), preserved(model)
            keras_files.save(model, temporary)
        ModelCard(
            model=name,
            parent=parent,
            method=method,
            parameters=parameters,
            epochs=0,
            total_epochs=0,
            layers=layers,
            preserves=kept,
            history={},
            code=custom.code(params.layers),
            params={"model": params.known()} if parent is None else {method: params.known()},
        ).save(temporary / "card.json")


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as opened:
        if opened.read(8)[4:] != MAGIC:
            raise ModelError(f"source: {source}: not a LiteRT file: its first bytes are not those of one")
    shutil.copyfile(source, target)
