"""Logistic regression on TF-IDF of words and pairs of words, by scikit-learn: the usual first try at texts."""

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Arrays, Examples, dataset, texts
from tasks.examples.dataset import LABEL
from tasks.members import YardstickMethod
from tasks.params.yardstick import TfidfLogistic

STEPS = 1000
WORD = f"{texts.SIGN}|{texts.WORD}"  # single letters too


def predict(train: Examples, judged: Examples, seed: int, *, c: float) -> Array:
    """The probability of each class: float64 [n, classes]; 0 of a class that training has no example of.

    Words are counted with a logarithm, and texts scaled to one length (Manning et al., "Introduction to Information
    Retrieval", 2008, 6.4); what a single text has counts too.

    Args:
        train: the texts to learn from, raw.
        judged: n texts, raw.
        seed: of the solver.
        c: one over the strength of the L2 penalty.

    Raises:
        DataError: the examples are no texts, or training has one class only.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if not _are_texts(train):
        raise DataError("tfidf-logistic: one input of texts expected; use logistic or trees for other data")
    classes, labels = dataset.spec().classes, train.targets[LABEL]
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(f"tfidf-logistic: two classes in training expected; received {classes[present[0]]!r} alone")
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD)
    model = make_pipeline(words, LogisticRegression(C=c, max_iter=STEPS, random_state=seed))
    given, asked = (next(iter(each.arrays().inputs.values())) for each in (train, judged))
    model.fit(given, labels)
    answers = np.zeros((len(judged), len(classes)))
    answers[:, present] = model.predict_proba(asked)
    return answers


def _are_texts(examples: Examples) -> bool:
    if not isinstance(examples, Arrays):
        return False
    return all(array.dtype == object and array.ndim == 1 for array in examples.inputs.values())


YARDSTICK = YardstickMethod(schema=TfidfLogistic, predict=predict, tasks=("classification",), raw=True)
