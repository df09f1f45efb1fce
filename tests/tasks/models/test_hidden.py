"""The keys of the layers between input and answer: what is asked for is built, and nothing else by default."""

import numpy as np
import pytest

from tasks.examples.dataset import Spec, TensorSpec
from tasks.members import FAMILIES
from tasks.training import fit
from tests import least

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
CLASSES = ("a", "b", "c")
BUILT = {  # by the family: sizes, and the input
    "cnn": ({"filters": [32], "dense": [64], "batch_norm": True}, {"image": TensorSpec((8, 8, 3), "float32")}),
    "bow": ({"embedding": 64, "dense": [64]}, {"text": TensorSpec((4,), "int32", 50)}),
    "rnn": ({"embedding": 64, "units": [32], "dense": [64]}, {"text": TensorSpec((4,), "int32", 50)}),
    "encoder": ({"layers": 1, "width": 64}, {"text": TensorSpec((4,), "int32", 50)}),
    "mlp": ({"hidden": [64, 64]}, {"x": TensorSpec((64,), "float32")}),
    "conv1d": ({"filters": [32], "dense": [64]}, {"x": TensorSpec((8, 16), "float32")}),
    "two_tower": (
        {"embedding": 32, "dense": [64, 64]},
        {"user": TensorSpec((1,), "int32", 9), "items": TensorSpec((3,), "int32", 9)},
    ),
}


def build(family, **keys):
    sizes, inputs = BUILT[family]
    member = FAMILIES.load(family)
    fit.reset(0)
    return member.build(member.schema.model_validate({"family": family} | sizes | keys), Spec(inputs, CLASSES))


def hidden(model):
    """The kernels [inputs, ..., outputs] between embeddings and answer, flat to two axes, by their layer's name."""
    found = {}
    for layer in model.layers[:-1]:
        for weight in layer.trainable_weights:
            recurrent = "recurrent" in weight.name
            if "kernel" in weight.name and not recurrent and weight.shape[-1] not in (1, len(CLASSES)):
                found[weight.name] = weight.numpy()
    return found


@pytest.mark.parametrize("family", BUILT)
def test_defaults_are_what_they_were(family):
    plain, told = build(family), build(family, activation="relu", initializer="glorot_uniform", dropout=0.0)
    assert plain.get_config() == told.get_config()
    assert all(np.array_equal(x, y) for x, y in zip(plain.get_weights(), told.get_weights(), strict=True))
    for name, kernel in hidden(plain).items():  # uniform: nothing beyond the limit, and much near to it
        assert np.abs(kernel).max() < 1.8 * kernel.std(), name


@pytest.mark.parametrize("family", BUILT)
def test_kernels_begin_as_what_is_told(family):
    made = hidden(build(family, initializer="orthogonal"))
    assert made
    for name, kernel in made.items():
        if kernel.ndim == 2 and "attention" not in name:
            flat = kernel if len(kernel) <= len(kernel.T) else kernel.T
            assert np.allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-4), name


@pytest.mark.parametrize("family", BUILT)
def test_hidden_layers_have_the_activation_that_is_told_and_dropout(family):
    model = build(family, activation="tanh", dropout=0.25)
    found = [getattr(layer, "activation", None) for layer in model.layers]
    assert keras.activations.relu not in found
    assert not any(isinstance(layer, keras.layers.ReLU) for layer in model.layers)
    assert keras.activations.tanh in found
    assert {layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)} == {0.25}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("activation", "rleu", "relu"), ("initializer", "he", "he_normal"), ("dropout", 1.0, "less than 1")],
)
def test_other_values_are_refused_with_what_is_allowed(key, value, message):
    for family in BUILT:
        with pytest.raises(ValueError, match=message):
            least.params({"source": "digits"}, model={"family": family, key: value})
