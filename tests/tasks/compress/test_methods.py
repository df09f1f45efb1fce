"""Methods in a chain on a small convolutional network, and what later steps keep of them."""

import numpy as np
import pytest

from tasks import records
from tasks.compress import cluster, distill, finetune, prune
from tasks.compress.model import make
from tasks.compress.preserves import preserved
from tasks.examples import Arrays
from tasks.examples.dataset import TEACHER, Spec, TensorSpec
from tasks.models import cnn
from tasks.params import Cluster, Cnn, Distill, Finetune, Prune
from tasks.training import fit, keras_files

pytest.importorskip("tf_keras", reason="the training stack is not installed")


def examples(count=96):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, count)
    image = rng.random((count, 12, 12, 1)).astype(np.float32)
    for i, k in enumerate(label):
        image[i, 3 * k : 3 * k + 3] += 1
    return Arrays({"image": image}, {"label": label})


@pytest.fixture(scope="module")
def data():
    return examples()


@pytest.fixture
def model():
    fit.reset(0)
    spec = Spec({"image": TensorSpec((12, 12, 1), "float32")}, ("a", "b", "c", "d"))
    return cnn.build(Cnn(family="cnn", filters=(8, 16), dense=(24,)), spec)


def ignore(_epoch, _metrics):
    pass


def kernels(model):
    return [max(layer.get_weights(), key=lambda w: w.size) for layer in model.layers if layer.weights]


def test_cluster_shares_values_and_keeps_the_zeros_of_its_parent(model, data):
    pruning = Prune(method="prune", parent="baseline", sparsity=0.5, epochs=2, batch_size=16)
    pruned, _ = prune.apply(model, pruning, data, data, ignore)
    zeros = [kernel == 0 for kernel in kernels(pruned)]
    params = Cluster(method="cluster", parent="pruned", clusters=8, epochs=1, batch_size=16)
    clustered, _ = cluster.apply(pruned, params, data, data, ignore)
    for kernel, were_zero in zip(kernels(clustered), zeros, strict=True):
        assert len(np.unique(kernel)) <= 8
        assert np.all(kernel[were_zero] == 0)
    assert preserved(clustered) == ("sparsity", "clusters")


def test_finetune_only_trains(model, data):
    before = kernels(model)
    params = Finetune(method="finetune", parent="baseline", epochs=2, batch_size=16)
    tuned, history = finetune.apply(model, params, data, data, ignore)
    assert history["loss"][-1] < history["loss"][0]
    assert not np.array_equal(before[0], kernels(tuned)[0])
    assert preserved(tuned) == ()


def test_what_has_zeros_is_to_keep_them_though_the_largest_layer_has_none(model, data):
    largest = max((layer for layer in model.layers if layer.weights), key=lambda layer: layer.count_params())
    pruning = Prune(method="prune", parent="b", sparsity=0.6, epochs=1, batch_size=16, layers={largest.name: 0})
    pruned, _ = prune.apply(model, pruning, data, data, ignore)
    assert np.all(pruned.get_layer(largest.name).kernel.numpy() != 0)
    assert preserved(pruned) == ("sparsity",)
    sharing = Cluster(method="cluster", parent="b", clusters=8, epochs=1, batch_size=16)
    shared, _ = cluster.apply(model, sharing, data, data, ignore)
    kernel = shared.get_layer(largest.name).kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    assert preserved(shared) == ("clusters",)


@pytest.mark.parametrize(
    ("was", "now", "told"), [("balanced", "none", 1), ("balanced", "balanced", 0), ("none", "none", 0)]
)
def test_classes_that_no_longer_count_alike_are_told(project, model, data, monkeypatch, caplog, was, now, told):
    (project / "baseline").mkdir()
    keras_files.save(model, project / "baseline")
    records.ModelCard(
        model="baseline", parent=None, method="train", parameters=1, epochs=1, total_epochs=1,
        layers=keras_files.layers(model), history={}, params={"train": {"class_weights": was}},
    ).save(project / "baseline" / "card.json")  # fmt: skip
    monkeypatch.setattr("tasks.compress.model.dataset.load", lambda _split: data)
    entry = Finetune(method="finetune", parent="baseline", epochs=1, class_weights=now)
    make(project / "more", "more", entry, project.joinpath, data, ignore)
    assert caplog.text.count("compress.more: its parent baseline was trained with class_weights: balanced, and") == told
    assert records.read(records.ModelCard, project / "more" / "card.json").class_weights == now


def as_student(model, data, params):
    taught = Arrays(data.inputs, {**data.targets, TEACHER: np.full((len(data), 4), 0.25, np.float32)})
    given = Distill(**{**params.model_dump(), "method": "distill", "teacher": "baseline", "teacher_weight": 0.5})
    return distill.apply(model, given, taught, data, ignore, model)


@pytest.mark.parametrize("train", [finetune.apply, as_student], ids=["finetune", "distill"])
def test_further_training_keeps_what_was_pruned_and_only_that(model, data, train):
    pruning = Prune(method="prune", parent="baseline", sparsity=0.6, epochs=1, batch_size=16, layers={"conv2d": 0})
    pruned, _ = prune.apply(model, pruning, data, data, ignore)
    pruned.get_layer("conv2d").kernel[0, 0, 0, 0].assign(0.0)  # which nobody pruned
    before = kernels(pruned)
    params = Finetune(method="finetune", parent="pruned", epochs=1, batch_size=16)
    given = (pruned, data, params) if train is as_student else (pruned, params, data, data, ignore)
    after = kernels(train(*given)[0])
    assert all(np.array_equal(x == 0, y == 0) for x, y in zip(before[1:], after[1:], strict=True))
    assert all((x != y).any() for x, y in zip(before, after, strict=True))
    assert np.all(after[0] != 0)


def test_a_student_of_the_labels_alone_is_finetuned(data):
    results = []
    for method in ("finetune", "distill"):
        fit.reset(0)
        spec = Spec({"image": TensorSpec((12, 12, 1), "float32")}, ("a", "b", "c", "d"))
        made = cnn.build(Cnn(family="cnn", filters=(4,), dense=(8,)), spec)
        params = Finetune(method="finetune", parent="baseline", epochs=1, batch_size=16)
        if method == "finetune":
            results.append(finetune.apply(made, params, data, data, ignore)[0].get_weights())
            continue
        taught = Arrays(data.inputs, {**data.targets, TEACHER: np.eye(4, dtype=np.float32)[np.zeros(96, int)]})
        given = {**params.model_dump(), "method": "distill", "teacher": "baseline", "teacher_weight": 0}
        results.append(distill.apply(made, Distill(**given), taught, data, ignore, made)[0].get_weights())
    assert all(np.allclose(x, y, atol=1e-5) for x, y in zip(*results, strict=True))
