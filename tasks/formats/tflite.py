"""LiteRT files by their schema: the one place where they are read and written.

`parse` gives what a reader asks of a file, frozen; `objects` what a writer changes, to be written by `pack`. A buffer
of a file may lie behind the flatbuffer, with its place and size in it instead of its bytes, as ai-edge-quantizer
writes weights from 256 KiB on. LiteRT alone reads such files: TensorFlow Lite Micro, OpenVINO, tf2onnx and Vela find
no weights in them and say nothing, or something else.
"""

import mmap
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tasks.errors import UnsupportedError

Content = bytes | mmap.mmap
# what the schema's reader meets in a file that is damaged, or a stranger's: its offsets may lead anywhere
DAMAGED = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, struct.error)
SHORT = 1 << 20  # bytes of a vector up to which it is looked for among those written already
NOWHERE = 1  # a place or size up to this is none: writers that fill them in later begin with 1


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph."""

    name: str
    shape: tuple[int, ...]  # with its batch axis
    open_shape: tuple[int, ...]  # likewise; -1 where the file leaves a size open
    dtype: str  # as numpy calls it, int4 and bfloat16 among them
    scales: tuple[float, ...]  # real = scale * (integer - zero point): none, one, or one for each channel
    zero_points: tuple[int, ...]
    stored: int | None  # bytes in the file, of a constant, with the scales of its blocks
    sparse: bool  # its zeros are stored by their places alone
    block: int | None = None  # weights in a row that share a scale, of which `scales` has none


@dataclass(frozen=True)
class Operator:
    """An operator of a graph; a tensor is its place among the graph's, -1 where an input is left out."""

    kind: str  # as in the schema: CONV_2D
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any  # the schema's own object, or None


@dataclass(frozen=True)
class Graph:
    """One subgraph; inputs and outputs are places of tensors."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def made(self, places: Iterable[int]) -> list[Tensor]:
        """The tensors at these places, without those that are left out."""
        return [self.tensors[place] for place in places if place >= 0]

    def called(self, places: Iterable[int], named: Mapping[str, int]) -> tuple[str, ...]:
        """What the tensors at these places are called: by the names that are given, each once, else by their own."""
        known: dict[int, list[str]] = {}
        for name, place in named.items():
            known.setdefault(place, []).append(name)
        return tuple(known[place].pop(0) if known.get(place) else self.tensors[place].name for place in places)


@dataclass(frozen=True)
class Signature:
    """A way to call a file: places of a graph's tensors, by the names that it gives them."""

    name: str
    graph: int  # the place of its graph
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class File:
    """A LiteRT file; its first graph is the main one."""

    graphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...]

    @property
    def main(self) -> Graph:
        """The graph that runs where nothing else is named."""
        return self.graphs[0]

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the main graph's inputs and outputs are called, in order: as its signature says, else by their tensors.

        A tensor may be both, or several outputs, and has another name as each. A file of several signatures has no such
        names; each of them is called by its own.
        """
        graph, none = self.main, Signature("", 0, {}, {})
        own = self.signatures[0] if len(self.signatures) == 1 and self.signatures[0].graph == 0 else none
        return graph.called(graph.inputs, own.inputs), graph.called(graph.outputs, own.outputs)

    def dtypes(self) -> set[str]:
        """The types of all its tensors."""
        return {tensor.dtype for graph in self.graphs for tensor in graph.tensors}


def load(path: Path) -> File:
    """The file at a path, which is mapped and not held in memory.

    Raises:
        ValueError: a buffer lies beyond the file's end. What is no such file raises one of `DAMAGED`.
    """
    with path.open("rb") as file:  # the map ends with what is read of it: options may look into it
        return parse(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def parse(content: Content) -> File:
    """What a file holds, of all its graphs and signatures.

    Raises:
        ValueError: a buffer lies beyond the file's end. What is no such file raises one of `DAMAGED`.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    sizes = [_stored(model.Buffers(i), len(content)) for i in range(model.BuffersLength())]
    kinds = _kinds(schema.OperatorCodeT.InitFromObj(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength()))
    subgraphs = (schema.SubGraphT.InitFromObj(model.Subgraphs(i)) for i in range(model.SubgraphsLength()))
    signatures = [schema.SignatureDefT.InitFromObj(model.SignatureDefs(i)) for i in range(model.SignatureDefsLength())]
    return File(tuple(_graph(graph, kinds, sizes) for graph in subgraphs), tuple(map(_signature, signatures)))


