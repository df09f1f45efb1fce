"""The ranges of activations for integer schemes, from what they are on calibration examples.

An activation is counted into buckets by its sign, exponent and first seven bits of mantissa (bfloat16's bits): no
range need be known beforehand, one pass over the examples is enough, and an outlier costs the others no resolution.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ConversionError
from tasks.formats import tflite

if TYPE_CHECKING:
    from tasks.examples import Arrays

Method = Literal["min-max", "percentile", "mse"]
Range = tuple[float, float]
BUCKETS = 1 << 16
CLIPS = 2.0 ** -(np.arange(192) / 16)  # of the largest value: down to a four-thousandth, in steps of 4 %


class Histogram:
    """How often which values occurred, float32, each known to 0.4 %; the smallest and the largest are exact."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self.low, self.high = np.inf, -np.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Count `values`, of any shape; none of them may be infinite or no number."""
        flat = np.ascontiguousarray(values, np.float32).ravel() + np.float32(0)  # which makes -0 a 0
        if flat.size:
            self.counts += np.bincount(flat.view(np.uint32) >> 16, minlength=BUCKETS)
            self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The middles of the buckets that hold something, ascending, and how many values each holds."""
        keys = np.flatnonzero(self.counts)
        middles = ((keys.astype(np.uint32) << 16) | 0x8000).view(np.float32).astype(np.float64)
        middles[keys == 0] = 0.0  # zeros are exact, and many
        middles = np.clip(middles, self.low, self.high)
        order = np.argsort(middles, kind="stable")
        return middles[order], self.counts[keys[order]]


def find(content: bytes, examples: "Arrays", method: Method, percentile: float, bits: int) -> dict[str, Range]:
    """The range of every float activation of a LiteRT file, by its tensor's name.

    Args:
        content: the float32 file.
        examples: model-ready calibration examples.
        method: `min-max`: all that occurred; `percentile`: so many percent of it; `mse`: what `least_error` finds.
        percentile: of the values, that the range of that method holds.
        bits: of the integers that it is for, 8 or 16.

    Raises:
        ConversionError: an activation is not finite, or there are no examples.
    """
    found: dict[str, Histogram] = {}
    for name, values in _activations(content, examples):
        if not np.isfinite(values).all():
            raise ConversionError(f"calibration: {name} is not finite on an example, so it has no range")
        found.setdefault(name, Histogram()).add(values)
    if not found:
        raise ConversionError("calibration: no examples, so activations have no range; raise prepare.calibration")
    match method:
        case "min-max":
            return {name: (histogram.low, histogram.high) for name, histogram in found.items()}
        case "percentile":
            return {name: inner(histogram, percentile) for name, histogram in found.items()}
        case "mse":
            return {name: least_error(histogram, bits) for name, histogram in found.items()}


def inner(histogram: Histogram, percent: float) -> Range:
    """The range that holds `percent` of the values and leaves out as many below it as above."""
    values, counts = histogram.points()
    # as numpy.percentile does: the k-th of n values stands at k / (n - 1)
    ends = np.cumsum(counts)
    tail = (100 - percent) / 200 * (ends[-1] - 1)
    low, high = np.searchsorted(ends, [tail, ends[-1] - 1 - tail], side="right")
    return float(values[low]), float(values[high])


def least_error(histogram: Histogram, bits: int) -> Range:
    """The range whose expected squared error of rounding and clipping is the least.

    What is clipped errs by its distance from the range, what is rounded by a twelfth of a squared step on average, a
    zero not at all: R. Banner et al., "Post training 4-bit quantization of convolutional networks for
    rapid-deployment" (2019), here with the histogram for their Laplace density. Ranges of 16 bits are symmetric.

    A single huge value is kept: clipping it would cost more than rounding all others coarsely. `inner` leaves it out.
    """
    values, counts = histogram.points()
    low, high = (
        _clipped(-values[::-1], counts[::-1], -min(histogram.low, 0.0)),
        _clipped(values, counts, max(histogram.high, 0.0)),
    )
    lows, highs = low[0][:, None], high[0][None, :]
    width = lows + highs if bits == 8 else 2 * np.maximum(lows, highs)
    rounded = counts[values != 0].sum() * (width / (2**bits - 1)) ** 2 / 12
    error = rounded + low[1][:, None] + high[1][None, :]
    i, j = np.unravel_index(np.argmin(error), error.shape)
    return -float(low[0][i]), float(high[0][j])


def _clipped(
    values: NDArray[np.float64], counts: NDArray[np.int64], largest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Candidates for the upper end of a range, and the squared error of what lies above each."""
    candidates = largest * CLIPS if largest > 0 else np.zeros(1)
    # sums over everything from a value on: of one, of the values and of their squares
    ones, sums, squares = (np.append(np.cumsum((counts * values**power)[::-1])[::-1], 0.0) for power in (0.0, 1.0, 2.0))
    above = np.searchsorted(values, candidates, side="right")
    error = squares[above] - 2 * candidates * sums[above] + candidates**2 * ones[above]
    return candidates, np.maximum(error, 0.0)


def _activations(content: bytes, examples: "Arrays") -> Iterator[tuple[str, NDArray[Any]]]:
    """Each float tensor that is no constant, example by example, as the plain kernels compute it."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        # a delegate would keep what lies within its part of the graph to itself
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    computed = _computed(content)
    places = {name: d["index"] for name, d in interpreter.get_signature_runner().get_input_details().items()}
    for i in range(len(examples)):
        interpreter.reset_all_variables()  # each example by itself, as it will be run
        for name, array in examples.inputs.items():
            interpreter.set_tensor(places[name], array[i : i + 1])
        interpreter.invoke()
        for place, name in computed.items():
            yield name, interpreter.get_tensor(place)


def _computed(content: bytes) -> dict[int, str]:
    """The float tensors of the main graph that hold an input or a result, by their places.

    An interpreter knows more: constants, and scratch memory of kernels, in which anything may stand.
    """
    graph = tflite.parse(content).main
    places = [*graph.inputs, *(place for operator in graph.operators for place in operator.outputs)]
    return {place: graph.tensors[place].name for place in places if graph.tensors[place].dtype == "float32"}
