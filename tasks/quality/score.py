"""How good the answers of an artifact are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from tasks.errors import DataError, ParamsError
from tasks.examples import Array, Examples
from tasks.examples.dataset import LABEL, RECONSTRUCTION, REFERENCE, TEXT_BYTES
from tasks.records import Paired, Score, Split
from tasks.records.metrics import METRICS, USUAL, Kept, judging
from tasks.registry import named


def metric_of(examples: Examples, metric: str | None = None) -> str:
    """What quality is on some data, a key of METRICS.

    Args:
        examples: the data.
        metric: what was asked for; None: what is usual for data of the kind.

    Raises:
        ParamsError: the metric judges data of another kind.
    """
    task = task_of(examples)
    name = metric or USUAL[task]
    judge = METRICS.load(name)
    if judge.task != task:
        allowed = ", ".join(judging(task))
        raise ParamsError(f"evaluate.metric: received {name!r}, of {judge.task}; the data is of {task}: {allowed}")
    return name


def grade(kept: Kept, truth: Array, kernels: Literal["default", "reference"], split: Split, metric: str) -> Score:
    """The quality of what an artifact answered on a split.

    Args:
        kept: what the metric keeps of it.
        truth: the split's target `label`, [n, ...].
        kernels: whose answers they are.
        split: its name.
        metric: see `metric_of`.

    Raises:
        InvalidError: outputs are no finite numbers, which have no order: the place of one is no class; or they are not
            of the shape that the metric judges.
    """
    kept.check(f"{split} examples")
    judge, values = METRICS.load(metric), kept.values
    low, high = judge.interval(values, truth)
    classes, each = values.dtype.kind in "iu", values.tolist()
    return Score(
        metric=metric,
        unit=judge.unit,
        better=judge.better,
        value=judge.value(values, truth),
        low=low,
        high=high,
        n=kept.n,
        kernels=kernels,
        split=split,
        predictions=tuple(each) if classes else (),
        kept=() if classes else tuple(map(tuple, each) if values.ndim > 1 else each),
        outputs_sha256=kept.sha256,
    )


def keep(outputs: Any, targets: Mapping[str, Array], metric: str) -> Kept:
    """What a metric keeps of outputs, float32 [n, ...], that are at hand: just what the runner keeps where they are."""
    bad = np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1))
    sha256 = hashlib.sha256(np.ascontiguousarray(outputs, np.float32).tobytes()).hexdigest()
    none = Kept(np.zeros(0), len(outputs), sha256)
    if bad.size:
        return replace(none, bad=bad.size, first_bad=int(bad[0]))
    judge = METRICS.load(metric)
    asks = (*judge.asks, *([REFERENCE] if judge.beside else []))
    if judge.beside and REFERENCE not in targets:
        raise ParamsError(f"evaluate.metric: {metric!r} compares answers with a reference's, and here is none to ask")
    try:
        return replace(none, values=named(judge.keep)(outputs, {name: targets[name] for name in asks}))
    except ValueError as error:
        return replace(none, refused=str(error))


def score(
    outputs: Any,
    examples: Examples,
    kernels: Literal["default", "reference"],
    split: Split,
    metric: str | None = None,
) -> Score:
    """The quality of outputs that are at hand, float32 [n, ...], on a split: `metric_of`, `keep` and `grade`.

    Raises:
        InvalidError, ParamsError: as those.
    """
    name = metric_of(examples, metric)
    return grade(keep(outputs, examples.targets, name), examples.targets[LABEL], kernels, split, name)


@dataclass(frozen=True)
class Exam:
    """Validation examples, and what quality is on them."""

    examples: Examples
    metric: str | None = None  # None: what is usual for the data

    def score(self, outputs: Any) -> Score:
        """The quality of float32 outputs [n, ...].

        Raises:
            InvalidError, ParamsError: as the function `score`.
        """
        return score(outputs, self.examples, "default", "validation", self.metric)

    def first(self, count: int) -> "Exam":
        """The same of the first examples alone, at most so many."""
        return replace(self, examples=self.examples.take(np.arange(min(len(self.examples), count))))


def task_of(examples: Examples) -> str:
    """What the data asks, by its targets: a key of USUAL."""
    if RECONSTRUCTION in examples.targets:
        return "reconstruction"
    if TEXT_BYTES in examples.targets:
        return "language"
    truth = examples.targets[LABEL]
    if truth.dtype.kind == "f":
        return "regression"
    return "classification" if truth.ndim == 1 else "multilabel"


def paired(own: Score, reference: Score, truth: Array | None) -> Paired | None:
    """The comparison of two variants on the same examples; None where their answers, or the truth, are not known.

    Raises:
        DataError: the scores are not of as many examples.
    """
    mine, theirs = (each.predictions or each.kept for each in (own, reference))
    if truth is None or own.metric != reference.metric or not mine or not theirs:
        return None
    if not len(mine) == len(theirs) == len(truth):
        raise DataError(
            f"paired test: {len(mine)} and {len(theirs)} predictions for {len(truth)} {own.split} examples; "
            "the evaluations are of other data: `tercet run`"
        )
    return _tested(own.metric, mine, theirs, tuple(map(tuple, truth)) if truth.ndim > 1 else tuple(truth.tolist()))


@lru_cache(maxsize=256)  # a variant's answers are the same on many devices, and resampling takes a second
def _tested(metric: str, *columns: tuple[Any, ...]) -> Paired:
    mine, theirs, truth = map(np.array, columns)
    return METRICS.load(metric).paired(mine, theirs, truth)
