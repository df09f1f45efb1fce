import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.errors import InvalidError
from tasks.examples import Arrays
from tasks.quality import confusion, kept, one_vs_rest
from tasks.quality.score import paired, score
from tasks.records.metrics import METRICS, judging

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 200)
EXAMPLES = Arrays({"x": np.zeros((200, 1))}, {"label": TRUTH})


def outputs(noise):
    return (np.eye(3)[TRUTH] + noise * RNG.normal(size=(200, 3))).astype(np.float32)


def test_of_two_classes_it_is_the_area_of_either():
    truth, scores = RNG.integers(0, 2, 90), RNG.random(90)
    both = np.stack([1 - scores, scores], axis=1)
    expected = roc_auc_score(truth, scores)
    assert one_vs_rest.of_each(both, truth) == pytest.approx([expected, expected])
    assert one_vs_rest.macro(both, truth) == pytest.approx(expected)


def test_a_class_that_nothing_is_of_has_no_area():
    scores = outputs(1.0)
    wider = np.concatenate([scores, RNG.random((200, 1))], axis=1)
    assert one_vs_rest.of_each(wider, TRUTH) == [*one_vs_rest.of_each(scores, TRUTH), None]
    assert one_vs_rest.macro(wider, TRUTH) == one_vs_rest.macro(scores, TRUTH)
    with pytest.raises(InvalidError, match="all 200 examples are of one class"):
        one_vs_rest.macro(scores, np.zeros(200, np.int64))


def test_a_better_variant_is_told_from_a_worse_one_and_not_from_itself():
    good, bad = (score(outputs(noise), EXAMPLES, "default", "test", "ovr-auc") for noise in (0.5, 2.0))
    assert good.low > bad.high
    found = paired(bad, good, TRUTH)
    assert found.p_value < 0.001
    assert found.drop_bound > good.value - bad.value
    assert paired(good, good, TRUTH).p_value == 1


def test_figures_of_classes_say_their_areas_where_they_are_known():
    told = (TRUTH, outputs(1.0).argmax(axis=1), ("a", "b", "c"))
    assert [each.auc for each in confusion.figures(*told, [0.5, None, 1.0])] == [0.5, None, 1.0]
    assert [each.auc for each in confusion.figures(*told)] == [None] * 3


@pytest.mark.parametrize("name", judging("classification"))
def test_a_metric_says_whether_it_keeps_the_score_of_each_class(name):
    metric = METRICS.load(name)
    answers = np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]], np.float32)
    found = getattr(kept, metric.keep.split(":")[1])(answers, {"label": np.array([0, 0, 1])})
    assert metric.by_class == np.array_equal(found, answers)
