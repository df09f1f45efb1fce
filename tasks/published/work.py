"""What products take, by the kinds of work whose cost differs: numbers that a rate each turns into cycles or time."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.formats.cost import Product

Vector = NDArray[np.float64]
FEW = 3  # input channels up to which a convolution is a first layer: nothing to run along
KINDS = ("convolution", "pointwise", "dense", "first", "single", "depthwise", "outputs", "weights")


def work(products: Iterable[Product]) -> Vector:
    """How much of each of `KINDS`: products of six kinds of layers, numbers that they write, weights that they read.

    A layer is "single" where its input has one channel, "first" where it has two or three.
    """
    found = dict.fromkeys(KINDS, 0)
    for product in products:
        found[_kind(product)] += product.macs
        found["outputs"] += math.prod(product.output)
        found["weights"] += math.prod(product.weights)
    return np.array(list(found.values()), np.float64)


def _kind(product: Product) -> str:
    if product.depthwise:
        return "depthwise"
    if product.kind == "FULLY_CONNECTED":
        return "dense"
    _, height, width, channels = product.weights
    if channels <= FEW:
        return "single" if channels == 1 else "first"
    if math.prod(product.output[:-1]) == 1:
        return "dense"
    return "pointwise" if height == width == 1 else "convolution"
