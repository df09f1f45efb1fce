"""LiteRT: `.tflite` files."""

import struct
from collections import Counter
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Arrays, Example, RefusedError, dequantize, one_line, quantize

PACKAGE = "ai-edge-litert"
MODULE = "ai_edge_litert.interpreter"
DELEGATE = "DELEGATE"  # as an interpreter calls a part that was taken over
REFUSALS = (RuntimeError,)  # some come only with the first inference


class Model:
    """An artifact in the runtime; `arrays` documents the interface.

    `options`: `kernels` ("default", or "reference": the portable ones), `threads`.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._keeps_state = _has_variables(Path(path))
        kernels = {"default": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}[options["kernels"]]
        try:
            self.interpreter = Interpreter(path, num_threads=options["threads"], experimental_op_resolver_type=kernels)
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise RefusedError(one_line(error)) from None
        self.inputs, self._outputs = self._named("input"), self._named("output")
        self._indices = [detail["index"] for detail in self._outputs.values()]
        self.invoke = self.interpreter.invoke  # as it is: a call more would show in the figure of a small model

    def _named(self, side: str) -> dict[str, Any]:
        """Details by name: the signature's where the model has exactly one, else the tensors'."""
        signatures = self.interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = self.interpreter.get_signature_runner(next(iter(signatures)))
            named: dict[str, Any] = getattr(runner, f"get_{side}_details")()
            if named:
                return named
        return {detail["name"]: detail for detail in getattr(self.interpreter, f"get_{side}_details")()}

    def prepare(self, columns: Arrays) -> list[Example]:
        """Every example, batch of one, in the model's types; the model takes their shape from now on."""
        pairs = [(self.inputs[name], column) for name, column in columns.items()]
        wrong = [(d, a) for d, a in pairs if tuple(d["shape"]) != (1, *a.shape[1:])]
        for detail, column in wrong:
            self.interpreter.resize_tensor_input(detail["index"], (1, *column.shape[1:]), strict=True)
        if wrong:
            self.interpreter.allocate_tensors()
        n = len(next(iter(columns.values())))
        return [
            [(d["index"], quantize(a[i : i + 1], d["dtype"], *d["quantization"])) for d, a in pairs] for i in range(n)
        ]

    def put(self, example: Example) -> None:
        """Put one example in place; what a file keeps from one inference to the next starts anew with each."""
        if self._keeps_state:
            self.interpreter.reset_all_variables()
        for index, value in example:
            self.interpreter.set_tensor(index, value)

    def read(self) -> list[Any]:
        """The outputs, as the model gives them."""
        return [self.interpreter.get_tensor(index) for index in self._indices]

    def floats(self, rows: list[list[Any]]) -> Arrays:
        """What `read` gave, example by example, as float32 arrays `[n, ...]` by output name."""
        return {
            name: dequantize(np.concatenate([row[k] for row in rows]), *detail["quantization"])
            for k, (name, detail) in enumerate(self._outputs.items())
        }

    def facts(self) -> dict[str, Any]:
        """Under `delegate`, what the fast kernels of XNNPACK leave to LiteRT's own."""
        # private, so it may be gone with any version; TensorFlow's own analyzer reads it
        listed: Callable[[], list[dict[str, Any]]] = getattr(self.interpreter, "_get_ops_details", list)
        operators = listed()
        ends = [detail["index"] for detail in self.interpreter.get_output_details()]
        return {"delegate": outside(operators, ends)} if operators else {}

    def operators(self) -> list[dict[str, Any]]:
        """Each operator of the main graph; the runtime does not tell their times."""
        return []


def outside(operators: list[dict[str, Any]], ends: list[int]) -> dict[str, Any]:
    """What a delegate has not taken over of a graph.

    A delegate's part gives what others need of it, so an operator stands outside where its output is needed, by what
    stands outside, by a part or as the answer, and no part gives it.

    Args:
        operators: as the interpreter lists them: those of the file, then the delegate's parts.
        ends: the numbers of the tensors that are the answer.

    Returns:
        `operators` (of the file), `parts` (of the delegate), and how many of each kind are `outside`.
    """
    parts = [each for each in operators if each["op_name"] == DELEGATE]
    given = {int(tensor) for part in parts for tensor in part["outputs"]}
    rest = [each for each in operators if each["op_name"] != DELEGATE]
    maker = {int(tensor): each for each in rest for tensor in each["outputs"]}
    needed = [*map(int, ends), *(int(tensor) for part in parts for tensor in part["inputs"])]
    found: dict[int, str] = {}
    while needed:
        tensor = needed.pop()
        made = maker.get(tensor)
        if made and tensor not in given and made["index"] not in found:
            found[made["index"]] = made["op_name"]
            needed += map(int, made["inputs"])
    return {"operators": len(rest), "parts": len(parts), "outside": dict(sorted(Counter(found.values()).items()))}


def _has_variables(path: Path) -> bool:
    """Whether a file has variable tensors, as a fused LSTM keeps its state in; what is no such file has none.

    It reads the flatbuffer itself: the schema's module would take memory and time that are the model's to show.
    """
    with path.open("rb") as file:
        try:
            content = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
            graphs = _tables(content, _field(content, _target(content, 0), 2))  # Model.subgraphs
            tensors = (tensor for graph in graphs for tensor in _tables(content, _field(content, graph, 0)))
            variables = (_field(content, tensor, 5) for tensor in tensors)  # Tensor.is_variable; absent where false
            return any(place and content[place] for place in variables)
        except (IndexError, struct.error, ValueError):  # the runtime itself says what is wrong with it
            return False


def _target(content: memoryview, place: int) -> int:
    """Where an offset of a flatbuffer leads."""
    return int(place + struct.unpack_from("<I", content, place)[0])


def _field(content: memoryview, table: int, number: int) -> int:
    """Where a table's field stands, by its number in the schema, which never changes; 0 where it is left out."""
    shape = table - struct.unpack_from("<i", content, table)[0]
    entry = 4 + 2 * number
    if entry >= struct.unpack_from("<H", content, shape)[0]:
        return 0
    offset = struct.unpack_from("<H", content, shape + entry)[0]
    return int(table + offset) if offset else 0


def _tables(content: memoryview, place: int) -> list[int]:
    """Where the tables of a vector stand, which a field holds."""
    if not place:
        return []
    vector = _target(content, place)
    count = struct.unpack_from("<I", content, vector)[0]
    return [_target(content, vector + 4 * k) for k in range(1, count + 1)]
