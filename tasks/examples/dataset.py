"""The examples that stages share: their types, and reading what `prepare` wrote to `out/data`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasks import paths
from tasks.errors import DataError, ModelError, suggest
from tasks.examples import Array, Arrays, Examples, batches, preprocess, stores, strings, tokens
from tasks.examples.files import Files, load_index, save_index
from tasks.examples.tokens import Tokens

Task = Literal["classification", "reconstruction", "regression", "multilabel", "language"]
TASKS: dict[str, Task] = {  # by the kind of the target "label" in preprocess.json
    "class": "classification",
    "anomaly": "reconstruction",
    "value": "regression",
    "labels": "multilabel",
    "tokens": "language",
}
SPLITS = ("train", "validation", "test", "calibration")
LABEL = "label"  # the target that quality is of
TEACHER = "teacher"  # the target that holds a teacher's answers, float32 [n, classes]
BEGIN = "(begin)"  # the target that says which is the first row of a window, where BY is the last one that it needs
BY = "(split)"  # the target that prepare splits by, times or groups; it is not written
TEXT_BYTES = "(bytes)"  # the target that says how many bytes a window's next tokens stand for, where all are told
REFERENCE = "(reference)"  # what another artifact answers, of metrics that compare with it
RECONSTRUCTION = "reconstruction"  # the target, and the output, that is the input itself
INDEX = "inputs.{}.files.csv"  # what stands for an input whose examples are files
SHARDS = "inputs.{}.shards.csv"  # or lie in shards: their index, and they themselves
SHARD = "inputs.{}.{{}}.zip"
CHECKED = 4096  # examples that are looked at together
NORMAL = 0  # the class number of what a reconstruction is learned from; 1 is anomalous


Kind = Literal["image", "text", "array", "number", "series", "category", "date", "tokens"]


@dataclass(frozen=True)
class Source:
    """What a data source gives: raw examples.

    Images are uint8 [n, height, width, channels], texts are str objects [n] (numpy's own texts are all as wide as the
    longest), arrays are integers or float32 [n, ...], columns of a table float64 or str objects [n, columns]; class
    numbers are int64 [n] under the target "label" and count into `classes`. Further targets are class numbers of
    their own, int64 [n], or values, float32 [n, ...].

    Of several labels at once the target "label" holds 0 or 1 for each of `classes`, int64 [n, classes]; of a
    regression it holds values, float32 [n] or [n, values], and there are no classes. Of a text of which every token is
    told it holds the next token at each place, unsigned integers [n, length], and `TEXT_BYTES` the bytes that these
    stand for, int64 [n]. Where the examples are split by time or by group, the target `BY` has those, [n].
    """

    kinds: dict[str, Kind]  # of each input
    train: Examples
    test: Examples | None  # None: `prepare` takes its own from `train`
    classes: tuple[str, ...]
    origin: dict[str, str]  # name of each file read, and its SHA-256
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of a table, those that each input is of
    tokenizer: dict[str, Any] | None = None  # what makes tokens of a text, as tokenizer.json has it
    merges: list[list[str]] = field(default_factory=list)  # of a text in tokens that were learnt: their parts
    validation: Examples | None = None  # None: `prepare` takes its own from `train`


@dataclass(frozen=True)
class Pixels:
    """What `prepare` has made of the pixels of images: (pixel - mean) / scale, by channel."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def raw(self) -> bool:
        """Whether they are as they were, from 0 to 255."""
        return not any(self.mean) and set(self.scale) == {1.0}


@dataclass(frozen=True)
class TensorSpec:
    """One model-ready input."""

    shape: tuple[int, ...]  # without the batch axis
    dtype: str
    vocabulary_size: int | None = None  # of numbers that number something, from 0; None for everything else
    # of images; where the numbers are from is no part of what a model takes
    pixels: Pixels | None = field(default=None, compare=False)
    tokenized: bool = field(default=False, compare=False)  # of tokens: a tokenizer's, whose words are the classes
    words: tuple[str, ...] = field(default=(), compare=False, repr=False)  # of a text, in the order of their numbers


