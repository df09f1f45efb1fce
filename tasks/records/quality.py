"""Records of how well an artifact answers: scores, and paired tests of two artifacts on the same examples."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.records.base import Record

Split = Literal["validation", "test"]


class ClassFigures(Record):
    """How one class fares."""

    name: str
    n: int
    precision: float | None  # null where nothing was predicted so
    recall: float | None


class Score(Record):
    """The quality of an artifact on one split, by the kernels named."""

    metric: str  # "accuracy" or "auc": higher is better
    value: float
    low: float  # 95 %: Wilson's score interval of an accuracy, Hanley and McNeil's of an AUC
    high: float
    n: int
    kernels: Literal["default", "reference"]  # the runtime's own choice, or its portable reference kernels
    split: Split
    predictions: tuple[int, ...]  # classes, one per example, in the split's order; none where the metric is not of them
    outputs_sha256: str  # of the float32 outputs, so that two runs can be told apart


class Evaluation(Record):
    """`out/evaluations/<variant>.json`: the quality of the artifact itself, never of the Keras model."""

    schema_version: Literal[1] = 1
    variant: str
    artifact_sha256: str
    runtime: str
    scores: tuple[Score, ...]
    classes: tuple[ClassFigures, ...] = ()  # of the test split, default kernels
    confusion: tuple[tuple[int, ...], ...] = ()  # rows: true class, columns: predicted


class McNemar(Record):
    """The paired test of a variant against the reference on the same examples."""

    better: Annotated[int, Field(ge=0)]  # examples that only the variant gets right
    worse: Annotated[int, Field(ge=0)]
    p_value: float
    p_holm: float | None = None  # raised for the other variants that are tested on the same device
