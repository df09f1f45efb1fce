"""`card.json` of prepared data: their inputs, classes, counts and digests; and what is to be told of them."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from tasks.examples import Examples, texts
from tasks.examples.dataset import LABEL, Source, tensor_spec
from tasks.examples.tokens import Tokens, counts
from tasks.files import sha256
from tasks.params import Prepare

SHOWN = 10  # names of classes in a message
MANY_CUT = 0.25  # of the texts
log = logging.getLogger(__name__)


def tell_absent(splits: dict[str, Examples], classes: tuple[str, ...]) -> None:
    """Warn of the classes, or labels, that no model can learn, or that none is judged on."""
    for name, lack in (("train", "no model can learn them"), ("test", "no model is judged on them")):
        label = splits[name].targets[LABEL]
        there, everywhere = (
            (label.any(axis=0), label.all(axis=0))
            if label.ndim > 1
            else (np.isin(np.arange(len(classes)), label), np.zeros(len(classes), bool))
        )
        for told, found in (("no example of", ~there), ("no example without", everywhere)):
            if found.any():
                _tell(f"prepare: the {name} split has {told}", np.array(classes)[found].tolist(), lack)


def tell_cut(card: dict[str, Any]) -> None:
    """Warn of texts of which a model does not read the end, where many are such."""
    for name, cut in card["cut"].items():
        if cut["train"] > MANY_CUT * card["counts"]["train"]:
            (length,) = card["inputs"][name]["shape"]
            most = (
                f"prepare.length: %d of %d training examples have more than the %d words of {name!r} that a model reads"
            )
            log.warning(most, cut["train"], card["counts"]["train"], length)


def _tell(what: str, names: list[str], lack: str) -> None:
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    log.warning("%s %s: %s", what, shown, lack)


def of(
    source: Source, splits: dict[str, Examples], described: dict[str, Any], params: Prepare, folder: Path
) -> dict[str, Any]:
    """What prepared data are.

    Args:
        source: where they come from.
        splits: their examples, by the split's name.
        described: the preprocessing, as `preprocess.json` has it.
        params: how they were prepared.
        folder: what has been written of them, all of which the card has the digests of.
    """
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
        "cut": _cut(splits, described),
        "sha256": {path.relative_to(folder).as_posix(): sha256(path) for path in written},
        "origin": source.origin,
        "seed": params.seed,
    }


def _cut(splits: dict[str, Examples], described: dict[str, Any]) -> dict[str, dict[str, int]]:
    """How many texts of each split are longer than what a model reads of them, by input."""
    lengths = {name: entry["length"] for name, entry in described["inputs"].items() if entry["kind"] == "text"}
    return {
        name: {
            split: sum(len(texts.tokens(text)) > length for text in examples.arrays().inputs[name])
            for split, examples in splits.items()
        }
        for name, length in lengths.items()
    }


def _class_counts(examples: Examples, classes: tuple[str, ...]) -> dict[str, int]:
    """How many examples are of each class, or have each label; of a text, how often each token is told."""
    label = examples.targets[LABEL]
    if not classes:
        return {}
    several = label.ndim > 1 and not isinstance(examples, Tokens)
    found = label.sum(axis=0) if several else counts(label, len(classes))
    return dict(zip(classes, found.tolist(), strict=True))
