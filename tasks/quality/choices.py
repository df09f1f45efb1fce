"""How well a language model chooses among answers: the most probable one is taken for its own, nothing is trained.

`acc` goes by the probability of each choice's tokens, `acc_norm` by its logarithm for each byte of the choice, as
longer ones are less probable: the two figures of lm-evaluation-harness.
"""

from collections.abc import Sequence

import numpy as np

from tasks.examples import Array
from tasks.quality.accuracy import accuracy, mcnemar, wilson
from tasks.quality.questions import Asked, Question
from tasks.records import Choices, Chosen
from tasks.records.metrics import Kept

KEEP = "tasks.quality.kept:continuations"
MEASURES = ("acc", "acc_norm")


def grade(kept: Kept, asked: Asked, questions: Sequence[Question], file: str, sha256: str) -> Choices:
    """How an artifact chose.

    Args:
        kept: of its answers to the windows that were asked: float64 [n, k].
        asked: those windows.
        questions: what they ask.
        file: that these are from, for people.
        sha256: of it.

    Raises:
        InvalidError: the answers are no finite numbers, or not such as can be judged.
    """
    kept.check("windows of questions")
    truth, places = np.array([each.gold for each in questions]), max(len(each.choices) for each in questions)
    logs = [np.array([kept.values[place] for place in places]) for places in asked.answers]
    bytes_of = [np.array([len(choice.strip().encode()) for choice in each.choices]) for each in questions]
    plain = np.array([each.argmax() for each in logs])
    by_byte = np.array([(each / sizes).argmax() for each, sizes in zip(logs, bytes_of, strict=True)])
    return Choices(
        file=file,
        sha256=sha256,
        n=len(questions),
        window=next(iter(asked.examples.inputs.values())).shape[1],
        cut=asked.cut,
        chance=float(np.mean([1 / len(each.choices) for each in questions])),
        truth=tuple(truth.tolist()),
        acc=_chosen(plain, truth, places),
        acc_norm=_chosen(by_byte, truth, places),
    )


def _chosen(answers: Array, truth: Array, places: int) -> Chosen:
    low, high = wilson(int((answers == truth).sum()), len(truth))
    shares = np.bincount(answers, minlength=places) / len(truth)
    return Chosen(
        value=accuracy(answers, truth),
        low=low,
        high=high,
        shares=tuple(shares.tolist()),
        answers=tuple(answers.tolist()),
    )


def against(own: Choices | None, reference: Choices | None) -> Choices | None:
    """An artifact's choices without each answer, and how they compare with the reference's to the same questions."""
    if own is None:
        return None
    found = {}
    for measure in MEASURES:
        mine: Chosen = getattr(own, measure)
        paired = None
        if reference is not None and reference.sha256 == own.sha256:
            theirs: Chosen = getattr(reference, measure)
            paired = mcnemar(*map(np.array, (mine.answers, theirs.answers, own.truth)))
        found[measure] = mine.model_copy(update={"paired": paired, "answers": ()})
    return own.model_copy(update={**found, "truth": ()})
