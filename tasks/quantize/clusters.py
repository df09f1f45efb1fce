"""Kernels that share few values keep them as few integers: one of each value, whichever output it is of.

A converter gives each output of a kernel a scale by its own largest weight, so that a value becomes another integer in
each, and what packs a file (gzip, the Ethos-U's compiler) finds tens of integers where there were sixteen values. Here
the largest weight of the whole kernel sets the scale of each output that loses at most one of its bits by that; what a
batch normalisation multiplied an output by stays in its scale. A file is changed in place and keeps its size.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.formats import tflite

if TYPE_CHECKING:
    import tf_keras

FEW = 64  # different values, of more of which nothing would be gained
LOST = 2.0  # times as far apart are an output's integers at most
LEVELS = 127
ROUNDED = 1.0  # steps at most from what Keras's kernel says: half by rounding, and as much by how the gain is found
WEIGHTED = ("CONV_2D", "FULLY_CONNECTED")
Rows = NDArray[np.float64]  # of a kernel, [outputs, weights of each]


def shared(model: "tf_keras.Model") -> list[Rows]:
    """The weights of a Keras model that have few values, each output's in the order of a LiteRT file."""
    found = [values for values in (weight.numpy() for weight in model.weights) if values.ndim > 1]
    rows = [np.moveaxis(values, -1, 0).reshape(values.shape[-1], -1) for values in found if _few(values)]
    return [each.astype(np.float64) for each in rows]


def _few(values: NDArray[np.floating[Any]]) -> bool:
    """Whether sharing them is what made them few; a look at the first spares all of a large weight."""
    most = min(FEW, values.size // 4)
    return len(np.unique(values.ravel()[: 4 * FEW])) <= most and 1 < len(np.unique(values)) <= most


def alike(content: bytes, few: Sequence[Rows]) -> bytes:
    """The file with one integer for each value of a kernel.

    Args:
        content: of a LiteRT file with a scale for each output; another is not changed.
        few: the kernels, see `shared`.
    """
    if not few:
        return content
    from ai_edge_litert import schema_py_generated as schema

    whole = bytearray(content)  # what numpy sees of it can be written
    model = schema.Model.GetRootAs(whole)
    kinds, graphs = tflite.words(schema.BuiltinOperator), [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    owners = Counter(graph.Tensors(i).Buffer() for graph in graphs for i in range(graph.TensorsLength()))
    alone = {place: model.Buffers(place) for place, count in owners.items() if count == 1}
    for graph in graphs:
        operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        readers = Counter(place for operator in operators for place in operator.InputsAsNumpy())
        for operator in operators:
            code = model.OperatorCodes(operator.OpcodeIndex())
            kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
            if kind in WEIGHTED and all(readers[place] == 1 for place in operator.InputsAsNumpy()[1:] if place >= 0):
                _rescale(alone, [graph.Tensors(i) if i >= 0 else None for i in operator.InputsAsNumpy()], few)
    return bytes(whole)


def _rescale(alone: Mapping[int, Any], inputs: Sequence[Any], few: Sequence[Rows]) -> None:
    """Write integers and scales of one operator's weights, and its bias by the scales that it then has."""
    from ai_edge_litert import schema_py_generated as schema

    given, weights, bias = (*inputs, None)[:3]
    scales, integers = _scales(weights), _data(alone, weights, np.int8)
    if weights.Type() != schema.TensorType.INT8 or len(scales) < 2 or integers is None:
        return
    sums = np.zeros(0) if bias is None else _scales(bias)  # the scales of the bias; of floats there are none
    added = _data(alone, bias, np.int32 if bias.Type() == schema.TensorType.INT32 else np.int64) if len(sums) else None
    if len(sums) and added is None:
        return
    rows = integers.reshape(len(scales), -1)
    for kernel in few:
        if kernel.shape == rows.shape and (made := _as_one(kernel, rows, scales)) is not None:
            rows[:], scales[:] = made
            if added is not None:
                before, sums[:] = sums.astype(np.float64), _scales(given)[0] * scales
                added[:] = np.rint(added * before / sums)
            return


def _as_one(kernel: Rows, rows: NDArray[np.int8], scales: NDArray[np.float32]) -> tuple[Any, Any] | None:
    """Integers and scales of an operator by the few values of a kernel; None: they are of another kernel."""
    real = rows * scales.astype(np.float64)[:, None]
    squares = np.square(kernel).sum(axis=1)
    gains = np.divide((real * kernel).sum(axis=1), squares, out=np.zeros(len(scales)), where=squares > 0)
    if (np.abs(real - gains[:, None] * kernel) > ROUNDED * scales[:, None]).any():
        return None
    tops, step = np.abs(kernel).max(axis=1), _step(kernel)
    known = (np.abs(rows).max(axis=1) == LEVELS) & (tops > 0)  # the scale is that of the output's largest weight
    new = _short(np.where(known, LEVELS * scales / np.where(known, tops, 1), np.abs(gains)) * step)
    taken = (new > 0) & (new <= LOST * scales)
    one = np.rint(kernel / step) * np.sign(gains)[:, None]
    return np.where(taken[:, None], one, rows).astype(np.int8), np.where(taken, new, scales)


def _step(kernel: Rows) -> float:
    """What an integer counts, of the kernel: of the steps that reach its largest weight, that which is off least."""
    values, counts = np.unique(np.abs(kernel), return_counts=True)
    steps = values.max() / np.arange(LEVELS // 2 + 1, LEVELS + 1)
    off = values - np.rint(values / steps[:, None]) * steps[:, None]
    return float(steps[np.argmin(np.square(off) @ counts)])


def _short(scales: NDArray[np.float64]) -> NDArray[np.float32]:
    """In float32, rounded to 15 bits behind the point: numbers that differ by noise are one, and pack as one."""
    bits = scales.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x80)) & np.uint32(0xFFFFFF00)).view(np.float32)


def _scales(tensor: Any) -> Any:
    """The scales of a tensor, to be written where they lie: float32 [n]."""
    scaling = tensor.Quantization()
    return np.zeros(0, np.float32) if scaling is None or not scaling.ScaleLength() else scaling.ScaleAsNumpy()


def _data(alone: Mapping[int, Any], tensor: Any, dtype: type[np.generic]) -> Any:
    """The numbers of a constant, likewise, out of the buffers of one tensor alone; None: it has none there."""
    buffer = alone.get(tensor.Buffer())
    return buffer.DataAsNumpy().view(dtype) if buffer is not None and buffer.DataLength() else None