def objects(content: bytes) -> Any:
    """A file as its schema's `ModelT`, to be changed: each buffer's bytes in `data`, wherever they lie in the file.

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


def compact(content: bytes) -> bytes:
    """The same file with equal short vectors once: the graphs of a decoder have the same scales and zero points."""
    import flatbuffers

    class Sharing(flatbuffers.Builder):  # type: ignore[misc]  # it ships no types
        known: ClassVar[dict[tuple[str, bytes], int]] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802  # flatbuffers calls it so
            if x.nbytes > SHORT:
                return int(super().CreateNumpyVector(x))
            key = x.dtype.str, x.tobytes()
            if key not in self.known:
                self.known[key] = int(super().CreateNumpyVector(x))
            return self.known[key]

    builder = Sharing(1024)
    builder.Finish(objects(content).Pack(builder), b"TFL3")
    return bytes(builder.Output())


def is_whole(content: Content) -> bool:
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
    return content if is_whole(content) else pack(objects(content))


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


def words(enumeration: Any) -> dict[int, str]:
    """The names of an enumeration of the schema, by their values."""
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def _kinds(codes: Iterable[Any]) -> list[str]:
    from ai_edge_litert import schema_py_generated as schema

    names = words(schema.BuiltinOperator)
    return [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes]


def _graph(graph: Any, kinds: list[str], sizes: list[int | None]) -> Graph:
    from ai_edge_litert import schema_py_generated as schema

    dtypes = {value: name.lower() for value, name in words(schema.TensorType).items()}
    buffers = [sizes[tensor.buffer] for tensor in graph.tensors]
    return Graph(
        name=(graph.name or b"").decode(),
        tensors=tuple(
            _tensor(tensor, dtypes, buffers, own) for tensor, own in zip(graph.tensors, buffers, strict=True)
        ),
        operators=tuple(
            Operator(kinds[node.opcodeIndex], _places(node.inputs), _places(node.outputs), node.builtinOptions)
            for node in graph.operators
        ),
        inputs=_places(graph.inputs),
        outputs=_places(graph.outputs),
    )


def _tensor(tensor: Any, dtypes: dict[int, str], buffers: list[int | None], own: int | None) -> Tensor:
    shape = _places(tensor.shape)
    scaling = tensor.quantization
    blocks = getattr(scaling, "details", None)
    if not hasattr(blocks, "blockSize"):
        blocks = None
    return Tensor(
        name=tensor.name.decode(),
        shape=shape,
        open_shape=shape if tensor.shapeSignature is None else _places(tensor.shapeSignature),
        dtype=dtypes[tensor.type],
        scales=() if scaling is None or scaling.scale is None else tuple(map(float, scaling.scale)),
        zero_points=() if scaling is None else _places(scaling.zeroPoint),
        stored=own + (buffers[blocks.scales] or 0) if own is not None and blocks else own,
        sparse=tensor.sparsity is not None,
        block=int(blocks.blockSize) if blocks else None,
    )


def _signature(found: Any) -> Signature:
    sides = (
        {entry.name.decode(): int(entry.tensorIndex) for entry in side or ()} for side in (found.inputs, found.outputs)
    )
    return Signature((found.signatureKey or b"").decode(), int(found.subgraphIndex), *sides)


def _places(numbers: Any) -> tuple[int, ...]:
    return () if numbers is None else tuple(int(number) for number in numbers)


def _stored(buffer: Any, end: int) -> int | None:
    """How many bytes a buffer has, which are not read."""
    if buffer.Offset() > NOWHERE and buffer.Size() > NOWHERE:
        _check(buffer.Offset(), buffer.Size(), end)
        return int(buffer.Size())
    return int(buffer.DataLength()) or None


def _part(content: bytes, offset: int, size: int) -> memoryview:
    _check(offset, size, len(content))
    return memoryview(content)[offset : offset + size]


def _check(offset: int, size: int, end: int) -> None:
    if offset + size > end:
        raise ValueError(f"a buffer ends at byte {offset + size} of a file of {end}")
