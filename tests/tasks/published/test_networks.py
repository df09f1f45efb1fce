"""The networks that figures are published of: as many weights and products as their authors say, found by structure."""

import math
import random
from pathlib import Path

import pytest

from tasks.formats import cost
from tasks.formats.cost import Product
from tasks.published import networks
from tests.networks import written

# weights, biases and what scales and shifts a channel: torchvision's models without their moving statistics, and of
# MobileNetV1 the 4,253,864 of keras.applications less its 21,888
PARAMETERS = {
    "mobilenet_v1-1.0-224": 4_231_976,
    "mobilenet_v2-1.0-224": 3_504_872,
    "mobilenet_v3-small-224": 2_542_856,
    "mobilenet_v3-large-224": 5_483_032,
    "resnet18-224": 11_689_512,
    "resnet50-224": 25_557_032,
    "squeezenet-224": 1_235_496,
    "efficientnet-b0-224": 5_288_548,
}
# of the same papers and of MLPerf Tiny's, to the digits that they print
MILLIONS_OF_PRODUCTS = {
    "resnet8": "12.5",
    "dscnn": "2.66",
    "mobilenet_v1-0.25-96": "7.49",
    "autoencoder": "0.264",
    "mobilenet_v1-1.0-224": "569",
    "mobilenet_v1-0.5-224": "149",
    "mobilenet_v2-1.0-224": "301",
    "mobilenet_v2-1.4-224": "582",
    "mobilenet_v3-large-224": "217",
    "mobilenet_v3-small-224": "57",
    "resnet18-224": "1814",
    "resnet50-224": "3858",
    "squeezenet-224": "349",
    "efficientnet-b0-224": "386",
}


def parameters(name: str) -> int:
    """Biases of what has no normalisation behind it (one place: heads; all of SqueezeNet), else two numbers."""
    found = 0
    for product in networks.structure(name):
        channels, places = product.output[-1], math.prod(product.output[:-1])
        biased = places == 1 or name.startswith("squeezenet")
        found += math.prod(product.weights) + (channels if biased else 2 * channels)
    return found


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_has_as_many_parameters_as_published(name: str) -> None:
    assert parameters(name) == PARAMETERS[name]


@pytest.mark.parametrize("name", MILLIONS_OF_PRODUCTS)
def test_a_network_has_as_many_products_as_published(name: str) -> None:
    millions = sum(product.macs for product in networks.structure(name)) / 1e6
    digits = len(MILLIONS_OF_PRODUCTS[name].partition(".")[2])
    assert f"{millions:.{digits}f}" == MILLIONS_OF_PRODUCTS[name]


def test_products_by_closed_form() -> None:
    """The ten layers of the dense network, and one separable block, by hand."""
    assert sum(p.macs for p in networks.structure("autoencoder")) == 2 * (640 * 128 + 3 * 128 * 128 + 128 * 8)
    dscnn = [p.macs for p in networks.NETWORKS["dscnn"]().products]
    assert dscnn[:3] == [25 * 5 * 64 * 40, 25 * 5 * 64 * 9, 25 * 5 * 64 * 64]
    assert dscnn[-1] == 64 * 12


def test_no_two_networks_are_taken_for_each_other() -> None:
    assert len({networks.structure(name) for name in networks.NETWORKS}) == len(networks.NETWORKS)
    assert all(networks.known(make().products) == name for name, make in networks.NETWORKS.items())


@pytest.mark.parametrize("name", ["resnet8", "autoencoder", "dscnn"])
def test_a_file_is_known_by_its_products_in_whatever_order(tmp_path: Path, name: str) -> None:
    products = networks.NETWORKS[name]().products
    random.Random(name).shuffle(products)
    read = cost.read(written(tmp_path / "some-other-name.tflite", products))
    assert [operator.product for operator in read] == products
    assert [operator.macs for operator in read] == [product.macs for product in products]
    assert networks.known(operator.product for operator in read if operator.product) == name


def test_one_channel_more_is_another_network(tmp_path: Path) -> None:
    products = networks.NETWORKS["dscnn"]().products
    last = products[-1]
    products[-1] = Product(last.kind, (13, *last.weights[1:]), (1, 13))
    read = cost.read(written(tmp_path / "dscnn.tflite", products))
    assert networks.known(operator.product for operator in read if operator.product) is None


def test_a_dense_layer_is_known_as_the_convolution_that_converters_may_write() -> None:
    products = networks.NETWORKS["dscnn"]().products
    units, inputs = products[-1].weights
    products[-1] = Product("CONV_2D", (units, 1, 1, inputs), (1, 1, 1, units))
    assert networks.known(products) == "dscnn"
