"""Which layer an operator is booked under, by names as people give them: the longest known one that stands there."""

from pathlib import Path

import pytest

from tasks.formats import tflite
from tasks.quantize import layers

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "float32.tflite"


def called(convolution, dense):
    """The golden network with its two layers called otherwise."""
    model = tflite.objects(GOLDEN.read_bytes())
    for tensor in model.subgraphs[0].tensors:
        name = tensor.name.decode().replace("model/conv2d/", f"model/{convolution}/")
        tensor.name = name.replace("model/scores/", f"model/{dense}/").encode()
    return tflite.pack(model)


@pytest.mark.parametrize(
    ("convolution", "dense"),
    [
        ("conv", "fc"),
        ("block1/conv", "block1/conv.2"),
        ("block1/conv", "fc/1"),
        ("block1", "block1/conv"),
        ("block1/conv", "conv"),
        ("a/b/c/d", "b"),
        ("expanded_conv/squeeze_excite/Conv", "expanded_conv/squeeze_excite/Conv_1"),
    ],
)
def test_a_layer_is_found_by_its_whole_name(convolution, dense):
    known = {convolution: True, dense: True, "flatten": False}
    operators = layers.read(called(convolution, dense), known)
    found = {operator.kind: operator.layers for operator in operators}
    assert found["CONV_2D"] == (convolution,)
    assert found["FULLY_CONNECTED"] == (dense,)
    assert found["RESHAPE"] == ("flatten",)
    for name, kind in ((convolution, "CONV_2D"), (dense, "FULLY_CONNECTED")):
        assert [operator.kind for operator in layers.of(operators, name, "exclude")] == [kind]
    assert set(layers.owners(operators, weighted=True)) == {convolution, dense}


@pytest.mark.parametrize("within", ["conv2d", "scores", "flatten"])
def test_a_model_may_be_called_as_one_of_its_layers(within):
    model = tflite.objects(GOLDEN.read_bytes())
    for tensor in model.subgraphs[0].tensors:
        tensor.name = tensor.name.replace(b"model/", f"model/{within}/".encode())
    known = {"conv2d": True, "scores": True, "flatten": False}
    operators = layers.read(tflite.pack(model), known, within=within)
    found = {operator.kind: operator.layers for operator in operators}
    assert {found[kind] for kind in ("CONV_2D", "FULLY_CONNECTED", "RESHAPE")} == {(name,) for name in known}
    assert set(layers.owners(operators, weighted=True)) == {"conv2d", "scores"}
