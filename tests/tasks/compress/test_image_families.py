"""Every method on every family of images, with augmentation: it works, or refuses a layer by its name."""

import numpy as np
import pytest

from tasks.compress import cluster, factorize, prune, slim
from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.members import FAMILIES
from tasks.models import mobilenet_v1, mobilenet_v2
from tasks.params import Cluster, Dscnn, Factorize, MobilenetV1, MobilenetV2, Prune, Resnet, Slim
from tasks.params.training import Augment
from tasks.quantize import layers, litert
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
SIDE, CLASSES = 16, 3
BUILT = {
    "resnet": Resnet(family="resnet", filters=(4, 8, 8)),
    "dscnn": Dscnn(family="dscnn", filters=8, blocks=2),
    "mobilenet_v1": MobilenetV1(family="mobilenet_v1", width=0.1),
    "mobilenet_v2": MobilenetV2(family="mobilenet_v2", width=0.1),
}
HOW = {
    "parent": "baseline", "epochs": 1, "batch_size": 16, "optimizer": "momentum", "learning_rate": 0.01,
    "weight_decay": 0.001, "augment": Augment(flip="horizontal", shift=0.1, rotate=10, cutout=0.2),
}  # fmt: skip
METHODS = {
    "slim": (slim.apply, Slim(method="slim", keep=0.6, **HOW)),
    "prune": (prune.apply, Prune(method="prune", sparsity=0.5, **HOW)),
    "cluster": (cluster.apply, Cluster(method="cluster", clusters=8, **HOW)),
    "factorize": (factorize.apply, Factorize(method="factorize", energy=0.7, **HOW)),
}
RNG = np.random.default_rng(0)
LABEL = np.arange(48) % CLASSES
IMAGES = RNG.normal(size=(48, SIDE, SIDE, 3)).astype(np.float32)
IMAGES[..., 0] += LABEL[:, None, None]
DATA = Arrays({"image": IMAGES}, {"label": LABEL})


def build(family, monkeypatch):
    monkeypatch.setattr(mobilenet_v1, "BLOCKS", mobilenet_v1.BLOCKS[:2])  # deep ones repeat the same kinds of layers
    monkeypatch.setattr(mobilenet_v2, "STACKS", mobilenet_v2.STACKS[:2])
    fit.reset(0)
    spec = Spec({"image": TensorSpec((SIDE, SIDE, 3), "float32")}, tuple(map(str, range(CLASSES))))
    return FAMILIES.load(family).build(BUILT[family], spec)


def applied(method, model):
    apply, params = METHODS[method]
    return apply(model, params, DATA, DATA, lambda _epoch, _metrics: None)[0]


def kernels(model):
    """The largest weight of each layer whose weights methods may change."""
    kinds = keras.layers.Conv2D, keras.layers.Dense
    found = [layer for layer in model.layers if isinstance(layer, kinds) and not hasattr(layer, "depthwise_kernel")]
    return [layer.kernel.numpy() for layer in found]


def check(method, before, after):
    if method == "slim":
        assert after.count_params() < before
    if method == "prune":
        assert np.mean(np.concatenate([kernel.ravel() for kernel in kernels(after)]) == 0) > 0.4
    if method == "cluster":
        assert max(np.unique(kernel).size for kernel in kernels(after)) <= 8
    answers = after.predict(IMAGES, verbose=0)
    assert answers.shape == (len(LABEL), CLASSES)
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)


def integers(model):
    content = litert.convert(model, "int8", DATA)
    assert not layers.floats(content)
    assert {tensor.dtype for tensor in litert.inspect(content).inputs} == {"int8"}


@pytest.mark.slow
def test_a_chain_of_methods_on_a_residual_network_becomes_integers(monkeypatch):
    model = build("resnet", monkeypatch)
    for method in ("slim", "prune", "cluster"):
        before = model.count_params()
        model = applied(method, model)
        check(method, before, model)
    integers(model)


@pytest.mark.slow
@pytest.mark.parametrize("family", BUILT)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_works_on_a_family_or_refuses_a_layer_by_its_name(method, family, monkeypatch):
    model = build(family, monkeypatch)
    before, names = model.count_params(), [layer.name for layer in model.layers]
    try:
        after = applied(method, model)
    except ModelError as error:
        assert any(name in str(error) for name in names)  # noqa: PT017 - either is right
        return
    check(method, before, after)
    integers(after)
