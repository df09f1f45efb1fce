"""Compress a model into another one, by the method that its entry in `compress` names."""

from tasks import dataset, files, fit, keras_models, paths, track
from tasks.params import Params
from tasks.records import Layer, ModelCard
from tasks.registry import resolve

METHODS = {
    "prune": "tasks.compress.prune:apply",
    "cluster": "tasks.compress.cluster:apply",
    "finetune": "tasks.compress.finetune:apply",
}
CLUSTERED = 256  # a kernel of so few values, and many more weights than that, was clustered
PRUNED = 0.05  # a share of exact zeros that training alone never gives


def compress(params: Params, model: str) -> None:
    """Apply the method of `params.compress[model]` to its parent; write `out/models/<model>/`."""
    entry = params.compress[model]
    fit.reset(entry.seed)
    parent, parent_card = keras_models.load(entry.parent)
    train, validation = dataset.load("train"), dataset.load("validation")
    with track.curves(model, params) as on_epoch:
        result, history = resolve(METHODS, entry.method, "method of compression")(
            parent, entry, train, validation, on_epoch
        )
    layers = keras_models.layers(result)
    card = ModelCard(
        model=model,
        parent=entry.parent,
        method=entry.method,
        parameters=result.count_params(),
        epochs=entry.epochs,
        total_epochs=parent_card.total_epochs + entry.epochs,
        layers=layers,
        preserves=preserved(layers),
        history={name: tuple(values) for name, values in history.items()},
    )
    with files.replaced_folder(paths.model(model)) as folder:
        keras_models.save(result, folder)
        card.save(folder / "card.json")


def preserved(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """What a later method must keep, read off the largest kernel rather than off what was asked for."""
    largest = max(layers, key=lambda layer: layer.parameters)
    found = []
    if largest.sparsity > PRUNED:
        found.append("sparsity")
    if largest.unique_values <= CLUSTERED < largest.parameters:
        found.append("clusters")
    return tuple(found)