@dataclass(frozen=True)
class Values:
    """What a regression tells of an example: the mean and the deviation of each of the values in training."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class Spec:
    """What a model is built for."""

    inputs: dict[str, TensorSpec]
    classes: tuple[str, ...]
    task: Task = "classification"
    values: Values | None = None  # of a regression
    further: Mapping[str, int] = field(default_factory=dict)  # targets beside the label, and how many classes they have

    @property
    def answers(self) -> int:
        """The numbers that a model gives of an example, where it reconstructs none."""
        return len(self.values.mean) if self.values else len(self.classes)

    def names_of(self, taken: list[str], taker: str) -> list[str]:
        """The data's names of the inputs that a model takes, in its order: one may have any, several are matched.

        Raises:
            ModelError: another number of inputs, or several of other names.
        """
        if len(taken) == len(self.inputs) == 1:
            return list(self.inputs)
        if sorted(taken) != sorted(self.inputs):
            raise ModelError(
                f"{taker}: takes the inputs {', '.join(taken)}; the data has {', '.join(self.inputs)}; several inputs "
                "are matched by name, so name the model's as the data's"
            )
        return taken


def load(split: str, count: int | None = None) -> Examples:
    """The model-ready examples of a split: inputs as `spec` describes them, targets as they were stored.

    Where the task is reconstruction, the input is a target too.

    Args:
        split: of SPLITS.
        count: so many of the first alone are made ready; None: all.

    Raises:
        DataError: no such split, or `prepare` has not written it.
    """
    raw, described = load_raw(split), _described()
    if count is not None:
        raw = raw.take(np.arange(min(count, len(raw))))
    entries = described["inputs"]
    ready: Examples
    if isinstance(raw, Tokens):
        ready = raw
    elif isinstance(raw, Files):
        ready = raw.ready(entries[raw.name])
    else:
        ready = Arrays({name: preprocess.apply(entries[name], a) for name, a in raw.inputs.items()}, raw.targets)
    if _task(described) == "reconstruction":
        again = ready.arrays()
        return again.also({RECONSTRUCTION: next(iter(again.inputs.values()))})
    return ready


def load_raw(split: str) -> Arrays | Files | Tokens:
    """The examples of a split as the source gave them, before preprocessing.

    Raises:
        DataError: no such split, or `prepare` has not written it.
    """
    found, described = _stored(split), _described()
    inputs = described["inputs"]
    for name, entry in inputs.items():
        if (path := paths.DATA / split / INDEX.format(name)).exists():
            return Files(name, _whole(path, load_index, path), tuple(entry["shape"]), found)
        if (path := paths.DATA / split / SHARDS.format(name)).exists():
            index, store = _whole(path, stores.unpacked, path.parent, path.name)
            return Files(name, index, tuple(entry["shape"]), found, store=store, packed=True)
        if (paths.DATA / split / tokens.IDS.format(name)).exists():
            return _tokens(split, name, entry, found, LABEL if _task(described) == "language" else None)
    return Arrays({name: _input(split, name, entry) for name, entry in inputs.items()}, found)


def targets(split: str) -> dict[str, Array]:
    """The targets of a split, without its inputs.

    Raises:
        DataError: no such split, or `prepare` has not written it.
    """
    stored = _stored(split)
    return load_raw(split).targets if _task(_described()) == "language" else stored


def check(split: str, examples: Examples, inputs: Mapping[str, Any]) -> None:
    """Look whether all that every later stage makes ready can be, where data are prepared: of a split by itself.

    Args:
        split: its name, for the message.
        examples: raw; images and texts can always be.
        inputs: the entries of preprocess.json.

    Raises:
        DataError: a date has no offset from UTC, as those of training have, or a number is too far from theirs.
    """
    able = {name: entry for name, entry in inputs.items() if entry["kind"] not in ("image", "text")}
    for chunk in batches(examples, CHECKED) if able and isinstance(examples, Arrays) else ():
        for name, entry in able.items():
            try:
                preprocess.apply(entry, chunk.inputs[name])
            except ValueError as error:
                raise DataError(f"the {split} split: {name}: {error}; correct it, or leave the example out") from None


def save(folder: Path, examples: Examples) -> None:
    """Write the examples of a split to a new folder, for `load_raw`.

    Texts are written as `strings` does; of files that hold an example each, the index is, or they are packed into
    shards.
    """
    folder.mkdir()
    stored = examples.stored if isinstance(examples, Tokens) else examples.targets
    arrays = {f"targets.{name}": array for name, array in stored.items()}
    if isinstance(examples, Tokens):
        tokens.save(folder, examples)
    elif isinstance(examples, Files) and examples.packed:
        name = examples.name
        stores.pack(folder, SHARDS.format(name), SHARD.format(name), examples.index, examples.read)
    elif isinstance(examples, Files):
        save_index(folder / INDEX.format(examples.name), examples)
    else:
        arrays |= {f"inputs.{name}": array for name, array in examples.arrays().inputs.items()}
    for name, array in arrays.items():
        for end, part in (strings.parts(array) if array.dtype == object else {"": array}).items():
            np.save(folder / f"{name}{end}.npy", part, allow_pickle=False)


def spec() -> Spec:
    """What the prepared data asks of a model.

    Raises:
        DataError: `prepare` has not run.
    """
    described = _described()
    inputs = {name: tensor_spec(entry) for name, entry in described["inputs"].items()}
    label = described["targets"][LABEL]
    values = Values(tuple(label["mean"]), tuple(label["scale"])) if label["kind"] == "value" else None
    further = {
        name: len(entry["classes"])
        for name, entry in described["targets"].items()
        if name != LABEL and entry["kind"] == "class"
    }
    return Spec(inputs, tuple(label.get("classes", ())), _task(described), values, further)


def tensor_spec(entry: Mapping[str, Any]) -> TensorSpec:
    """The model-ready array that one input's entry of preprocess.json leads to."""
    if entry["kind"] == "text":
        words = tuple(entry["vocabulary"])
        return TensorSpec((entry["length"],), "int32", len(words), words=words)
    pixels = Pixels(tuple(entry["mean"]), tuple(entry["scale"])) if _sees_pixels(entry) else None
    dtype = "int32" if entry["kind"] in preprocess.NUMBERED else entry.get("dtype", "float32")
    return TensorSpec(preprocess.ready_shape(entry), dtype, entry.get("vocabulary"), pixels, "tokenizer" in entry)


