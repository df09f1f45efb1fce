"""Records of how well an artifact answers: scores, and paired tests of two artifacts on the same examples."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.records.base import Record

Split = Literal["validation", "test"]
Better = Literal["lower", "higher"]


class ClassFigures(Record):
    """How one class fares."""

    name: str
    n: int
    precision: float | None  # null where nothing was predicted so
    recall: float | None  # the accuracy among the examples that are of it
    auc: float | None = None  # against all others, where the metric keeps the scores of classes


class Score(Record):
    """The quality of an artifact on one split, by the kernels named."""

    metric: str  # of the table of metrics
    unit: str = "share"  # "": as the target itself
    better: Better = "higher"
    value: float
    low: float  # 95 %, by the metric's own method
    high: float
    n: int
    kernels: Literal["default", "reference"]  # the runtime's own choice, or its portable reference kernels
    split: Split
    predictions: tuple[int, ...]  # classes, one per example, in the split's order; none where the metric is not of them
    kept: tuple[float | tuple[float, ...], ...] = ()  # likewise what a metric of numbers keeps: errors, say
    outputs_sha256: str  # of the float32 outputs, so that two runs can be told apart


class Paired(Record):
    """A variant against the reference on the same examples, by the test of the metric."""

    p_value: float  # two-sided
    p_holm: float | None = None  # raised for the other variants that are tested on the same device
    drop_bound: Annotated[float, Field(ge=0)]  # how much worse it may be, in the metric's unit: 95 %, one-sided
    better: Annotated[int, Field(ge=0)] | None = None  # examples that only the variant gets right; null: none is right
    worse: Annotated[int, Field(ge=0)] | None = None  # or wrong by itself


class Chosen(Record):
    """What was taken for the right answers of multiple-choice questions, by one measure of how likely each is."""

    value: float  # the share that is right
    low: float  # 95 %, Wilson
    high: float
    shares: tuple[float, ...]  # how often each place was chosen, from 0: who always takes the same is seen
    answers: tuple[int, ...] = ()  # by question; none in a comparison
    paired: Paired | None = None  # in a comparison, against the reference: McNemar's test


class Choices(Record):
    """How an artifact chooses among the answers of multiple-choice questions."""

    file: str
    sha256: str  # of it
    n: int  # questions
    window: int  # tokens
    cut: int  # questions that were longer than the window and lost their beginning
    chance: float  # the share that is right by guessing
    truth: tuple[int, ...] = ()  # by question; none in a comparison
    acc: Chosen  # by the probability of a choice
    acc_norm: Chosen  # by its logarithm for each byte


class Sample(Record):
    """What a language model's file writes behind a text of the validation data, each token the likeliest."""

    before: str
    text: str
    tokens: tuple[int, ...]  # of the text


class Evaluation(Record):
    """`out/evaluations/<variant>.json`: the quality of the artifact itself, never of the Keras model."""

    schema_version: Literal[1] = 1
    variant: str
    artifact_sha256: str
    runtime: str
    scores: tuple[Score, ...]
    naive: float | None = None  # the test quality of who answers by the training targets, and looks at no example
    classes: tuple[ClassFigures, ...] = ()  # of the test split, default kernels
    confusion: tuple[tuple[int, ...], ...] = ()  # rows: true class, columns: predicted; none of very many classes
    sample: Sample | None = None  # of a language model whose tokens are those of a text
    choices: Choices | None = None  # by the default kernels, where evaluate.choices names questions


class YardstickScores(Record):
    """`out/evaluations/yardsticks/<name>.json`: what something simple scores, that a network must beat."""

    schema_version: Literal[1] = 1
    name: str
    method: str
    scores: tuple[Score, ...]  # on validation and test; in a comparison without each answer

    def on(self, split: Split) -> Score:
        """The score on a split."""
        return next(score for score in self.scores if score.split == split)


class Beside(Record):
    """A variant beside a yardstick, on the same test examples."""

    name: str
    quality: float  # the yardstick's
    paired: Paired | None  # of the variant against it; null where there is no test


def gain(better: Better, value: float, over: float) -> float:
    """By how much one quality is better than another, in their unit; negative where it is worse."""
    return value - over if better == "higher" else over - value
