"""Every method works on the families of texts, tables, series and recommenders, or refuses a layer by its name."""

import numpy as np
import pytest

from tasks.compress import cluster, factorize, prune, slim
from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.members import FAMILIES
from tasks.params import Bow, Cluster, Conv1d, Encoder, Factorize, Mlp, Prune, Rnn, Slim
from tasks.params.models import TwoTower
from tasks.quantize import layers, litert
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
N, CLASSES, WORDS, STEPS = 24, 3, 40, 4
RNG = np.random.default_rng(0)
INPUTS = {  # by what they are: how the data describe them, and examples
    "text": ({"text": TensorSpec((STEPS,), "int32", WORDS)}, {"text": RNG.integers(0, WORDS, (N, STEPS))}),
    "series": ({"x": TensorSpec((STEPS, 2), "float32")}, {"x": RNG.normal(size=(N, STEPS, 2))}),
    "table": (
        {"numbers": TensorSpec((6,), "float32"), "categories": TensorSpec((2,), "int32", 9)},
        {"numbers": RNG.normal(size=(N, 6)), "categories": RNG.integers(0, 9, (N, 2))},
    ),
    "numbers": ({"numbers": TensorSpec((6,), "float32")}, {"numbers": RNG.normal(size=(N, 6))}),
    "ratings": (
        {"user": TensorSpec((1,), "int32", 12), "items": TensorSpec((CLASSES,), "int32", 30)},
        {"user": RNG.integers(0, 12, (N, 1)), "items": RNG.integers(0, 30, (N, CLASSES))},
    ),
}
BUILT = {
    "bow": (Bow(family="bow", embedding=16, dense=(16,)), "text"),
    "lstm": (Rnn(family="rnn", units=(16,), embedding=16, bidirectional=True), "text"),
    "gru": (Rnn(family="rnn", cell="gru", units=(16,), embedding=16, dense=(16,)), "text"),
    "lstm of a series": (Rnn(family="rnn", units=(16,), pool="last", dense=(16,)), "series"),
    "encoder": (Encoder(family="encoder", layers=1, width=16, heads=2), "text"),
    "mlp": (Mlp(family="mlp", hidden=(32, 16), embedding=8), "table"),
    "conv1d": (Conv1d(family="conv1d", filters=(16, 16), dense=(16,)), "numbers"),
    "temporal conv1d": (Conv1d(family="conv1d", filters=(16, 16), kernel=2, dense=(16,)), "series"),
    "two_tower": (TwoTower(family="two_tower", embedding=16, dense=(16, 16)), "ratings"),
}
HOW = {"parent": "baseline", "epochs": 1, "batch_size": 8}
METHODS = {
    "slim": (slim.apply, Slim(method="slim", keep=0.6, score="l1", budget="parameters", **HOW)),
    "prune": (prune.apply, Prune(method="prune", sparsity=0.5, **HOW)),
    "cluster": (cluster.apply, Cluster(method="cluster", clusters=8, **HOW)),
    "factorize": (factorize.apply, Factorize(method="factorize", energy=0.5, **HOW)),
}
LONG = ("lstm", "gru", "lstm of a series", "encoder")  # to convert


def data(name):
    inputs = {
        key: array.astype(np.int32 if array.dtype.kind == "i" else "f4") for key, array in INPUTS[name][1].items()
    }
    return Arrays(inputs, {"label": np.arange(N) % CLASSES})


def build(name):
    fit.reset(0)
    section, inputs = BUILT[name]
    spec = Spec(INPUTS[inputs][0], tuple(map(str, range(CLASSES))))
    return FAMILIES.load(section.family).build(section, spec), data(inputs)


def applied(method, model, examples):
    apply, params = METHODS[method]
    return apply(model, params, examples, examples, lambda _epoch, _metrics: None)[0]


def kernels(model):
    """The matrices of products, those of recurrent layers and of attention too."""
    return [
        weight.numpy()
        for layer in model.layers
        for weight in layer.trainable_weights
        if len(weight.shape) > 1 and "bias" not in weight.name and not isinstance(layer, keras.layers.Embedding)
    ]


def check(method, before, after, examples):
    assert kernels(after)
    if method in ("slim", "factorize"):
        assert after.count_params() < before.count_params()
    if method == "prune":
        assert np.mean(np.concatenate([kernel.ravel() for kernel in kernels(after)]) == 0) > 0.4
    if method == "cluster":
        assert max(np.unique(kernel).size for kernel in kernels(after)) <= 8
    answers = after(examples.inputs).numpy()
    assert answers.shape == (N, CLASSES)
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_works_on_a_family(method, name, disturb):
    model, examples = build(name)
    check(method, model, applied(method, model, examples), examples)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in BUILT])
def test_a_chain_of_methods_becomes_integers(name, disturb):
    model, examples = build(name)
    for method in ("slim", "prune", "cluster"):
        model = applied(method, model, examples)
    content = litert.convert(model, "int8", examples)
    assert not layers.floats(content)
    zeros = np.mean(np.concatenate([kernel.ravel() for kernel in kernels(model)]) == 0)
    assert zeros > 0.4, "clustering keeps what was pruned"


LEFT = {  # what has no factors, by its layer's name; test_text_families.py has those of texts
    "lstm of a series": ("forward_0", "LSTM"),
    "mlp": ("embedding", "Embedding"),
    "two_tower": ("user_embedding", "Embedding"),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_layer_that_a_method_does_nothing_to_is_refused_by_its_name(name):
    model, examples = build(name)
    layer, kind = LEFT[name]
    params = Factorize(method="factorize", parent="baseline", layers={layer: 2}, epochs=0)
    with pytest.raises(ModelError, match=f"'{layer}' is an? {kind}, to which it does nothing"):
        factorize.apply(model, params, examples, examples, lambda *_: None)
    params = Slim(method="slim", parent="baseline", widths={"no such layer": 4}, epochs=0)
    with pytest.raises(ModelError, match="no such layer"):
        slim.apply(model, params, examples, examples, lambda *_: None)
