"""Distillation: the student comes to agree with its teacher, by answers and by features."""

import numpy as np
import pytest

from tasks.compress import distill
from tasks.compress.model import answers, make
from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, TEACHER, Spec, TensorSpec
from tasks.models import cnn
from tasks.params import Cnn, Distill
from tasks.records import ModelCard, read
from tasks.training import fit, keras_files

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
SPEC = Spec({"image": TensorSpec((12, 12, 1), "float32")}, ("a", "b", "c", "d"))


def examples(count=96, seed=0):
    """Images, each a mixture of two patterns, whose labels say nothing about them."""
    patterns = np.random.default_rng(3).normal(size=(2, 12 * 12))
    rng = np.random.default_rng(seed)
    image = (rng.normal(size=(count, 2)) @ patterns).reshape(count, 12, 12, 1)
    return Arrays({"image": image.astype(np.float32)}, {LABEL: rng.integers(0, 4, count)})


def network(filters=(6, 8), seed=0, sharp=1.0):
    fit.reset(seed)
    made = cnn.build(Cnn(family="cnn", filters=filters, dense=(12,)), SPEC)
    kernel, bias = made.layers[-1].get_weights()
    made.layers[-1].set_weights([sharp * kernel, bias])
    return made


def params(**keys):
    given = {"epochs": 8, "batch_size": 16, "learning_rate": 0.01, "teacher": "baseline", "teacher_weight": 1.0, **keys}
    return Distill(method="distill", parent="baseline", **given)


@pytest.fixture
def teacher():
    """A teacher of sharp answers."""
    return network(seed=5, sharp=8.0)


def store(made, folder, epochs):
    """A model as a stage leaves it."""
    folder.mkdir(parents=True)
    keras_files.save(made, folder)
    ModelCard(
        model=folder.name, parent=None, method="train", parameters=made.count_params(), epochs=epochs,
        total_epochs=epochs, layers=keras_files.layers(made), history={},
    ).save(folder / "card.json")  # fmt: skip


def ignore(_epoch, _metrics):
    pass


def distance(left, right, data):
    """Half the sum of the differences of their probabilities: from 0, agreement, to 1."""
    ours, theirs = (np.asarray(net(data.inputs["image"])) for net in (left, right))
    return np.abs(ours - theirs).sum(axis=1).mean() / 2


def test_a_student_of_a_teacher_comes_to_agree_with_it_whatever_the_labels(teacher):
    train, validation = examples(320), examples(60, seed=1)
    train.targets[TEACHER] = answers(teacher, train)
    student = network(filters=(4, 4), seed=1)
    before = distance(student, teacher, validation)
    result, history = distill.apply(student, params(), train, validation, ignore, teacher)
    assert result is student
    assert before > 0.3
    assert distance(result, teacher, validation) < 0.1
    assert len(history["loss"]) == 8


def test_a_student_of_another_family_has_new_weights(teacher, monkeypatch):
    monkeypatch.setattr(distill.dataset, "spec", lambda: SPEC)
    train = examples()
    train.targets[TEACHER] = answers(teacher, train)
    before = teacher.get_weights()
    chosen = params(epochs=1, model={"family": "dscnn", "filters": 2, "blocks": 1})
    result, _ = distill.apply(teacher, chosen, train, examples(20, seed=1), ignore, teacher)
    assert result.name == "dscnn"
    assert all(np.array_equal(a, b) for a, b in zip(before, teacher.get_weights(), strict=True))


def first(net):
    return next(layer.name for layer in net.layers if isinstance(layer, keras.layers.Conv2D))


