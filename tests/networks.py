"""Networks as `.tflite` files of nothing but their products, which no runtime could run and which are counted alike."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tasks.formats.cost import Product

TYPES = {"int8": 1, "float32": 4}  # bytes of a weight


def written(path: Path, products: Iterable[Product], precision: str = "int8") -> Path:
    """Write a file whose operators have these shapes of weights and outputs, in this order."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.buffers, model.operatorCodes, graph.tensors, graph.operators = [schema.BufferT()], [], [], []
    kinds: list[str] = []

    def tensor(shape: tuple[int, ...], data: int = 0) -> int:
        made = schema.TensorT()
        made.name, made.shape = f"t{len(graph.tensors)}", np.array(shape, np.int32)
        made.type = getattr(schema.TensorType, precision.upper())
        if data:
            made.buffer, buffer = len(model.buffers), schema.BufferT()
            buffer.data = np.zeros(data, np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    for product in products:
        if product.kind not in kinds:
            kinds.append(product.kind)
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, product.kind)
            model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = kinds.index(product.kind)
        weights = tensor(product.weights, int(np.prod(product.weights)) * TYPES[precision])
        operator.inputs = np.array([tensor((1, 1)), weights], np.int32)
        operator.outputs = np.array([tensor(product.output)], np.int32)
        graph.operators.append(operator)
    graph.inputs, graph.outputs = graph.operators[0].inputs[:1], graph.operators[-1].outputs
    model.subgraphs, model.version = [graph], 3
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path
