"""The stage `prepare`: from a data source to `out/data`, split, described and ready for every later stage."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from tasks import paths
from tasks.examples import Examples, dataset, features
from tasks.examples.dataset import LABEL, Source, tensor_spec
from tasks.examples.split import split
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
    described = features.preprocessing(source, splits["train"], params.prepare)
    with replaced_folder(paths.DATA) as folder:
        for name, examples in splits.items():
            dataset.save(folder / name, examples)
        write_json(folder / "preprocess.json", described)
        write_json(folder / "card.json", _card(source, splits, described, params.prepare, folder))


def _tell_absent(splits: dict[str, Examples], classes: tuple[str, ...]) -> None:
    """A warning of the classes that no model can learn, or that none is judged on."""
    for name, lack in (("train", "no model can learn them"), ("test", "no model is judged on them")):
        present = np.unique(splits[name].targets[LABEL])
        absent = [each for number, each in enumerate(classes) if number not in present]
        if absent:
            shown = ", ".join(absent[:SHOWN]) + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else "")
            log.warning("prepare: the %s split has no example of %s: %s", name, shown, lack)


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
