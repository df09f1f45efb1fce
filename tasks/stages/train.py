"""Stage `train`: the baseline, the model that every other one descends from."""

import hashlib
import shutil
from contextlib import suppress
from typing import Any

from tasks import files, paths, track
from tasks.examples import dataset
from tasks.foreign.adopt import keep
from tasks.members import FAMILIES
from tasks.params import BASELINE, File, Params, Sourced, Words
from tasks.records import ModelCard
from tasks.training import custom, fit, keras_files, parallel, samples


def train(params: Params, baseline: str = BASELINE) -> None:
    """Fit `params.model` on the training split; write `out/models/<baseline>/`.

    A model of one's own that is trained already (`epochs: 0`) is taken over as it is. A killed run goes on after its
    last finished epoch: the checkpoint's folder is named by all that the result depends on, so a changed parameter,
    file, library, code of ours or other data never resume it.
    """
    fit.reset(params.train.seed)
    if not params.train.epochs and isinstance(params.model, File):
        keep(paths.model(baseline), baseline, params.model, parent=None, method="train")
        return
    model = FAMILIES.load(params.model.family).build(params.model, dataset.spec())
    checkpoint = paths.STATE / "checkpoints" / baseline / _digest(params, baseline)
    written, validation = checkpoint.with_name(f"{checkpoint.name}.samples"), dataset.load("validation")
    stopping = params.train.early_stopping
    with track.curves(baseline, params, written) as on_epoch:
        more: dict[str, Any] = {
            "label": f"train {baseline}",
            "checkpoint": checkpoint,
            "patience": stopping.patience if stopping else None,
            "on_epoch": on_epoch,
        }
        if params.train.parallel:  # a language model then writes no texts after its epochs
            history = parallel.fit(model, params.train, **more)
        else:
            callbacks = samples.after_epochs(model, validation, written)
            history = fit.fit(model, dataset.load("train"), validation, params.train, callbacks=callbacks, **more)
    trained = len(history.get("loss", ()))
    epochs = fit.best_epoch(history) + 1 if stopping and trained else trained
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
    if trained:
        shutil.rmtree(checkpoint.parent)  # those that nothing resumes any more too
        with suppress(OSError):  # another seed's are there
            checkpoint.parent.parent.rmdir()


def _digest(params: Params, baseline: str) -> str:
    parts = [params.model.model_dump_json(), params.train.model_dump_json(), files.sha256(paths.DATA / "card.json")]
    code = paths.code("train" if baseline == BASELINE else f"train.{baseline}")
    if code.exists():
        parts.append(files.sha256(code))
    if isinstance(params.model, Sourced | Words) and paths.source("model").exists():
        parts.append(files.sha256(paths.source("model")))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
