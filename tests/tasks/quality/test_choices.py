"""How a model chooses: by the probability of the choices' tokens, held against scipy's, whatever shares a window."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import binomtest

from tasks.errors import InvalidError
from tasks.quality import choices, kept, questions
from tasks.quality.questions import PLACES, TOKENS, Question
from tasks.records.metrics import Kept

LETTERS = "abcdefgh "
LENGTH = 8
ENTRY = {"kind": "tokens", "shape": [LENGTH], "vocabulary": len(LETTERS) + 1, "characters": LETTERS}
WORD = st.text("abcdefgh", min_size=1, max_size=5)
QUESTION = st.tuples(WORD, st.lists(WORD, min_size=2, max_size=4)).flatmap(
    lambda each: st.builds(Question, st.just(each[0]), st.just(tuple(each[1])), st.integers(0, len(each[1]) - 1))
)
BIGRAM = np.random.default_rng(0).normal(size=(len(LETTERS) + 1, len(LETTERS) + 1)).astype(np.float32)


def by_hand(question):
    """The log probability of each choice, where the next letter hangs from the last one alone."""
    found = []
    for choice in question.choices:
        text = [LETTERS.index(letter) for letter in f"{question.query} {choice}"]
        logs = log_softmax(BIGRAM.astype(np.float64), axis=1)
        found.append(sum(logs[a, b] for a, b in list(pairwise(text))[-len(choice) - 1 :]))
    return np.array(found)


def grade(given, scores=BIGRAM):
    asked = questions.ask(given, "text", ENTRY)
    values = kept.continuations(scores[asked.examples.inputs["text"]], asked.examples.targets)
    return choices.grade(Kept(values, len(values), "0"), asked, given, "q.jsonl", "1")


@settings(max_examples=60, deadline=None)
@given(st.lists(QUESTION, min_size=1, max_size=6))
def test_the_most_probable_choice_is_taken(given):
    found = grade(given)
    logs = [by_hand(question) for question in given]
    sizes = [np.array([len(choice) for choice in question.choices]) for question in given]
    for measure, values in (("acc", logs), ("acc_norm", [a / b for a, b in zip(logs, sizes, strict=True)])):
        chosen = getattr(found, measure)
        for answer, value in zip(chosen.answers, values, strict=True):
            assert value[answer] == pytest.approx(value.max(), rel=1e-9)
        right = [answer == question.gold for answer, question in zip(chosen.answers, given, strict=True)]
        assert chosen.value == pytest.approx(np.mean(right))
        assert sum(chosen.shares) == pytest.approx(1)
    assert found.chance == pytest.approx(np.mean([1 / len(question.choices) for question in given]))
    assert (found.n, found.window) == (len(given), LENGTH)


def test_longer_choices_are_weighed_by_their_bytes():
    even = np.zeros_like(BIGRAM)
    even[:, LETTERS.index("a")] = 1  # of each letter a is a little likelier than the rest
    found = grade([Question("b", ("aaa", "c"), 0)], even)
    assert (found.acc.answers, found.acc_norm.answers) == ((1,), (0,))


def test_intervals_are_wilsons_and_a_model_that_always_says_the_same_is_seen():
    stubborn = np.zeros_like(BIGRAM)
    stubborn[:, LETTERS.index("d")] = 9
    found = grade([Question("ab", ("c", "d"), k % 2) for k in range(40)], stubborn)
    assert (found.acc.value, found.acc.shares, found.chance) == (0.5, (0.0, 1.0), 0.5)
    expected = binomtest(20, 40).proportion_ci(0.95, "wilson")
    assert (found.acc.low, found.acc.high) == pytest.approx((expected.low, expected.high))


def test_variants_are_compared_question_by_question():
    given = [Question("ab", ("c", "d"), k % 2) for k in range(10)]
    one, other = (grade(given).model_copy(update={"acc": grade(given).acc.model_copy(update={"answers": a})}) for a in (
        (0, 1, 0, 1, 0, 1, 0, 1, 1, 1), (1, 1, 1, 1, 1, 1, 0, 1, 0, 0),
    ))  # fmt: skip
    found = choices.against(one, other)
    assert (found.acc.paired.better, found.acc.paired.worse) == (4, 1)
    assert found.acc.paired.p_value == pytest.approx(binomtest(4, 5, 0.5).pvalue)
    assert found.acc.answers == found.truth == ()
    assert choices.against(one, None).acc.paired is None
    assert choices.against(one, other.model_copy(update={"sha256": "2"})).acc.paired is None, "other questions"
    assert choices.against(None, other) is None


def test_answers_that_cannot_be_judged_are_refused():
    asked = questions.ask([Question("ab", ("c", "d"), 0)], "text", ENTRY)
    with pytest.raises(InvalidError, match="the answers to 1 of 1 windows of questions are no finite numbers"):
        choices.grade(Kept(np.zeros(0), 1, "0", bad=1, first_bad=0), asked, [], "q", "1")
    targets = asked.examples.targets
    for shape in ((1, len(LETTERS)), (1, LENGTH, 3), (1, 2, len(LETTERS))):
        with pytest.raises(ValueError, match="is answered to each window; a score of every token, up to"):
            kept.continuations(np.zeros(shape, np.float32), targets)
    assert targets[PLACES].shape == targets[TOKENS].shape == (1, 2, 2)
