"""Which examples judge: drawn by chance, each class in its due share, or the latest ones, or whole groups."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.examples import Array, Arrays, Examples, first, normal, times, twins
from tasks.examples.dataset import BEGIN, BY, LABEL, NORMAL, Source
from tasks.examples.files import Files
from tasks.examples.tokens import Tokens
from tasks.params import Prepare

log = logging.getLogger(__name__)


def split(source: Source, params: Prepare) -> dict[str, Examples]:
    """The four splits, in the source's order: by chance, each class in its share, by time or by whole groups.

    Train, validation and test share no example. Calibration is part of train: it sets ranges, it judges nothing.
    Where the task is reconstruction, train holds normal examples only.

    Raises:
        DataError: there is one class only, or one has two names that look alike, or the second is what is normal, or a
            split would be empty, or lack what the task needs, or judge what it is of, or has an example of an earlier
            one.
    """
    if params.task in ("classification", "reconstruction") and len(source.classes) < 2:
        raise DataError(f"at least two classes expected; received {', '.join(source.classes)} alone")
    if not isinstance(source.train, Tokens):  # of those the classes are the characters of a text, as they are
        _check_names(source.classes)
    reconstruction = params.task == "reconstruction"
    inputs = first(source.train, 1).inputs
    if reconstruction and (len(source.classes) > 2 or len(inputs) > 1):
        raise DataError(
            "prepare.task: a reconstruction is of one input, of class 0 (normal) or 1 (anomalous); received "
            f"{len(inputs)} inputs and {len(source.classes)} classes"
        )
    if reconstruction:
        normal.check(source.classes, "a reconstruction is learnt from the first class, which is what is normal")
        log.info("prepare: the reconstruction is of %r, which alone is learnt from; %r is anomalous", *source.classes)
    rng = np.random.default_rng(params.seed)
    train, test, validation = source.train, source.test, source.validation
    if test is None:
        train, test = _part(train, params.test, params, rng)
    else:
        _check_given(train, test, params)
    if validation is None:
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
    _check_sizes(splits, len(source.train), params)
    twins.check({"train": train, "validation": validation, "test": test}, params)
    return {name: _bare(examples) for name, examples in splits.items()}


def _check_sizes(splits: dict[str, Examples], total: int, params: Prepare) -> None:
    """Refuse a split without examples, and one of which a metric of values cannot tell what chance does."""
    for name, examples in splits.items():
        if not len(examples):
            raise DataError(f"the {name} split of {total} examples is empty; raise its share or add data")
        of_values = params.task == "regression" or isinstance(examples, Tokens)
        if of_values and len(examples) == 1 and name in ("validation", "test"):
            told = f"the {name} split has one example, from which no metric of its task tells what chance does"
            raise DataError(f"{told}; raise its share, add data, or, of a text, shorten prepare.length")


def _check_names(classes: Sequence[str]) -> None:
    """Refuse one name in two spellings of Unicode, which look alike."""
    known: dict[str, str] = {}
    for name in classes:
        if (other := known.setdefault(normalize("NFC", name), name)) != name:
            told = f"the classes {other} and {name} are one name in two spellings of Unicode, {other!a} and {name!a}"
            raise DataError(f"{told}; write them alike")


def _check_given(train: Examples, test: Examples, params: Prepare) -> None:
    """Refuse a test split of its own that is not parted from training as is asked."""
    if params.split.by == "random":
        return
    before, after = train.targets[BY], test.targets[BY]
    if params.split.by == "group":
        if (both := np.intersect1d(before, after)).size:
            name = params.split.column or "group"
            raise DataError(f"prepare.split: the {name} {both[0]} is in training and in test: it judges itself")
        return
    if (there := times.kind(before[0])) != (here := times.kind(after[0])):
        told = f"the {params.split.column} is {there} in training and {here} in test"
        raise DataError(f"prepare.split: {told}; write both alike")
    last, begins = np.sort(before)[-1], np.sort(after)[0]
    if last >= begins:
        raise DataError(
            f"prepare.split: the test begins at the {params.split.column} {times.shown(begins)}, before training ends "
            f"at {times.shown(last)}"
        )


def _bare(examples: Examples) -> Examples:
    """The examples without what they were split by."""
    if not isinstance(examples, Arrays | Files):
        return examples
    return replace(
        examples, targets={name: array for name, array in examples.targets.items() if name not in (BEGIN, BY)}
    )


def _check_both(**splits: Examples) -> None:
    for name, examples in splits.items():
        if len(examples) and len(np.unique(examples.targets[LABEL])) < 2:
            raise DataError(
                f"the {name} split needs normal and anomalous examples to judge a reconstruction; it has one "
                "kind only: add the other to the training data, which keeps the normal ones for training alone"
            )


def _part(examples: Examples, share: float, params: Prepare, rng: np.random.Generator) -> tuple[Examples, Examples]:
    """What is left, and the share that is taken out; of a text that is its last part."""
    if isinstance(examples, Tokens):
        parted = examples.parts
        taken = latest(examples.starts, share) if parted is None else np.flatnonzero(parted == parted.max())
        return examples.take(np.setdiff1d(np.arange(len(examples)), taken)), examples.take(taken)
    match params.split.by:
        case "time":
            taken = latest(examples.targets[BY], share)
        case "group":
            taken = whole_groups(examples.targets[BY], share, rng, _strata(examples))
        case "random":
            taken = _drawn(examples, share, params, rng)
    left = np.setdiff1d(np.arange(len(examples)), taken)
    if BEGIN in examples.targets and taken.size:  # no row of a later window has been learnt from
        left = left[examples.targets[BY][left] < examples.targets[BEGIN][taken].min()]
    return examples.take(left), examples.take(taken)


def _drawn(examples: Examples, share: float, params: Prepare, rng: np.random.Generator) -> NDArray[np.int64]:
    """By chance, each class in its share; what is there several times goes where the first of it does."""
    taken = draw(_strata(examples), share, rng)
    return taken if params.split.repeats == "allowed" else twins.together(examples, taken)


def _at_most(examples: Examples, count: int, rng: np.random.Generator) -> Examples:
    if len(examples) <= count:
        return examples
    return examples.take(draw(_strata(examples), count / len(examples), rng))


def _strata(examples: Examples) -> Array:
    """What each example is drawn as one of: its class, or what all are where they have none, or several."""
    label = examples.targets[LABEL]
    return label if label.ndim == 1 and label.dtype.kind == "i" else np.zeros(len(label), np.int64)


def draw(labels: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a share of the examples at random, each class within one of its exact share.

    The whole is `round(share * n)`; what rounding down leaves over goes to the classes with the largest remainders.

    Args:
        labels: the class of each example, [n].
        share: from 0 to 1.
        rng: decides which examples of a class are drawn.

    Returns:
        The indices drawn, ascending.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quotas = np.floor(counts * share).astype(np.int64)
    left = round(len(labels) * share) - int(quotas.sum())
    quotas[np.argsort(quotas - counts * share, kind="stable")[:left]] += 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == each))[:quota] for each, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def latest(times: NDArray[Any], share: float) -> NDArray[np.int64]:
    """The latest examples, about a share of them: all others are earlier, so those of one moment stay together.

    Args:
        times: of each example, [n].
        share: from 0 to 1; at least so many are taken.

    Returns:
        Their indices, ascending.
    """
    count = round(len(times) * share)
    if not count:
        return np.zeros(0, np.int64)
    return np.flatnonzero(times >= np.sort(times)[len(times) - count])


def whole_groups(
    groups: NDArray[Any], share: float, rng: np.random.Generator, strata: Array | None = None
) -> NDArray[np.int64]:
    """Draw groups until their examples are about a share of all: each that brings their numbers nearer to it.

    Args:
        groups: the group of each example, [n].
        share: from 0 to 1.
        rng: decides the order in which groups are looked at.
        strata: the class of each example, [n], of each of which the share is meant; None: all are one.

    Returns:
        The indices of their examples, ascending.
    """
    names, group = np.unique(groups, return_inverse=True)
    _, kind = np.unique(np.zeros(len(groups)) if strata is None else strata, return_inverse=True)
    counts = np.zeros((len(names), int(kind.max(initial=0)) + 1))
    np.add.at(counts, (group, kind), 1)
    wanted, taken, chosen = counts.sum(axis=0) * share, np.zeros(counts.shape[1]), []
    for place in rng.permutation(len(names)):
        if np.abs(taken + counts[place] - wanted).sum() < np.abs(taken - wanted).sum():
            taken += counts[place]
            chosen.append(place)
    return np.flatnonzero(np.isin(group, chosen))
