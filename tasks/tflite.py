"""LiteRT files as objects of their schema: the one place where they are read and written.

A buffer of a file may lie behind the flatbuffer, with its place and size in it instead of its bytes, as
ai-edge-quantizer writes weights from 256 KiB on. LiteRT alone reads such files: TensorFlow Lite Micro, OpenVINO,
tf2onnx and Vela find no weights in them and say nothing, or something else.
"""

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import UnsupportedError

# what the schema's reader meets in a file that is damaged, or a stranger's: its offsets may lead anywhere
DAMAGED = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error)
NOWHERE = 1  # a place or size up to this is none: writers that fill them in later begin with 1


def read(content: bytes) -> Any:
    """A file as its schema's `ModelT`, each buffer's bytes in `data`, wherever they lie in the file.

    Raises:
        ValueError: a buffer lies beyond the file's end. What is no such file raises one of `DAMAGED`.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers or ():
        if buffer.offset > NOWHERE and buffer.size > NOWHERE:
            buffer.data = np.frombuffer(_part(content, buffer.offset, buffer.size), np.uint8)
            buffer.offset = buffer.size = 0
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        if operator.largeCustomOptionsOffset > NOWHERE:
            options = _part(content, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize)
            operator.customOptions = np.frombuffer(options, np.uint8)
            operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def pack(model: Any) -> bytes:
    """The bytes of a `ModelT`, of less than 2 GB; the same objects give the same bytes."""
    import flatbuffers  # type: ignore[import-untyped]  # it ships no types

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def is_whole(content: bytes) -> bool:
    """Whether everything of a file lies within its flatbuffer, where every reader looks for it."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    if any(model.Buffers(i).Offset() > NOWHERE for i in range(model.BuffersLength())):
        return False
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    operators = (graph.Operators(i) for graph in graphs for i in range(graph.OperatorsLength()))
    return all(operator.LargeCustomOptionsOffset() <= NOWHERE for operator in operators)


def whole(content: bytes) -> bytes:
    """The same file with everything within its flatbuffer; a file that is so already is not changed."""
    return content if is_whole(content) else pack(read(content))


def checked(path: Path, reader: str) -> Path:
    """The path of a file that `reader`, which knows nothing of bytes behind the flatbuffer, can take.

    Raises:
        UnsupportedError: part of it lies there.
    """
    with suppress(*DAMAGED):  # of which the reader has its own words
        if not is_whole(path.read_bytes()):
            raise UnsupportedError(
                f"the file keeps weights behind its flatbuffer (Buffer.offset), where {reader} does not look; write it "
                "with its buffers inside, or choose a device of LiteRT's"
            )
    return path


def types(content: bytes) -> set[str]:
    """The types of all tensors of a file, as numpy calls them; none where it cannot be read."""
    with suppress(*DAMAGED):
        return {dtypes()[tensor.type] for graph in read(content).subgraphs for tensor in graph.tensors}
    return set()


def words(enumeration: Any) -> dict[int, str]:
    """The names of an enumeration of the schema, by their values."""
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def kinds(model: Any) -> list[str]:
    """What each operator code of a `ModelT` is called in the schema, such as CONV_2D."""
    from ai_edge_litert import schema_py_generated as schema

    names = words(schema.BuiltinOperator)
    return [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]


def dtypes() -> dict[int, str]:
    """The types of tensors as numpy calls them, by the schema's numbers."""
    from ai_edge_litert import schema_py_generated as schema

    return {value: name.lower() for value, name in words(schema.TensorType).items()}


def _part(content: bytes, offset: int, size: int) -> memoryview:
    if offset + size > len(content):
        raise ValueError(f"a buffer ends at byte {offset + size} of a file of {len(content)}")
    return memoryview(content)[offset : offset + size]
