"""How good the answers of an artifact are."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from tasks.errors import DataError, InvalidError, ParamsError
from tasks.examples import Array, Examples
from tasks.examples.dataset import LABEL, RECONSTRUCTION
from tasks.records import Paired, Score, Split
from tasks.records.metrics import METRICS, USUAL, judging


def score(
    outputs: Any,
    examples: Examples,
    kernels: Literal["default", "reference"],
    split: Split,
    metric: str | None = None,
) -> Score:
    """The quality of what an artifact answered on a split.

    Args:
        outputs: float32 [n, ...], of the output that is judged.
        examples: the split.
        kernels: whose answers they are.
        split: its name.
        metric: what quality is, a key of METRICS; None: what is usual for data of the kind.

    Raises:
        InvalidError: outputs are no finite numbers, which have no order: the place of one is no class; or they are not
            of the shape that the metric judges.
        ParamsError: the metric judges data of another kind.
    """
    check_finite(outputs, f"{split} examples")
    task = task_of(examples)
    name = metric or USUAL[task]
    judge = METRICS.load(name)
    if judge.task != task:
        allowed = ", ".join(judging(task))
        raise ParamsError(f"evaluate.metric: received {name!r}, of {judge.task}; the data is of {task}: {allowed}")
    truth, kept = examples.targets[LABEL], judge.keep(outputs, examples.targets)
    low, high = judge.interval(kept, truth)
    return Score(
        metric=name,
        unit=judge.unit,
        better=judge.better,
        value=judge.value(kept, truth),
        low=low,
        high=high,
        n=len(outputs),
        kernels=kernels,
        split=split,
        predictions=tuple(kept.tolist()) if kept.dtype.kind in "iu" else (),
        kept=() if kept.dtype.kind in "iu" else tuple(tuple(each) if kept.ndim > 1 else each for each in kept.tolist()),
        outputs_sha256=hashlib.sha256(np.ascontiguousarray(outputs, np.float32).tobytes()).hexdigest(),
    )


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


def check_finite(outputs: Any, what: str) -> None:
    """Refuse answers of which some are no numbers.

    Raises:
        InvalidError: how many of them, and which is the first.
    """
    bad = np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1))
    if bad.size:
        raise InvalidError(
            f"the answers to {bad.size} of {len(outputs)} {what} are no finite numbers, the first to example {bad[0]}"
        )
