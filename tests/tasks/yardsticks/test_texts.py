"""The yardstick of texts, against TF-IDF by hand and the same objective minimized by SciPy."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy import optimize, special

from tasks.errors import DataError
from tasks.examples import Arrays, dataset
from tasks.examples.dataset import LABEL, Spec, TensorSpec
from tasks.members import YARDSTICKS
from tasks.params.yardstick import TfidfLogistic

GOOD, BAD = "a fine warm film", "a dull cold film"
SECTION = TfidfLogistic(method="tfidf-logistic", c=3.0)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> tuple[Arrays, Arrays]:
    """Texts of two of three classes, of which some words are shared."""
    spec = Spec({"text": TensorSpec((8,), "int32", vocabulary_size=20)}, ("bad", "never", "good"))
    monkeypatch.setattr(dataset, "spec", lambda: spec)
    rng = np.random.default_rng(0)
    labels = np.array([0, 2])[rng.integers(0, 2, 50)]
    said = [" ".join(rng.choice((GOOD if label else BAD).split(), 6)) + " Film!" for label in labels]
    whole = Arrays({"text": np.array(said, object)}, {LABEL: labels})
    return whole.take(np.arange(40)), whole.take(np.arange(40, 50))


def counted(text: str) -> Counter[str]:
    words = re.findall(r"\w+", text.lower())
    return Counter([*words, *map(" ".join, pairwise(words))])


def test_the_answers_are_the_least_penalized_loss_on_tf_idf(texts: tuple[Arrays, Arrays]) -> None:
    train, judged = texts
    counts = [[counted(text) for text in each.inputs["text"]] for each in texts]
    terms = sorted(set().union(*counts[0]))
    rarity = np.array([np.log((1 + len(train)) / (1 + sum(term in each for each in counts[0]))) + 1 for term in terms])
    ready = []
    for each in counts:
        tf = np.array([[1 + np.log(count[term]) if count[term] else 0 for term in terms] for count in each])
        ready.append(tf * rarity / np.linalg.norm(tf * rarity, axis=1, keepdims=True))
    sign = np.where(train.targets[LABEL] == 2, 1, -1)

    def loss(w: np.ndarray) -> float:
        margin = sign * (ready[0] @ w[:-1] + w[-1])
        return float(SECTION.c * np.logaddexp(0, -margin).sum() + w[:-1] @ w[:-1] / 2)

    best = optimize.minimize(loss, np.zeros(len(terms) + 1), tol=1e-9).x
    expected = special.expit(ready[1] @ best[:-1] + best[-1])
    found = YARDSTICKS.load("tfidf-logistic").predict(train, judged, 0, **SECTION.options)
    np.testing.assert_allclose(found[:, 2], expected, atol=1e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert not found[:, 1].any()


def test_what_are_no_texts_or_one_class_is_refused(texts: tuple[Arrays, Arrays]) -> None:
    train, judged = texts
    predict = YARDSTICKS.load("tfidf-logistic").predict
    alone = train.take(np.flatnonzero(train.targets[LABEL] == 2))
    with pytest.raises(DataError, match="two classes in training expected; received 'good' alone"):
        predict(alone, judged, 0, c=1.0)
    numbers = Arrays({"numbers": np.zeros((4, 2))}, {LABEL: np.arange(4) % 2})
    with pytest.raises(DataError, match="one input of texts expected"):
        predict(numbers, numbers, 0, c=1.0)


def test_signs_of_chinese_are_counted_each_as_a_network_reads_them(texts: tuple[Arrays, Arrays]) -> None:
    """A sentence is one word to a pattern of letters, and no other text has it."""
    labels, rng = texts[0].targets[LABEL], np.random.default_rng(0)
    said = ["".join(rng.permutation([*"我们觉", "好" if label else "坏"])) for label in labels]
    whole = Arrays({"text": np.array(said, object)}, {LABEL: labels})
    train, judged = whole.take(np.arange(30)), whole.take(np.arange(30, 40))
    found = YARDSTICKS.load("tfidf-logistic").predict(train, judged, 0, **SECTION.options)
    np.testing.assert_array_equal(found.argmax(axis=1), judged.targets[LABEL])