def unexplained(student, teacher, data):
    """What a linear map of the student's first feature cannot say of the teacher's, by least squares."""
    x, y = (
        np.asarray(keras.Model(net.inputs, net.get_layer(first(net)).output)(data.inputs["image"]))
        for net in (student, teacher)
    )
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return np.mean((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2)


@pytest.mark.slow
def test_features_come_to_resemble_the_teachers_and_leave_no_trace(teacher):
    train, validation = examples(320), examples(40, seed=1)
    train.targets[TEACHER] = answers(teacher, train)
    left = {}
    for with_features in (False, True):
        student = network(filters=(6, 5), seed=1)
        shapes = [weight.shape for weight in student.get_weights()]
        pairs = {first(student): first(teacher)} if with_features else {}
        chosen = params(temperature=1.0, learning_rate=0.01, features=pairs)
        result, history = distill.apply(student, chosen, train, validation, ignore, teacher)
        left[with_features] = unexplained(result, teacher, validation)
    assert left[True] < 0.7 * left[False]
    assert result is student
    assert [weight.shape for weight in result.get_weights()] == shapes
    probabilities = np.asarray(result(validation.inputs["image"]))
    plain = -np.log(probabilities[np.arange(40), validation.targets[LABEL]]).mean()
    assert history["val_loss"][-1] == pytest.approx(plain, rel=1e-3)  # neither teacher nor features are in it


def test_the_features_loss_is_the_mean_square_behind_the_projection():
    student, teacher = network(filters=(3,), seed=1), network(filters=(6,), seed=2)
    name = student.layers[1].name
    theirs = first(teacher)
    model = distill.hinted(student, teacher, {name: theirs})
    image = examples(8).inputs["image"]
    model(image, training=True)
    kernel, bias = model.get_layer(f"{name}_projection").get_weights()
    ours = student.layers[1](image).numpy() @ kernel + bias
    expected = np.mean((ours - teacher.get_layer(theirs)(image).numpy()) ** 2)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-5)
    model(image, training=False)
    assert float(model.losses[0]) == 0
    own = {id(weight) for weight in teacher.weights}
    assert not own & {id(weight) for weight in model.trainable_weights}
    assert len(model.trainable_weights) == len(student.trainable_weights) + 2


def test_layers_that_cannot_be_paired_are_refused_by_name():
    student, teacher = network(filters=(3, 4), seed=1), network(filters=(6, 8), seed=2)
    first, second = (
        [layer.name for layer in net.layers if isinstance(layer, keras.layers.Conv2D)] for net in (student, teacher)
    )
    with pytest.raises(
        ModelError, match=rf"{first[0]} gives \[10, 10, 3\], the teacher's {second[1]} \[3, 3, 8\]; all but"
    ):
        distill.hinted(student, teacher, {first[0]: second[1]})
    with pytest.raises(ModelError, match=rf"the student cnn has no layer '{first[0]}x'; .*did you mean '{first[0]}'"):
        distill.hinted(student, teacher, {first[0] + "x": second[0]})
    with pytest.raises(ModelError, match=r"the teacher cnn has no layer 'missing'"):
        distill.hinted(student, teacher, {first[0]: "missing"})


@pytest.mark.parametrize(("weight", "epochs"), [(0.5, 4 + 2), (0.0, 2)], ids=["taught", "by labels alone"])
def test_parent_and_teacher_are_taken_from_where_they_lie(project, teacher, monkeypatch, weight, epochs):
    """A search keeps its models elsewhere than a run: a stale `out/models/teacher` must not teach."""
    store(teacher, project / "elsewhere" / "teacher", epochs=4)
    store(network(seed=9), project / "elsewhere" / "baseline", epochs=4)
    monkeypatch.setattr(distill.dataset, "spec", lambda: SPEC)
    monkeypatch.setattr(distill.dataset, "load", lambda _split: examples(20, seed=1))
    seen = []
    monkeypatch.setattr(distill, "hinted", lambda student, by, _pairs: seen.append(by) or student)
    chosen = params(teacher="teacher", teacher_weight=weight, epochs=2, features={"a": "b"})
    chosen = chosen.model_copy(update={"model": Cnn(family="cnn", filters=(4,), dense=(4,))})
    train = examples()
    make(project / "made", "made", chosen, (project / "elsewhere").joinpath, train, ignore)
    assert all(np.array_equal(a, b) for a, b in zip(seen[0].get_weights(), teacher.get_weights(), strict=True))
    assert TEACHER not in train.targets  # the caller's examples are as they were
    assert read(ModelCard, project / "made" / "card.json").total_epochs == epochs
