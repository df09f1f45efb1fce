"""Confusions against scikit-learn, of few classes and of very many, and of answers that are no class."""

import numpy as np
import pytest
from sklearn import metrics as theirs

from tasks.quality import confusion


@pytest.mark.parametrize("classes", [2, 7, 1500])
def test_counts_and_figures_are_scikit_learns(classes):
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, classes, (2, 400))
    names = tuple(map(str, range(classes)))
    if classes <= confusion.MOST:
        expected = theirs.confusion_matrix(true, predicted, labels=range(classes))
        np.testing.assert_array_equal(confusion.matrix(true, predicted, classes), expected)
    else:
        assert confusion.matrix(true, predicted, classes).shape == (0, 0)
    found = confusion.figures(true, predicted, names)
    known = theirs.precision_recall_fscore_support(true, predicted, labels=range(classes), zero_division=np.nan)
    precision, recall, _, support = known
    assert [each.n for each in found] == support.tolist()
    np.testing.assert_allclose([np.nan if each.precision is None else each.precision for each in found], precision)
    np.testing.assert_allclose([np.nan if each.recall is None else each.recall for each in found], recall)


def test_an_answer_that_is_no_class_is_wrong_and_taken_for_none():
    true, predicted = np.array([0, 1, 2, 1]), np.array([4, 1, 2, 3])
    assert confusion.matrix(true, predicted, 3).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    found = confusion.figures(true, predicted, ("a", "b", "c"))
    assert [(each.n, each.precision, each.recall) for each in found] == [(1, None, 0.0), (2, 1.0, 0.5), (1, 1.0, 1.0)]
