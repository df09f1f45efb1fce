"""The metrics of quality: each is an object that says all of itself, to who judges, compares, limits and shows.

Their files are in the room `quality`; here is what they are and how they are found, as params.yaml names them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import InvalidError
from tasks.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.records import Paired

    Array = NDArray[Any]
    Targets = Mapping[str, Array]


@dataclass(frozen=True)
class Kept:
    """What was kept of an artifact's answers to a number of examples."""

    values: "Array"  # integers or floats, [n] or [n, k]; nothing in them holds where any answer is bad, or refused
    n: int
    sha256: str  # of the answers, float32
    bad: int = 0  # answers that are no finite numbers
    first_bad: int | None = None
    refused: str | None = None  # why a metric cannot judge them

    def check(self, what: str) -> None:
        """Refuse answers that cannot be judged.

        Args:
            what: was answered, in the plural.

        Raises:
            InvalidError: how many answers are no finite numbers, and which is the first; or what the metric says.
        """
        if self.bad:
            raise InvalidError(
                f"the answers to {self.bad} of {self.n} {what} are no finite numbers, the first to example "
                f"{self.first_bad}"
            )
        if self.refused:
            raise InvalidError(self.refused)


USUAL = {  # by the task of the data: what quality is where params.yaml names no metric
    "classification": "accuracy",
    "reconstruction": "auc",
    "regression": "rmse",
    "multilabel": "macro-auc",
    "language": "bits-per-byte",
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measure of quality.

    Of each example's answer it keeps what it needs, so that two variants can be compared later, by records alone: class
    numbers (integers, [n]), or numbers (floats, [n] or [n, k]). The runner does that where the answers are given, some
    examples at a time: the file of `keep`'s module is sent there, and needs numpy and the standard library alone. Its
    function takes outputs float32 [n, ...] and the targets that the metric asks for, by name, of as many examples; a
    ValueError of it says that such outputs cannot be judged. The truth is the target `label` of the split: class
    numbers [n], of a reconstruction 0 for what is normal; 0 or 1 for each of several labels [n, labels]; values
    [n, ...]; of a text the next token at each place [n, length].

    A drop, wherever one is limited, is a difference of two values in the metric's own unit, towards what is worse: of
    an accuracy how far it is below the reference's, of an error how far above.
    """

    task: str  # of the data that it judges: a key of USUAL
    unit: str = "share"  # a share is written in percent; "": as the target itself
    better: Literal["lower", "higher"] = "higher"
    keep: str  # "module:function"
    asks: tuple[str, ...] = ()  # targets
    by_class: bool = False  # what is kept of an example is the score of each class, [n, classes]
    of_second: bool = False  # it tells of the second of two classes, which is what is looked for
    beside: bool = False  # it compares: `keep` is also given the reference's outputs, by the name "(reference)"
    value: "Callable[[Array, Array], float]"  # of what was kept, and the truth
    interval: "Callable[[Array, Array], tuple[float, float]]"  # likewise: of 95 %
    paired: "Callable[[Array, Array, Array], Paired]"  # of a variant's, the reference's, and the truth
    # of the targets in training, and here: who never looks at an example; None: what such a one has is not known
    naive: "Callable[[Targets, Targets], float] | None" = None
    counts: bool = False  # it is a share of examples, so that a limit is worth so many of them
    epoch: str | None = None  # what Keras calls it after an epoch of training, where it does
    interval_by: str = "bootstrap"  # the method, for people
    paired_by: str = "a paired bootstrap"


METRICS = Registry(
    "metric",
    "tercet.metrics",
    {
        "accuracy": "tasks.quality.accuracy:METRIC",
        "f1": "tasks.quality.f1:METRIC",
        "ovr-auc": "tasks.quality.one_vs_rest:METRIC",
        "sensitivity-95": "tasks.quality.sensitivity:METRIC",
        "auc": "tasks.quality.auc:METRIC",
        "recall-10": "tasks.quality.ranking:RECALL_10",
        "ndcg-10": "tasks.quality.ranking:NDCG_10",
        "macro-auc": "tasks.quality.auc:MACRO",
        "mae": "tasks.quality.errors:MAE",
        "direction": "tasks.quality.direction:METRIC",
        "rmse": "tasks.quality.errors:RMSE",
        "bits-per-byte": "tasks.quality.perplexity:BITS",
        "perplexity": "tasks.quality.perplexity:PERPLEXITY",
        "kl-divergence": "tasks.quality.agreement:DIVERGENCE",
        "same-top": "tasks.quality.agreement:SAME_TOP",
    },
    Metric,
)


def judging(task: str) -> list[str]:
    """The names of the metrics that judge data of a task."""
    return [name for name in METRICS if METRICS.load(name).task == task]
