"""The tree of models: what each step of compression cost, and what it gave. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.records import ModelCard, Subject, notation
from tasks.records.artifacts import Layer
from tasks.report.compare import score


@dataclass(frozen=True)
class Node:
    """A model, with what was made of it."""

    model: str
    cost: str  # by which method, and how many epochs
    facts: str  # what goes in, parameters and zeros
    gave: tuple[str, ...]  # by variant: what it has over the parent's of the same scheme
    layers: tuple[Layer, ...]  # with what is left of their kernels
    children: "tuple[Node, ...]"


def tree(subjects: Sequence[Subject]) -> tuple[Node, ...]:
    """The models of the variants, each under its parent; one whose parent has no variant stands on top."""
    models = {subject.model.model: subject.model for subject in subjects}
    tops = [card for card in models.values() if card.parent not in models]
    return tuple(_node(card, list(models.values()), subjects) for card in tops)


def _node(card: ModelCard, models: Sequence[ModelCard], subjects: Sequence[Subject]) -> Node:
    own = [subject for subject in subjects if subject.model.model == card.model]
    children = (other for other in models if other.parent == card.model)
    epochs = "epoch" if card.epochs == 1 else "epochs"
    return Node(
        model=card.model,
        cost=f"{card.method}, {card.epochs} {epochs}" if card.epochs else f"{card.method}, without training",
        facts=", ".join([*_inputs(own), *_facts(card)]),
        gave=tuple(_gave(subject, _twin(subject, subjects)) for subject in own),
        layers=card.layers,
        children=tuple(_node(child, models, subjects) for child in children),
    )


def _inputs(own: Sequence[Subject]) -> Iterator[str]:
    """What an example is made of, as the first variant takes it."""
    for tensor in own[0].artifact.inputs:
        yield f"{tensor.name} of {' × '.join(map(str, tensor.shape)) or 'one number'}"


def _facts(card: ModelCard) -> Iterator[str]:
    if card.parameters is not None:
        yield f"{card.parameters:,} parameters"
    weights = sum(layer.parameters for layer in card.layers)
    zeros = sum(layer.sparsity * layer.parameters for layer in card.layers)
    if weights and zeros / weights >= 0.005:
        yield f"{100 * zeros / weights:.0f} % of the kernels zeros"


def _twin(subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    """The parent's variant of the same scheme; of a model without one, its own model's float variant."""
    scheme, parent = subject.artifact.scheme, subject.model.parent
    same = (each for each in subjects if each.model.model == parent and each.artifact.scheme == scheme)
    own = (each for each in subjects if each.model.model == subject.model.model and each.artifact.scheme == "float32")
    return next(same, None) or next((each for each in own if each.variant != subject.variant), None)


def _gave(subject: Subject, twin: Subject | None) -> str:
    own = score(subject.evaluation, "test", "default")
    told = f"{subject.variant}: {own.metric} {notation.quality(own.value, own.unit, own.n)}"
    if twin is None:
        return f"{told}, {notation.size(subject.artifact.gzip_bytes)} under gzip"
    other = score(twin.evaluation, "test", "default")
    change = notation.change(own.value - other.value, own.unit, own.n)
    packed = notation.factor(twin.artifact.gzip_bytes / subject.artifact.gzip_bytes)
    return f"{told} ({change}), {packed} under gzip than {twin.variant}"
