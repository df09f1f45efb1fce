"""The network of users and items: what it answers, what it becomes, and that it learns tastes."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Spec, TensorSpec
from tasks.models import two_tower
from tasks.params import Training
from tasks.params.models import TwoTower
from tasks.quantize import layers, litert
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
SPEC = Spec({"user": TensorSpec((1,), "int32", 21), "items": TensorSpec((6,), "int32", 31)}, tuple(map(str, range(6))))


def build(spec=SPEC, **keys):
    fit.reset(0)
    return two_tower.build(TwoTower(family="two_tower", **keys), spec)


def examples(count=600):
    """A user of an even number likes the only item of an even number that is shown; the others odd ones."""
    rng = np.random.default_rng(0)
    user, label = rng.integers(1, 21, (count, 1)), rng.integers(0, 6, count)
    items = 2 * rng.integers(1, 15, (count, 6)) + (1 - user % 2)
    items[np.arange(count), label] = 2 * rng.integers(1, 15, count) + user[:, 0] % 2
    return Arrays({"user": user.astype(np.int32), "items": items.astype(np.int32)}, {LABEL: label})


@pytest.mark.parametrize("keys", [{}, {"product": False, "dense": [16]}, {"dense": []}])
def test_tastes_are_learnt_by_the_product_and_by_dense_layers(keys):
    model, given = build(**keys), examples()
    fit.fit(model, given, given, Training(epochs=12, batch_size=32, learning_rate=0.02), label="train")
    answers = model.predict(given.inputs, verbose=0)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert (answers.argmax(axis=1) == given.targets[LABEL]).mean() > 0.95


def test_an_item_has_its_score_wherever_it_is_shown():
    model, given = build(), examples(8)
    order = np.random.default_rng(1).permutation(6)
    moved = {**given.inputs, "items": given.inputs["items"][:, order]}
    np.testing.assert_allclose(model(moved), np.asarray(model(given.inputs))[:, order], atol=1e-6)


def test_it_becomes_integers_throughout():
    content = litert.convert(build(), "int8", examples(40))
    assert not layers.floats(content)


def test_other_data_is_refused():
    for wrong in (
        Spec({"user": TensorSpec((1,), "int32", 5)}, ("a", "b")),
        Spec(SPEC.inputs, ("a", "b")),
        Spec(SPEC.inputs, SPEC.classes, "multilabel"),
    ):
        with pytest.raises(ModelError, match="family two_tower takes the inputs user and items"):
            build(wrong)
    with pytest.raises(ValueError, match="received neither"):
        TwoTower(family="two_tower", product=False, dense=[])
