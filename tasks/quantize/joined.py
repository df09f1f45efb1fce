"""Products that read the same numbers and stand side by side, as one: a token pays for each operator by itself.

Where tokens attend, their queries, keys and values are concatenated. A CONCATENATION of FULLY_CONNECTEDs of one input
is a FULLY_CONNECTED with the weights of all, those of one below those of the other. No number changes: each row of
weights keeps its own, be they floats, integers with a scale a row, or integers in blocks.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tasks.formats import tflite

PRODUCT, BESIDE = "FULLY_CONNECTED", "CONCATENATION"
Made = dict[tuple[int, ...], int]  # the place of a buffer, by those whose bytes it has


def join(content: bytes) -> bytes:
    """The same LiteRT file with such products as one, their weights stored once for all its graphs."""
    model = tflite.objects(content)
    made: Made = {}
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    for graph in model.subgraphs:
        _join(model, graph, _finder(kinds, graph), made)
    for place in {part for parts in made for part in parts} - _read(model):
        model.buffers[place].data = None
    return tflite.pack(model)


def _read(model: Any) -> set[int]:
    """The buffers of what an operator reads."""
    tensors = (graph.tensors[i] for graph in model.subgraphs for each in graph.operators for i in each.inputs if i >= 0)
    return {tensor.buffer for tensor in tensors}


def _finder(kinds: Sequence[int], graph: Any) -> Callable[[str], list[Any]]:
    """What finds the operators of a kind."""
    from ai_edge_litert import schema_py_generated as schema

    def of(kind: str) -> list[Any]:
        code = getattr(schema.BuiltinOperator, kind)
        return [operator for operator in graph.operators if kinds[operator.opcodeIndex] == code]

    return of


def _join(model: Any, graph: Any, of: Callable[[str], list[Any]], made: Made) -> None:
    for product in of(PRODUCT):
        _flatten(graph, product)
    makers = {int(product.outputs[0]): product for product in of(PRODUCT)}
    read = Counter(int(place) for each in graph.operators for place in each.inputs)
    read.update(map(int, graph.outputs))
    for beside in of(BESIDE):
        places = [int(place) for place in beside.inputs]
        parts = [makers[place] for place in places if place in makers and read[place] == 1]
        if len(parts) < len(places) or not _alike(model, graph, beside, parts):
            continue
        first, (given, *constants) = parts[0], zip(*(map(int, part.inputs) for part in parts), strict=True)
        inputs = [given[0], *(_below(model, graph, each, made) for each in constants)]
        beside.opcodeIndex, beside.inputs = first.opcodeIndex, np.array(inputs, np.int32)
        beside.builtinOptionsType, beside.builtinOptions = first.builtinOptionsType, first.builtinOptions
        graph.operators = [each for each in graph.operators if not any(each is part for part in parts)]


def _flatten(graph: Any, product: Any) -> None:
    """Let a product of rows say that they are rows: told to make them so, XNNPACK copies them."""
    sizes = [len(graph.tensors[place].shape) for place in (product.inputs[0], product.outputs[0])]
    if sizes == [2, 2]:
        product.builtinOptions.keepNumDims = True


def _alike(model: Any, graph: Any, beside: Any, parts: Sequence[Any]) -> bool:
    """Whether products differ in their weights alone, which are constants of a kind, and are put along their rows."""
    if any(model.buffers[graph.tensors[i].buffer].data is None for part in parts for i in part.inputs[1:] if i >= 0):
        return False  # weights that an operator makes, as DEQUANTIZE does of those that are integers in the file alone
    options = beside.builtinOptions
    axis, rank = options.axis, len(graph.tensors[beside.outputs[0]].shape)
    told = {str((part.inputs[0], vars(part.builtinOptions), *_kinds(graph, part))) for part in parts}
    return len(told) == 1 and axis % rank == rank - 1 and options.fusedActivationFunction == 0


def _kinds(graph: Any, product: Any) -> Iterator[Any]:
    """What weights and biases that shall stand below each other have in common; those that cannot are like no other."""
    for place in product.inputs[1:]:
        if place < 0:
            yield None
            continue
        tensor = graph.tensors[place]
        scaling = tensor.quantization
        block = getattr(getattr(scaling, "details", None), "blockSize", None)
        scaled = getattr(scaling, "scale", None) is not None
        yield tensor.type, list(tensor.shape[1:]), block, scaled, None if _by_row(tensor) else int(place)


def _by_row(tensor: Any) -> bool:
    """Whether each row of a constant has its own scale, if any, and bytes of its own."""
    from ai_edge_litert import schema_py_generated as schema

    scales = None if tensor.quantization is None else tensor.quantization.scale
    halves = tensor.type == schema.TensorType.INT4 and tensor.shape[-1] % 2
    return tensor.sparsity is None and not halves and (scales is None or len(scales) == tensor.shape[0])


def _below(model: Any, graph: Any, places: Sequence[int], made: Made) -> int:
    """The place of a new constant: those at `places`, one below the other; of none, none."""
    if places[0] < 0:
        return -1
    tensors = [graph.tensors[place] for place in places]
    tensor = copy.copy(tensors[0])
    tensor.name = b";".join(each.name for each in tensors)
    tensor.shape = np.array([sum(each.shape[0] for each in tensors), *tensor.shape[1:]], np.int32)
    tensor.buffer = _buffer(model, tuple(each.buffer for each in tensors), made)
    if tensor.quantization is not None:
        tensor.quantization = _scaling(model, graph, [each.quantization for each in tensors], made)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _scaling(model: Any, graph: Any, parts: Sequence[Any], made: Made) -> Any:
    """The scales of rows below each other."""
    found = copy.copy(parts[0])
    if found.scale is not None:
        found.scale, found.zeroPoint = (
            np.concatenate([getattr(part, key) for part in parts]) for key in ("scale", "zeroPoint")
        )
    if found.details is not None:
        found.details = copy.copy(found.details)
        found.details.scales = _below(model, graph, [part.details.scales for part in parts], made)
    return found


def _buffer(model: Any, parts: tuple[int, ...], made: Made) -> int:
    """The place of the bytes of buffers one behind the other; they are made once."""
    from ai_edge_litert import schema_py_generated as schema

    if parts not in made:
        buffer = schema.BufferT()
        buffer.data = np.concatenate([np.asarray(model.buffers[part].data, np.uint8) for part in parts])
        model.buffers.append(buffer)
        made[parts] = len(model.buffers) - 1
    return made[parts]