def _sees_pixels(entry: Mapping[str, Any]) -> bool:
    return bool(entry["kind"] == "image" and "components" not in entry)


def _task(described: Mapping[str, Any]) -> Task:
    return TASKS[described["targets"][LABEL]["kind"]]


def _described() -> dict[str, Any]:
    path = paths.DATA / "preprocess.json"
    try:
        return preprocess.read(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; the stage `prepare` has not run: `tercet run`") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}; delete {paths.DATA} and run `tercet run`") from None


def _stored(split: str) -> dict[str, Array]:
    """The targets that have a file: the tokens of a text are looked up in its own."""
    if split not in SPLITS:
        raise DataError(f"no split is named {split!r}; {suggest(split, SPLITS)}")
    described = _described()["targets"]
    return {name: _array(f"{split}/targets.{name}.npy") for name in described if described[name]["kind"] != "tokens"}


def _input(split: str, name: str, entry: Mapping[str, Any]) -> Array:
    array, place = _array(f"{split}/inputs.{name}.npy"), f"{split}/inputs.{name}"
    if entry["kind"] not in ("text", "date") and "values" not in entry:
        return array
    ends, which = (_array(f"{place}.{part}.npy") for part in ("ends", "which"))
    found: Array = _whole(paths.DATA / place, strings.whole, array, ends, which)
    return found


def _tokens(split: str, name: str, entry: Mapping[str, Any], found: dict[str, Array], following: str | None) -> Tokens:
    try:
        return tokens.load(paths.DATA / split, name, entry["shape"][0], found, following)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{paths.DATA / split}: not whole: {error}; delete {paths.DATA} and run `tercet run`") from None


def _whole(path: Path, read: Callable[..., Any], *words: Any) -> Any:
    try:
        return read(*words)
    except ValueError as error:
        raise DataError(f"{path}: {error}; delete {paths.DATA} and run `tercet run`") from None


def _array(name: str) -> Array:
    path = paths.DATA / name
    try:
        array: Array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; delete {paths.DATA} and run `tercet run`") from None
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a whole array: {error}; delete {paths.DATA} and run `tercet run`") from None
    return array
