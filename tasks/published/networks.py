"""The networks that figures are published of, by their products alone: no weights, no training stack, microseconds.

Each is written down as its paper or its reference code has it, with padding "same" throughout but where it says
otherwise. A published figure belongs to a file of one's own where the products of both are the same, shape by shape.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache, partial

from tasks.formats.cost import Product
from tasks.published.layers import Stack

Structure = tuple[Product, ...]  # sorted: runtimes and converters order branches as they like
SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# expansion, filters, blocks, stride of the first: table 2 of Sandler et al. (2018)
INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# kernel, expanded channels, filters, squeeze and excite, stride: tables 1 and 2 of Howard et al. (2019)
LARGE = (
    *(
        (3, 16, 16, 0, 1),
        (3, 64, 24, 0, 2),
        (3, 72, 24, 0, 1),
        (5, 72, 40, 1, 2),
        (5, 120, 40, 1, 1),
        (5, 120, 40, 1, 1),
    ),
    *((3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1)),
    *((3, 672, 112, 1, 1), (5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1)),
)
SMALL = (
    *(
        (3, 16, 16, 1, 2),
        (3, 72, 24, 0, 2),
        (3, 88, 24, 0, 1),
        (5, 96, 40, 1, 2),
        (5, 240, 40, 1, 1),
        (5, 240, 40, 1, 1),
    ),
    *((5, 120, 48, 1, 1), (5, 144, 48, 1, 1), (5, 288, 96, 1, 2), (5, 576, 96, 1, 1), (5, 576, 96, 1, 1)),
)
# kernel, expansion, filters, blocks, stride of the first: table 1 of Tan and Le (2019)
EFFICIENT = (
    *((3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1), (5, 6, 192, 4, 2)),
    (3, 6, 320, 1, 1),
)
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))  # squeezed, expanded


def resnet_small(blocks: int, classes: int = 10) -> Stack:
    """Of three stacks on 32 x 32 pixels, 1x1 convolutions as shortcuts: He et al. (2015), 4.2; MLPerf Tiny (2021)."""
    net = Stack(32, 32, 3).convolution(16, 3)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        for block in range(blocks):
            net.residual(filters, stride if not block else 1)
    return net.mean().dense(classes)


def resnet(blocks: tuple[int, ...], *, bottleneck: bool, side: int = 224) -> Stack:
    """Of four stacks on large images: He et al. (2015), table 1; a bottleneck's stride is in its first convolution."""
    net = Stack(side, side, 3).convolution(64, 7, 2).pool(2)
    for stack, count in enumerate(blocks):
        for block in range(count):
            net.residual(64 << stack, 2 if stack and not block else 1, bottleneck=bottleneck)
    return net.mean().dense(1000)


def dscnn() -> Stack:
    """Keyword spotting: Zhang et al. (2017), as MLPerf Tiny has it."""
    net = Stack(49, 10, 1).convolution(64, (10, 4), 2)
    for _ in range(4):
        net.depthwise(3).convolution(64, 1)
    return net.mean().dense(12)


def autoencoder() -> Stack:
    """Anomaly detection of MLPerf Tiny: ten dense layers."""
    net = Stack(1, 1, 640)
    for units in (*[128] * 4, 8, *[128] * 4, 640):
        net.dense(units)
    return net


def mobilenet_v1(width: float, side: int, classes: int = 1000) -> Stack:
    """Howard et al. (2017)."""
    net = Stack(side, side, 3).convolution(int(32 * width), 3, 2)
    for filters, stride in SEPARABLE:
        net.depthwise(3, stride).convolution(int(filters * width), 1)
    return net.mean().dense(classes)


def mobilenet_v2(width: float, side: int, classes: int = 1000) -> Stack:
    """Sandler et al. (2018)."""
    net = Stack(side, side, 3).convolution(divisible(32 * width), 3, 2)
    for expansion, filters, blocks, stride in INVERTED:
        for block in range(blocks):
            net.inverted(3, expansion * net.channels, divisible(filters * width), stride if not block else 1)
    return net.convolution(divisible(1280 * max(1.0, width)), 1).mean().dense(classes)


