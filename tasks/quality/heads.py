"""Which target each output of a model is judged for: training, its metrics and the score all ask here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tasks.errors import ModelError
from tasks.examples import Array
from tasks.examples.dataset import LABEL, RECONSTRUCTION, TEACHER, TEXT_BYTES

if TYPE_CHECKING:
    import tf_keras


Kind = Literal["classes", "labels", "values", "tokens"]


@dataclass(frozen=True)
class Head:
    """An output and its target. The place stays what it is where a method clones the model and renames its layers."""

    place: int  # among the model's outputs
    target: str
    # what the target holds: class numbers, of which the output gives probabilities that sum to 1; 0 or 1 for each of
    # several labels, of which it gives each one's probability; values; or the next token at each place of a window, of
    # which it gives scores, whose softmax the probabilities are
    kind: Kind


def judged(targets: Iterable[str]) -> str:
    """The target that quality is of: the input itself where the data are for reconstruction, else the class."""
    return RECONSTRUCTION if RECONSTRUCTION in targets else LABEL


def find(model: "tf_keras.Model", targets: Mapping[str, Array]) -> tuple[Head, ...]:
    """The heads of a model.

    The only output, whatever its name, is judged for what quality is of, where the data have that; of several, each for
    the target of its name, and those without one for nothing.

    Args:
        model: its outputs are float32 [batch, ...].
        targets: class numbers [n], labels [n, labels] (integers, 0 or 1), values [n, ...] (floats) or next tokens
            [n, length], by name.

    Raises:
        ModelError: no output has a target, or one has not the shape that its target asks for.
    """
    known = targets.keys() - {TEACHER, TEXT_BYTES}
    if RECONSTRUCTION in known:
        known -= {LABEL}  # it judges the reconstruction and is never learned
    names, wanted = list(model.output_names), judged(known)
    if len(names) == 1 and wanted in known:
        pairs = [(0, wanted)]
    else:
        pairs = [(place, name) for place, name in enumerate(names) if name in known]
    if not pairs:
        raise ModelError(
            f"{model.name}: no output has a target of its name: the outputs are {', '.join(names)}, "
            f"the targets {', '.join(sorted(known))}; name an output after the target that it is to learn"
        )
    return tuple(_head(model, place, target, targets[target], _kind(target, targets)) for place, target in pairs)


def _head(model: "tf_keras.Model", place: int, target: str, values: Array, kind: Kind) -> Head:
    shape = tuple(model.outputs[place].shape[1:])
    where = f"{model.name}: output {model.output_names[place]!r} gives {list(shape)}; "
    if kind == "classes":
        least = int(values.max()) + 1
        if len(shape) != 1 or shape[0] is None or shape[0] < max(least, 2):
            raise ModelError(f"{where}the target {target!r} asks for the probabilities of {least} classes, [{least}]")
    elif kind == "tokens":
        least, places = int(values.max()) + 1, values.shape[1:]
        if len(shape) != 2 or shape[:1] != places or shape[1] is None or shape[1] < least:
            raise ModelError(f"{where}each next token asks for the scores of {least} tokens, {[*places, least]}")
    elif _plain(shape) != _plain(values.shape[1:]):
        raise ModelError(f"{where}the target {target!r} is {list(values.shape[1:])}: they must be of one shape")
    return Head(place, target, kind)


def _kind(target: str, targets: Mapping[str, Array]) -> Kind:
    values = targets[target]
    if values.dtype.kind not in "iu":
        return "values"
    if target == LABEL and TEXT_BYTES in targets:
        return "tokens"
    return "classes" if values.ndim == 1 else "labels"


def _plain(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """One number an example may be [] or [1]."""
    return () if shape == (1,) else shape
