"""The stage `prepare`: from a data source to `out/data`, split, described and ready for every later stage."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import paths
from tasks.errors import DataError, suggest
from tasks.examples import Array, Arrays, Examples, dataset, features, first, preprocess, twins
from tasks.examples.dataset import BY, LABEL, NORMAL, Source, tensor_spec
from tasks.examples.files import Files
from tasks.examples.split import draw, latest, whole_groups
from tasks.examples.tokens import Tokens
from tasks.files import replaced_folder, sha256, write_json
from tasks.members import SOURCES
from tasks.params import Params, Prepare

SHOWN = 10  # names of classes in a message
log = logging.getLogger(__name__)


def prepare(params: Params) -> None:
    """Load the source, split it and write `out/data`: raw arrays, preprocess.json and card.json.

    The same parameters and files give the same bytes.

    Raises:
        DataError: the source is missing or broken, or too small for its splits.
    """
    source: Source = SOURCES.load(params.prepare.source).load(params.prepare)
    splits = split(source, params.prepare)
    if params.prepare.task == "classification" and not isinstance(source.train, Tokens):
        _tell_absent(splits, source.classes)
    described = describe(source, splits["train"], params.prepare)
    with replaced_folder(paths.DATA) as folder:
        for name, examples in splits.items():
            dataset.save(folder / name, examples)
        write_json(folder / "preprocess.json", described)
        write_json(folder / "card.json", _card(source, splits, described, params.prepare, folder))


def split(source: Source, params: Prepare) -> dict[str, Examples]:
    """The four splits, in the source's order: by chance, each class in its share, by time or by whole groups.

    Train, validation and test share no example. Calibration is part of train: it sets ranges, it judges nothing.
    Where the task is reconstruction, train holds normal examples only.

    Raises:
        DataError: there is one class only, or a split would be empty, or lack what the task needs, or judge what it
            is of.
    """
    if params.task in ("classification", "reconstruction") and len(source.classes) < 2:
        raise DataError(f"prepare: at least two classes expected; received {', '.join(source.classes)} alone")
    reconstruction = params.task == "reconstruction"
    inputs = first(source.train, 1).inputs
    if reconstruction and (len(source.classes) > 2 or len(inputs) > 1):
        raise DataError(
            "prepare.task: a reconstruction is of one input, of class 0 (normal) or 1 (anomalous); received "
            f"{len(inputs)} inputs and {len(source.classes)} classes"
        )
    rng = np.random.default_rng(params.seed)
    train, test = source.train, source.test
    if test is None:
        train, test = _part(train, params.test, params, rng)
    else:
        _check_given(train, test, params)
    train, validation = _part(train, params.validation, params, rng)
    if reconstruction:
        train = train.take(np.flatnonzero(train.targets[LABEL] == NORMAL))
        _check_both(validation=validation, test=test)
    if params.limit is not None:
        train, validation, test = (_at_most(part, params.limit, rng) for part in (train, validation, test))
    splits = {
        "train": train,
        "validation": validation,
        "test": test,
        "calibration": _at_most(train, params.calibration, rng),
    }
    for name, examples in splits.items():
        if not len(examples):
            total = len(source.train)
            raise DataError(f"prepare: the {name} split of {total} examples is empty; raise its share or add data")
    twins.check({"train": train, "validation": validation, "test": test})
    return {name: _bare(examples) for name, examples in splits.items()}


def _check_given(train: Examples, test: Examples, params: Prepare) -> None:
    """Refuse a test split of its own that is not parted from training as is asked."""
    if params.split.by == "random":
        return
    before, after = train.targets[BY], test.targets[BY]
    if params.split.by == "group" and (both := np.intersect1d(before, after)).size:
        name = params.split.column or "group"
        raise DataError(f"prepare.split: the {name} {both[0]} is in training and in test: it judges itself")
    last, begins = np.sort(before)[-1], np.sort(after)[0]
    if params.split.by == "time" and last >= begins:
        raise DataError(
            f"prepare.split: the test begins at the {params.split.column} {begins}, before training ends at {last}"
        )


def _bare(examples: Examples) -> Examples:
    """The examples without what they were split by."""
    if not isinstance(examples, Arrays | Files):
        return examples
    return replace(examples, targets={name: array for name, array in examples.targets.items() if name != BY})


def _check_both(**splits: Examples) -> None:
    for name, examples in splits.items():
        if len(examples) and len(np.unique(examples.targets[LABEL])) < 2:
            raise DataError(
                f"prepare: the {name} split needs normal and anomalous examples to judge a reconstruction; it has one "
                "kind only: add the other to the training data, which keeps the normal ones for training alone"
            )


def _tell_absent(splits: dict[str, Examples], classes: tuple[str, ...]) -> None:
    """A warning of the classes that no model can learn, or that none is judged on."""
    for name, lack in (("train", "no model can learn them"), ("test", "no model is judged on them")):
        present = np.unique(splits[name].targets[LABEL])
        absent = [each for number, each in enumerate(classes) if number not in present]
        if absent:
            shown = ", ".join(absent[:SHOWN]) + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else "")
            log.warning("prepare: the %s split has no example of %s: %s", name, shown, lack)


def describe(source: Source, train: Examples, params: Prepare) -> dict[str, Any]:
    """What preprocess.json says; everything that is learnt from data is learnt from the training split.

    Raises:
        DataError: params.yaml tells of an input that is not there, or of a kind that it has not.
    """
    strange = set() if source.columns else params.features.keys() - source.kinds.keys()
    if strange:
        raise DataError(f"prepare.features.{min(strange)}: no such input; {suggest(min(strange), source.kinds)}")
    inputs = {}
    for name, kind in source.kinds.items():
        if isinstance(train, Tokens):
            inputs[name] = features.tokens(train.length, source.classes, params)
            continue
        if name in source.columns:
            inputs[name] = features.table(kind, source.columns[name], train.arrays().inputs[name], params)
            continue
        highest = max(_highest(part, name) for part in (source.train, source.test) if part is not None)
        inputs[name] = features.describe(name, kind, train, params, highest)
    targets = {name: _describe_target(values) for name, values in source.train.targets.items() if name != BY}
    if params.task == "regression":
        targets[LABEL] |= features.values(train.targets[LABEL])
    else:
        judged = next(kind for kind, task in dataset.TASKS.items() if task == params.task)
        targets[LABEL] = {"kind": judged, "classes": list(source.classes)}
    return {"schema_version": preprocess.SCHEMA_VERSION, "inputs": inputs, "targets": targets}


def _highest(examples: Examples, name: str) -> int:
    """The highest number of an input of integers from 0; -1 of any other."""
    array = examples.inputs[name] if isinstance(examples, Arrays) else np.zeros(0)
    return int(array.max()) if array.dtype.kind in "iu" and array.min() >= 0 else -1


def _part(examples: Examples, share: float, params: Prepare, rng: np.random.Generator) -> tuple[Examples, Examples]:
    """What is left, and the share that is taken out; of a text that is its last part."""
    if isinstance(examples, Tokens):
        taken = latest(examples.starts, share)
        return examples.take(np.setdiff1d(np.arange(len(examples)), taken)), examples.take(taken)
    match params.split.by:
        case "time":
            taken = latest(examples.targets[BY], share)
        case "group":
            taken = whole_groups(examples.targets[BY], share, rng)
        case "random":
            taken = draw(_strata(examples), share, rng)
    return examples.take(np.setdiff1d(np.arange(len(examples)), taken)), examples.take(taken)


def _at_most(examples: Examples, count: int, rng: np.random.Generator) -> Examples:
    if len(examples) <= count:
        return examples
    return examples.take(draw(_strata(examples), count / len(examples), rng))


def _strata(examples: Examples) -> Array:
    """What each example is drawn as one of: its class, or what all are where they have none, or several."""
    label = examples.targets[LABEL]
    return label if label.ndim == 1 and label.dtype.kind == "i" else np.zeros(len(label), np.int64)


def _describe_target(values: NDArray[Any]) -> dict[str, Any]:
    if values.dtype.kind == "f":
        return {"kind": "value", "shape": list(values.shape[1:])}
    return {"kind": "class", "classes": [str(number) for number in range(int(values.max()) + 1)]}


def _card(
    source: Source, splits: dict[str, Examples], described: dict[str, Any], params: Prepare, folder: Path
) -> dict[str, Any]:
    ready = {name: tensor_spec(entry) for name, entry in described["inputs"].items()}
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "schema_version": 1,
        "source": params.source,
        "kind": " and ".join(sorted(set(source.kinds.values()))),
        "inputs": {name: {"shape": list(spec.shape), "dtype": spec.dtype} for name, spec in ready.items()},
        "classes": list(source.classes),
        "counts": {name: len(examples) for name, examples in splits.items()},
        "class_counts": {name: _class_counts(examples, source.classes) for name, examples in splits.items()},
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in written},
        "origin": source.origin,
        "seed": params.seed,
    }


def _class_counts(examples: Examples, classes: tuple[str, ...]) -> dict[str, int]:
    """How many examples are of each class, or have each label."""
    label = examples.targets[LABEL]
    if not classes:
        return {}
    counts = label.sum(axis=0) if label.ndim > 1 else np.bincount(label, minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))
