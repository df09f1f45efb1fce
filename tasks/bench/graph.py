"""What one inference of a `.tflite` file takes: multiplications and bytes, operator by operator, by its schema alone.

Counted exactly are the products of convolutions, dense layers and matrix products. What a runtime adds or saves
(padding, fusion, a transformed convolution) is not in it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import tflite
from tasks.errors import UnsupportedError

BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "int4": 4, "uint4": 4, "int2": 2, "bool": 8} | {
    f"{sign}int{bits}": bits for sign in ("", "u") for bits in (8, 16, 32, 64)
}
POOLS = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"}
REDUCTIONS = {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "ARG_MAX", "ARG_MIN", "CUMSUM"}
ELEMENTWISE = {
    *("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW", "ABS", "NEG", "SQUARE", "SQRT"),
    *("RSQRT", "EXP", "LOG", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU"),
    *("PRELU", "ELU", "GELU", "HARD_SWISH", "LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION"),
    *("QUANTIZE", "DEQUANTIZE", "CAST"),
}
LOOKUPS = {"GATHER", "GATHER_ND", "EMBEDDING_LOOKUP"}  # read what they pick, not the whole table
# what these take hangs from their steps, or from code that the file does not hold
UNCOUNTED = {
    *("WHILE", "IF", "CUSTOM", "CALL", "CONV_3D", "CONV_3D_TRANSPOSE", "SVDF", "RNN", "LSTM", "STABLEHLO_WHILE"),
    *("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"),
    *("UNIDIRECTIONAL_SEQUENCE_LSTM", "STABLEHLO_DOT_GENERAL", "STABLEHLO_CONVOLUTION", "STABLEHLO_COMPOSITE"),
}


@dataclass(frozen=True)
class Operator:
    """What one operator takes for one inference."""

    kind: str
    name: str  # of its first output
    dtype: str  # of its first output
    macs: int
    operations: int  # 2 per MAC; else one per element that is computed from
    weight_bytes: int  # constants, as stored
    input_bytes: int  # activations read
    output_bytes: int  # activations written


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph, at batch 1."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: int | None  # bytes in the file, of a constant

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What it occupies."""
        return -(-self.elements * BITS.get(self.dtype, 0) // 8)


def read(path: Path) -> tuple[Operator, ...]:
    """The operators of a file's main graph, in order.

    A constant that is only widened (float16 weights under DEQUANTIZE) counts with its stored bytes where it is used: a
    runtime does that once, when it loads the file.

    Raises:
        UnsupportedError: an operator whose work the file does not tell, or a damaged file.
    """
    try:
        return _read(path)
    except tflite.DAMAGED as error:
        raise UnsupportedError(f"its graph is damaged: {type(error).__name__}: {error}") from None


def _read(path: Path) -> tuple[Operator, ...]:
    model = tflite.read(path.read_bytes())
    graph, kinds, dtypes = model.subgraphs[0], tflite.kinds(model), tflite.dtypes()
    tensors = [_tensor(tensor, model.buffers, dtypes) for tensor in graph.tensors]
    found = []
    for node in graph.operators:
        kind = kinds[node.opcodeIndex]
        if kind in UNCOUNTED:
            raise UnsupportedError(f"what {kind} takes cannot be counted from the file")
        if kind == "DEQUANTIZE" and (stored := tensors[node.inputs[0]].stored) is not None:
            widened = tensors[node.outputs[0]]
            tensors[node.outputs[0]] = Tensor(widened.name, widened.shape, widened.dtype, stored)
            continue
        inputs = [tensors[i] if i >= 0 else None for i in node.inputs]
        found.append(_operator(kind, inputs, [tensors[i] for i in node.outputs], node.builtinOptions))
    return tuple(found)


def _tensor(tensor: Any, buffers: list[Any], dtypes: dict[int, str]) -> Tensor:
    data = buffers[tensor.buffer].data
    shape = () if tensor.shape is None else tuple(int(size) for size in tensor.shape)
    stored = len(data) if data is not None and len(data) else None
    return Tensor(tensor.name.decode(), shape, dtypes[tensor.type], stored)


def _operator(kind: str, inputs: list[Tensor | None], outputs: list[Tensor], options: Any) -> Operator:
    given = [tensor for tensor in inputs if tensor is not None]
    out = outputs[0]
    macs = _macs(kind, inputs, out, options)
    weight_bytes = sum(tensor.stored for tensor in given if tensor.stored is not None)
    if kind in LOOKUPS:
        weight_bytes = min(weight_bytes, out.bytes)
    return Operator(
        kind=kind,
        name=out.name,
        dtype=out.dtype,
        macs=macs,
        operations=2 * macs or _operations(kind, given, out, options),
        weight_bytes=weight_bytes,
        input_bytes=_bytes(tensor for tensor in given if tensor.stored is None),
        output_bytes=_bytes(outputs),
    )


def _macs(kind: str, inputs: list[Tensor | None], out: Tensor, options: Any) -> int:
    """Products of the operator; weights are [out, height, width, in], but [1, height, width, out] by depth."""
    if kind in ("CONV_2D", "FULLY_CONNECTED"):  # a grouped convolution's weights hold one group's inputs only
        return out.elements * math.prod(_shape(inputs[1])[1:])
    if kind == "DEPTHWISE_CONV_2D":
        return out.elements * math.prod(_shape(inputs[1])[1:3])
    if kind == "TRANSPOSE_CONV":  # each input goes to every place under the kernel
        return math.prod(_shape(inputs[2])) * math.prod(_shape(inputs[1])[:3])
    if kind == "BATCH_MATMUL":
        return out.elements * _shape(inputs[0])[-2 if options.adjX else -1]
    return 0


def _operations(kind: str, given: list[Tensor], out: Tensor, options: Any) -> int:
    if kind in POOLS:
        return out.elements * int(options.filterHeight) * int(options.filterWidth)
    if kind in REDUCTIONS:
        return given[0].elements
    return out.elements if kind in ELEMENTWISE else 0


def _shape(tensor: Tensor | None) -> tuple[int, ...]:
    assert tensor is not None  # the schema of these operators demands it
    return tensor.shape


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.bytes for tensor in tensors)
