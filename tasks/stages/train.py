"""Stage `train`: the baseline, the model that every other one descends from."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import files, paths, track
from tasks.compress.preserves import preserved
from tasks.examples import dataset
from tasks.foreign.adopt import keep
from tasks.members import FAMILIES
from tasks.params import BASELINE, File, Params, Sourced, Words
from tasks.records import ModelCard
from tasks.training import checkpoint, custom, fit, keras_files, parallel, samples

if TYPE_CHECKING:
    import tf_keras


def train(params: Params, baseline: str = BASELINE) -> None:
    """Fit `params.model` on the training split; write `out/models/<baseline>/`.

    A model of one's own that is trained already (`epochs: 0`) is taken over as it is. A killed run goes on after its
    last finished epoch: a changed parameter, file, library, code of ours or other data never resume it.
    """
    fit.reset(params.train.seed)
    if not params.train.epochs and isinstance(params.model, File):
        place = paths.model(baseline)
        keep(place, baseline, params.model, parent=None, method="train", preserved=preserved)
        return
    hangs_from: list[str | Path] = [params.model.model_dump_json(), params.train.model_dump_json()]
    if isinstance(params.model, Sourced | Words):
        hangs_from.append(paths.source("model"))
    with checkpoint.kept("train" if baseline == BASELINE else f"train.{baseline}", *hangs_from) as folder:
        written = folder.with_name(f"{folder.name}.samples")
        model = FAMILIES.load(params.model.family).build(params.model, dataset.spec())
        history = _fitted(model, params, baseline, folder, written)
        _write(model, params, baseline, history, written)


def _fitted(model: "tf_keras.Model", params: Params, baseline: str, folder: Path, written: Path) -> fit.History:
    """Fit the model; a language model's texts after each epoch go to `written`."""
    stopping, label = params.train.early_stopping, f"train {baseline}"
    patience = stopping.patience if stopping else None
    with track.curves(baseline, params, written) as on_epoch:
        if params.train.parallel:  # a language model then writes no texts after its epochs
            return parallel.fit(
                model, params.train, label=label, checkpoint=folder, patience=patience, on_epoch=on_epoch
            )
        validation = dataset.load("validation")
        return fit.fit(
            model,
            dataset.load("train"),
            validation,
            params.train,
            label=label,
            callbacks=samples.after_epochs(model, validation, written),
            checkpoint=folder,
            patience=patience,
            on_epoch=on_epoch,
        )


def _write(model: "tf_keras.Model", params: Params, baseline: str, history: fit.History, written: Path) -> None:
    trained = len(history.get("loss", ()))
    epochs = fit.best_epoch(history) + 1 if params.train.early_stopping and trained else trained
    card = ModelCard(
        model=baseline,
        parent=None,
        method="train",
        parameters=model.count_params(),
        epochs=epochs,
        total_epochs=epochs,
        layers=keras_files.layers(model),
        history={name: tuple(values) for name, values in history.items()},
        code=custom.code(params.model.layers) if isinstance(params.model, File) else None,
        params={"model": params.model.known(), "train": params.train.known()},
    )
    with files.replaced_folder(paths.model(baseline)) as folder:
        keras_files.save(model, folder)
        card.save(folder / "card.json")
        if written.exists():
            shutil.copytree(written, folder / samples.FOLDER, ignore=shutil.ignore_patterns(".*"))