def mobilenet_v3(rows: tuple[tuple[int, ...], ...], last: int, head: int) -> Stack:
    """Howard et al. (2019), at 224 pixels."""
    net = Stack(224, 224, 3).convolution(16, 3, 2)
    for kernel, expanded, filters, squeezed, stride in rows:
        net.inverted(kernel, expanded, filters, stride, divisible(expanded / 4) if squeezed else 0)
    return net.convolution(last, 1).mean().convolution(head, 1).convolution(1000, 1)


def efficientnet_b0() -> Stack:
    """Tan and Le (2019), at 224 pixels."""
    net = Stack(224, 224, 3).convolution(32, 3, 2)
    for kernel, expansion, filters, blocks, stride in EFFICIENT:
        for block in range(blocks):
            squeezed = net.channels // 4
            net.inverted(kernel, expansion * net.channels, filters, stride if not block else 1, squeezed)
    return net.convolution(1280, 1).mean().dense(1000)


def squeezenet() -> Stack:
    """Version 1.1 of Iandola et al. (2016), whose first convolution and pools are not padded."""
    net = Stack(224, 224, 3).convolution(64, 3, 2, padded=False).pool(2, kernel=3)
    for place, (squeezed, expanded) in enumerate(FIRES):
        net.fire(squeezed, expanded)
        if place in (1, 3):
            net.pool(2, kernel=3)
    return net.convolution(1000, 1)


def divisible(channels: float, divisor: int = 8) -> int:
    """The multiple nearest to a number of channels, but never under nine tenths of it, as MobileNets round."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


NETWORKS: dict[str, Callable[[], Stack]] = {
    "resnet8": partial(resnet_small, 1),
    "resnet32": partial(resnet_small, 5),
    "dscnn": dscnn,
    "autoencoder": autoencoder,
    "mobilenet_v1-0.25-96": partial(mobilenet_v1, 0.25, 96, 2),
    "mobilenet_v1-0.25-224": partial(mobilenet_v1, 0.25, 224),
    "mobilenet_v1-0.5-224": partial(mobilenet_v1, 0.5, 224),
    "mobilenet_v1-1.0-224": partial(mobilenet_v1, 1.0, 224),
    "mobilenet_v2-0.35-128": partial(mobilenet_v2, 0.35, 128),
    "mobilenet_v2-0.35-224": partial(mobilenet_v2, 0.35, 224),
    "mobilenet_v2-1.0-224": partial(mobilenet_v2, 1.0, 224),
    "mobilenet_v2-1.0-320": partial(mobilenet_v2, 1.0, 320),
    "mobilenet_v2-1.4-224": partial(mobilenet_v2, 1.4, 224),
    "mobilenet_v3-small-224": partial(mobilenet_v3, SMALL, 576, 1024),
    "mobilenet_v3-large-224": partial(mobilenet_v3, LARGE, 960, 1280),
    "resnet18-224": partial(resnet, (2, 2, 2, 2), bottleneck=False),
    "resnet50-224": partial(resnet, (3, 4, 6, 3), bottleneck=True),
    "resnet50-299": partial(resnet, (3, 4, 6, 3), bottleneck=True, side=299),
    "squeezenet-224": squeezenet,
    "efficientnet-b0-224": efficientnet_b0,
}


@cache
def structure(name: str) -> Structure:
    """The products of a network, sorted."""
    return normal(NETWORKS[name]().products)


def normal(products: Iterable[Product]) -> Structure:
    """Products as they compare, in whatever order and as whichever operator a file has them.

    A dense layer is a 1x1 convolution of one place; converters write the one as the other.
    """
    return tuple(sorted(map(_plain, products)))


def _plain(product: Product) -> Product:
    if product.kind == "FULLY_CONNECTED" and math.prod(product.output[:-1]) == 1:
        outputs, inputs = product.weights
        return Product("CONV_2D", (outputs, 1, 1, inputs), (1, 1, 1, outputs))
    return product


def known(products: Iterable[Product]) -> str | None:
    """The name of the network that has just these products; None where it is none of them."""
    asked = normal(products)
    return next((name for name in NETWORKS if structure(name) == asked), None)
