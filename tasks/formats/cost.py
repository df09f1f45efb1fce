"""What one inference of a `.tflite` file takes: multiplications and bytes, operator by operator, by its schema alone.

Counted exactly are the products of convolutions, dense layers and matrix products. What a runtime adds or saves
(padding, fusion, a transformed convolution) is not in it.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.errors import UnsupportedError
from tasks.formats import tflite
from tasks.formats.tflite import Tensor

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
WRITE = "DYNAMIC_UPDATE_SLICE"  # moves the part that it writes; the rest stays where it is
# what these take hangs from their steps, or from code that the file does not hold
UNCOUNTED = {
    *("WHILE", "IF", "CUSTOM", "CALL", "CONV_3D", "CONV_3D_TRANSPOSE", "SVDF", "RNN", "LSTM", "STABLEHLO_WHILE"),
    *("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM"),
    *("UNIDIRECTIONAL_SEQUENCE_LSTM", "STABLEHLO_DOT_GENERAL", "STABLEHLO_CONVOLUTION", "STABLEHLO_COMPOSITE"),
}


@dataclass(frozen=True, order=True)
class Product:
    """The shapes of an operator that multiplies by constant weights."""

    kind: str
    weights: tuple[int, ...]  # [out, height, width, in] or [out, in]; by depth [1, height, width, out]
    output: tuple[int, ...]  # of one example

    @property
    def macs(self) -> int:
        """How many products it takes."""
        return math.prod(self.output) * math.prod(self.weights[1:3] if self.depthwise else self.weights[1:])

    @property
    def depthwise(self) -> bool:
        """Whether every channel is by itself."""
        return self.kind == "DEPTHWISE_CONV_2D"


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
    product: Product | None = None  # of a convolution or a dense layer whose weights the file has


def read(path: Path, signature: str | None = None) -> tuple[Operator, ...]:
    """The operators of a file's main graph, or of one of its signatures, in order.

    A constant that is only widened (float16 weights under DEQUANTIZE) counts with its stored bytes where it is used: a
    runtime does that once, when it loads the file.

    Raises:
        UnsupportedError: an operator whose work the file does not tell, an input of no fixed size, or a damaged file.
    """
    try:
        return _read(tflite.load(path), signature)
    except tflite.DAMAGED as error:
        raise UnsupportedError(f"its graph is damaged: {type(error).__name__}: {error}") from None


def reads(path: Path, signature: str, state: Collection[str]) -> int:
    """The bytes that one call of a signature reads at least: each constant and each state once.

    A constant that is only widened counts as wide as it is made when the file is loaded: that is what the kernels read.

    Args:
        path: the file.
        signature: its name.
        state: inputs that the call before has left.

    Raises:
        UnsupportedError: the file is damaged.
    """
    try:
        file = tflite.load(path)
        (call,) = (found for found in file.signatures if found.name == signature)
        graph = file.graphs[call.graph]
        found = {call.inputs[name]: _bytes([graph.tensors[call.inputs[name]]]) for name in state}
        for node in graph.operators:
            for place in node.inputs:
                if place >= 0 and (stored := graph.tensors[place].stored) is not None:
                    if node.kind in LOOKUPS or node.kind == "DEQUANTIZE":
                        stored = _bytes(graph.made(node.outputs))
                    found[place] = max(found.get(place, 0), stored)
    except tflite.DAMAGED as error:
        raise UnsupportedError(f"its graph is damaged: {type(error).__name__}: {error}") from None
    return sum(found.values())


def _read(file: tflite.File, signature: str | None) -> tuple[Operator, ...]:
    places = {found.name: found.graph for found in file.signatures}
    graph = file.main if signature is None else file.graphs[places[signature]]
    _check_sizes(graph)
    tensors = list(graph.tensors)
    found = []
    for node in graph.operators:
        if node.kind in UNCOUNTED:
            raise UnsupportedError(f"what {node.kind} takes cannot be counted from the file")
        if node.kind == "DEQUANTIZE" and (stored := tensors[node.inputs[0]].stored) is not None:
            tensors[node.outputs[0]] = replace(tensors[node.outputs[0]], stored=stored)
            continue
        inputs = [tensors[i] if i >= 0 else None for i in node.inputs]
        found.append(_operator(node.kind, inputs, [tensors[i] for i in node.outputs], node.options))
    return tuple(found)


def _check_sizes(graph: tflite.Graph) -> None:
    """Refuse a graph for inputs of any size: its tensors are as large as for one of 1, until a runtime resizes them."""
    for tensor in graph.made(graph.inputs):
        if -1 in tensor.open_shape[1:]:  # an example has no part in the axis of the batch
            raise UnsupportedError(
                f"its input {tensor.name!r} may have any size, {list(tensor.open_shape)}, and what it takes hangs from "
                "that; convert the model for inputs of the data's size"
            )


def _operator(kind: str, inputs: list[Tensor | None], outputs: list[Tensor], options: Any) -> Operator:
    given = [tensor for tensor in inputs if tensor is not None]
    out = outputs[0]
    macs = _macs(kind, inputs, out, options)
    weight_bytes = sum(tensor.stored for tensor in given if tensor.stored is not None)
    if kind in LOOKUPS:
        weight_bytes = min(weight_bytes, _bytes([out]))
    activations = [tensor for tensor in given if tensor.stored is None]
    if kind == WRITE:
        activations, outputs = activations[1:], activations[1:2]
    return Operator(
        kind=kind,
        name=out.name,
        dtype=out.dtype,
        macs=macs,
        operations=2 * macs or _operations(kind, given, out, options),
        weight_bytes=weight_bytes,
        input_bytes=_bytes(activations),
        output_bytes=_bytes(outputs),
        product=_product(kind, inputs, out),
    )


def _product(kind: str, inputs: list[Tensor | None], out: Tensor) -> Product | None:
    if kind not in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D") or (weights := inputs[1]) is None:
        return None
    return None if weights.stored is None else Product(kind, weights.shape, out.shape)


def _macs(kind: str, inputs: list[Tensor | None], out: Tensor, options: Any) -> int:
    """Products of the operator; weights are [out, height, width, in], but [1, height, width, out] by depth."""
    if kind in ("CONV_2D", "FULLY_CONNECTED"):  # a grouped convolution's weights hold one group's inputs only
        return _elements(out) * math.prod(_shape(inputs[1])[1:])
    if kind == "DEPTHWISE_CONV_2D":
        return _elements(out) * math.prod(_shape(inputs[1])[1:3])
    if kind == "TRANSPOSE_CONV":  # each input goes to every place under the kernel
        return math.prod(_shape(inputs[2])) * math.prod(_shape(inputs[1])[:3])
    if kind == "BATCH_MATMUL":
        return _elements(out) * _shape(inputs[0])[-2 if options.adjX else -1]
    return 0


def _operations(kind: str, given: list[Tensor], out: Tensor, options: Any) -> int:
    if kind in POOLS:
        return _elements(out) * int(options.filterHeight) * int(options.filterWidth)
    if kind in REDUCTIONS:
        return _elements(given[0])
    return _elements(out) if kind in ELEMENTWISE else 0


def _shape(tensor: Tensor | None) -> tuple[int, ...]:
    assert tensor is not None  # the schema of these operators demands it
    return tensor.shape


def _elements(tensor: Tensor) -> int:
    return math.prod(tensor.shape)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(-(-_elements(tensor) * BITS.get(tensor.dtype, 0) // 8) for tensor in tensors)
