"""Which class a variant takes for which, ready to be set: the confusion matrices of what is shipped. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.records import Evaluation
from tasks.report.advice import Advised

NONE = "–"
MOST = 30  # classes: a larger matrix nobody reads


@dataclass(frozen=True)
class Matrix:
    """One variant's matrix: a row for each true class, with a cell for each class that was answered."""

    variant: str
    devices: str  # that it is shipped to
    counted: str  # how many examples, by what
    classes: tuple[str, ...]
    rows: tuple[tuple[tuple[int, float], ...], ...]  # a count, and its share of the true class
    figures: tuple[tuple[str, tuple[str, ...]], ...]  # of each class, by their names, where they are known


def matrices(advised: Advised, evaluations: Sequence[Evaluation]) -> tuple[Matrix, ...]:
    """Those of the chosen variants, each once; none where no class is answered, or where there are too many.

    Args:
        advised: what is shipped where.
        evaluations: of all variants.
    """
    chosen: dict[str, list[str]] = {}
    for each in advised.devices:
        if each.choice is not None:
            chosen.setdefault(each.choice.champion, []).append(each.device)
    known = {evaluation.variant: evaluation for evaluation in evaluations}
    found = [(known[variant], devices) for variant, devices in chosen.items() if variant in known]
    return tuple(_matrix(evaluation, devices) for evaluation, devices in found if 0 < len(evaluation.classes) <= MOST)


def _matrix(evaluation: Evaluation, devices: Sequence[str]) -> Matrix:
    return Matrix(
        variant=evaluation.variant,
        devices=", ".join(devices),
        counted=f"{sum(map(sum, evaluation.confusion))} test examples, by {evaluation.runtime}",
        classes=tuple(each.name for each in evaluation.classes),
        rows=tuple(tuple((n, n / (sum(row) or 1)) for n in row) for row in evaluation.confusion),
        figures=tuple(
            (name, tuple(NONE if value is None else f"{value:{form}}" for value in values))
            for name, form, values in (
                ("right", ".1%", [each.recall for each in evaluation.classes]),
                ("AUC", ".3f", [each.auc for each in evaluation.classes]),
            )
            if any(value is not None for value in values)
        ),
    )
