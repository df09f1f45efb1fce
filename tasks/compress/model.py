"""A model of `compress`: what its method makes of its parent, with the card of what came of it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.compress.preserves import preserved
from tasks.examples import Examples, dataset
from tasks.examples.dataset import TEACHER, TEXT_BYTES
from tasks.examples.feed import feed, own_words
from tasks.members import FAMILIES, METHODS
from tasks.params import Compress, Decoder, Distill, Stored
from tasks.params.compress import Method
from tasks.records import Code, ModelCard
from tasks.training import custom, fit, keras_files
from tasks.training.asked import Asked

if TYPE_CHECKING:
    import tf_keras

log = logging.getLogger(__name__)


def make(
    folder: Path,
    model: str,
    entry: Compress,
    place: Callable[[str], Path],
    train: Examples,
    on_epoch: fit.OnEpoch,
) -> None:
    """Write the model that an entry of `compress` asks for.

    Args:
        folder: where to; a kill leaves there what there was.
        model: its name.
        entry: the method and its parameters.
        place: where models lie, by name: the parent, and the teacher if there is one.
        train: what it is fitted to.
        on_epoch: called with each epoch and its metrics.

    Raises:
        ModelError: the method cannot be applied.
    """
    fit.reset(entry.seed)
    method = METHODS.load(entry.method)
    if method.write is not None:
        method.write(folder, model, entry)
        return
    assert method.apply is not None, entry.method
    parent, parent_card = keras_files.load_from(place(entry.parent))
    _tell_of_weights(model, entry, parent_card)
    more: dict[str, Any] = {}
    if entry.teacher is not None:
        teacher = _teacher(entry.teacher, place)
        given: Any = Asked(teacher) if entry.augment else answers(teacher, train)
        train = train.also({TEACHER: given})
        more = {"teacher": teacher} if method.hinted else {}
    result, history = method.apply(parent, entry, train, dataset.load("validation"), on_epoch, **more)
    card = ModelCard(
        model=model,
        parent=entry.parent,
        method=entry.method,
        parameters=result.count_params(),
        epochs=entry.epochs,
        total_epochs=entry.epochs + (0 if _anew(entry) else parent_card.total_epochs),
        layers=keras_files.layers(result),
        preserves=preserved(result),
        history={name: tuple(values) for name, values in history.items()},
        code=_code(entry, parent_card),
        params={entry.method: entry.known()},
    )
    with files.replaced_folder(folder) as temporary:
        keras_files.save(result, temporary)
        card.save(temporary / "card.json")


def _tell_of_weights(model: str, entry: Compress, parent: ModelCard) -> None:
    """A warning where classes no longer count alike: what rare ones lose would be blamed on the method."""
    if not isinstance(entry, Method) or not entry.epochs or entry.teacher is not None:
        return
    if (entry.class_weights, parent.class_weights) == ("none", "balanced"):
        log.warning(
            "compress.%s: its parent %s was trained with class_weights: balanced, and it is not, so that a rare class "
            "counts less; say so in it too, if that is not meant",
            model, entry.parent,
        )  # fmt: skip


def _teacher(teacher: str | Decoder, place: Callable[[str], Path]) -> "tf_keras.Model":
    """The model of that name, or one that is read from a checkpoint for this alone."""
    if isinstance(teacher, str):
        return keras_files.load_from(place(teacher))[0]
    return FAMILIES.load(teacher.family).build(teacher, dataset.spec())


def _anew(entry: Compress) -> bool:
    """Whether nothing that was trained here is in a student: neither its weights nor a teacher's answers."""
    if not isinstance(entry, Distill) or entry.model is None:
        return False
    return not (entry.teacher_weight and isinstance(entry.teacher, str))


def _code(entry: Compress, parent: ModelCard) -> Code | None:
    """The module that the new model's layers come from: its parent's, unless it is a student from another file."""
    student = entry.model if isinstance(entry, Distill) else None
    return custom.code(student.layers) if isinstance(student, Stored) else parent.code


def answers(teacher: "tf_keras.Model", examples: Examples) -> Any:
    """What a teacher says of each example: float32 [n, classes], probabilities; to every token it is asked later."""
    if TEXT_BYTES in examples.targets:
        return Asked(teacher)
    with own_words():
        return teacher.predict(feed(examples), verbose=0)
