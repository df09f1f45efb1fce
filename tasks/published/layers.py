"""A network written down layer by layer, to count its products: shapes of weights and outputs as `.tflite` has them."""

from typing import Self

from tasks.formats.cost import Product


class Stack:
    """Layers one upon the other over a feature map, batch 1; what has no products (pooling, sums) only moves shapes."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        """An input of so many places and channels."""
        self.height, self.width, self.channels = height, width, channels
        self.products: list[Product] = []

    def convolution(self, filters: int, kernel: int | tuple[int, int], stride: int = 1, *, padded: bool = True) -> Self:
        """Weights [filters, height, width, channels]."""
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights = (filters, *sides, self.channels)
        self.channels = filters
        return self._moved(sides, stride, padded=padded)._note("CONV_2D", weights)

    def depthwise(self, kernel: int, stride: int = 1) -> Self:
        """Weights [1, height, width, channels]."""
        return self._moved((kernel, kernel), stride)._note("DEPTHWISE_CONV_2D", (1, kernel, kernel, self.channels))

    def dense(self, units: int) -> Self:
        """Weights [units, inputs], of all that is there."""
        weights = (units, self.height * self.width * self.channels)
        self.height, self.width, self.channels = 1, 1, units
        self.products.append(Product("FULLY_CONNECTED", weights, (1, units)))
        return self

    def mean(self) -> Self:
        """Of all places."""
        self.height = self.width = 1
        return self

    def pool(self, stride: int, kernel: int | None = None) -> Self:
        """Padded; not where a kernel is given, of which then only whole ones count, the last one rounded up."""
        if kernel is None:
            return self._moved((stride, stride), stride)
        self.height, self.width = (-(-(side - kernel) // stride) + 1 for side in (self.height, self.width))
        return self

    def residual(self, filters: int, stride: int, *, bottleneck: bool = False) -> Self:
        """Two convolutions of 3x3, or three of which the outer ones are 1x1; a 1x1 one where the shape changes."""
        before = (self.height, self.width, self.channels)
        if bottleneck:
            self.convolution(filters, 1, stride).convolution(filters, 3).convolution(4 * filters, 1)
        else:
            self.convolution(filters, 3, stride).convolution(filters, 3)
        if before != (self.height, self.width, self.channels):
            self.products += Stack(*before).convolution(self.channels, 1, stride).products
        return self

    def inverted(self, kernel: int, expanded: int, filters: int, stride: int, squeezed: int = 0) -> Self:
        """A 1x1 convolution that widens (where it does), a depthwise one, its channels weighted, a 1x1 that narrows."""
        if expanded > self.channels:
            self.convolution(expanded, 1)
        self.depthwise(kernel, stride)
        if squeezed:
            self.products += Stack(1, 1, self.channels).convolution(squeezed, 1).convolution(expanded, 1).products
        return self.convolution(filters, 1)

    def fire(self, squeezed: int, expanded: int) -> Self:
        """A 1x1 convolution, and side by side upon it as many of 1x1 as of 3x3: Iandola et al. (2016)."""
        self.convolution(squeezed, 1)
        self.products += Stack(self.height, self.width, self.channels).convolution(expanded, 1).products
        self.convolution(expanded, 3)
        self.channels = 2 * expanded
        return self

    def _moved(self, sides: tuple[int, int], stride: int, *, padded: bool = True) -> Self:
        lost = (0, 0) if padded else (sides[0] - 1, sides[1] - 1)
        self.height, self.width = (
            -(-(side - less) // stride) for side, less in zip((self.height, self.width), lost, strict=True)
        )
        return self

    def _note(self, kind: str, weights: tuple[int, ...]) -> Self:
        self.products.append(Product(kind, weights, (1, self.height, self.width, self.channels)))
        return self
