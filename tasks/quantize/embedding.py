"""Embeddings whose rows are read as they are stored, in 8 or 4 bits: GATHER into EMBEDDING_LOOKUP.

The converter makes an embedding a GATHER, of which no kernel takes an integer table and gives floats, so a table would
stay float32 where weights alone are quantized, and it is most of a text model. EMBEDDING_LOOKUP is such a kernel, with
a scale of its own for each row, and takes indices of one axis.
"""

from typing import Any

import numpy as np

from tasks.formats import tflite


def look_up(content: bytes) -> bytes:
    """The same float32 LiteRT file with every GATHER of rows of a constant table made an EMBEDDING_LOOKUP."""
    model = tflite.objects(content)
    before = sum(len(graph.operators) for graph in model.subgraphs)
    for graph in model.subgraphs:
        graph.operators = [made for operator in graph.operators for made in _rewritten(model, graph, operator)]
    after = sum(len(graph.operators) for graph in model.subgraphs)
    return content if after == before else tflite.pack(model)


def _rewritten(model: Any, graph: Any, operator: Any) -> list[Any]:
    """What stands for an operator: itself, or indices made flat, the look-up, and its rows brought into shape."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.GATHER:
        return [operator]
    table, indices = (graph.tensors[i] for i in operator.inputs)
    rows = operator.builtinOptions.axis == 0 and operator.builtinOptions.batchDims == 0
    constant = model.buffers[table.buffer].data is not None and table.type == schema.TensorType.FLOAT32
    if not (rows and constant and indices.type == schema.TensorType.INT32 and (np.array(indices.shape) > 0).all()):
        return [operator]
    output = graph.tensors[operator.outputs[0]]
    count, name = int(np.prod(indices.shape)), output.name.decode()
    flat = _tensor(graph, f"{name}/indices", [count], schema.TensorType.INT32)
    found = _tensor(graph, f"{name}/rows", [count, *table.shape[1:]], schema.TensorType.FLOAT32)
    return [
        _reshape(model, graph, operator.inputs[1], flat),
        _operator(model, schema.BuiltinOperator.EMBEDDING_LOOKUP, [flat, operator.inputs[0]], found),
        _reshape(model, graph, found, operator.outputs[0]),
    ]


def _reshape(model: Any, graph: Any, source: int, target: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    to = graph.tensors[target]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array(to.shape, "<i4").tobytes(), np.uint8)
    model.buffers.append(buffer)
    shape = _tensor(graph, f"{to.name.decode()}/shape", [len(to.shape)], schema.TensorType.INT32)
    graph.tensors[shape].buffer = len(model.buffers) - 1
    made = _operator(model, schema.BuiltinOperator.RESHAPE, [source, shape], target)
    made.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    made.builtinOptions = schema.ReshapeOptionsT()
    made.builtinOptions.newShape = [int(size) for size in to.shape]
    return made


def _tensor(graph: Any, name: str, shape: list[int], kind: int) -> int:
    """The place of a new tensor, with no values of its own."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name.encode(), np.array(shape, np.int32), kind
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, code: int, inputs: list[int], output: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    codes = [max(known.builtinCode, known.deprecatedBuiltinCode) for known in model.operatorCodes]
    if code not in codes:
        new = schema.OperatorCodeT()
        new.builtinCode = new.deprecatedBuiltinCode = code
        new.version = 1
        model.operatorCodes.append(new)
    operator = schema.OperatorT()
    operator.opcodeIndex = codes.index(code) if code in codes else len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return operator
