"""TensorFlow Lite Micro: `.tflite` files by the kernels of microcontrollers. Its time here says nothing of theirs."""

import ctypes
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Arrays, Example, RefusedError, dequantize, quantize

PACKAGE = "tflite-micro"
MODULE = "tflite_micro.python.tflite_micro.runtime"
REFUSALS = (RuntimeError,)
ARENA_BYTES = 64 << 20  # far more than a microcontroller has; of what is not used, nothing is touched
ALLOCATION = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


class Model:
    """An artifact in the runtime; `arrays` documents the interface. It takes no `options`."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:  # noqa: ARG002 - of every runtime's
        from tflite_micro.python.tflite_micro import runtime

        content = Path(path).read_bytes()
        try:
            model = runtime.schema_fb.ModelT.InitFromPackedBuf(content, 0)
        except struct.error:
            raise RefusedError("not a LiteRT file") from None
        try:
            with spoken() as said:
                self.interpreter = runtime.Interpreter.from_bytes(content, arena_size=ARENA_BYTES)
        except RuntimeError as error:
            raise RefusedError("; ".join([*said, *_custom(model)]) or str(error)) from None
        self.inputs = {name: self._input(k) for k, name in enumerate(_names(model, "inputs"))}
        self._outputs = {name: self._output(k) for k, name in enumerate(_names(model, "outputs"))}
        self._keeps_state = any(tensor.isVariable for graph in model.subgraphs for tensor in graph.tensors)
        self.invoke = self.interpreter.invoke

    def _input(self, index: int) -> dict[str, Any]:
        return {"index": index, **self.interpreter.get_input_details(index)}

    def _output(self, index: int) -> dict[str, Any]:
        return {"index": index, **self.interpreter.get_output_details(index)}

    def prepare(self, columns: Arrays) -> list[Example]:
        """Every example, batch of one, in the model's types; the arena's plan allows no other shape than the file's."""
        pairs = [(self.inputs[name], column) for name, column in columns.items()]
        for detail, column in pairs:
            if tuple(detail["shape"]) != (1, *column.shape[1:]):
                wanted, given = tuple(map(int, detail["shape"])), (1, *column.shape[1:])
                raise RefusedError(f"its input is fixed at {wanted} and cannot be resized to {given}")
        n = len(next(iter(columns.values())))
        return [[(d["index"], quantize(a[i : i + 1], d["dtype"], *_affine(d))) for d, a in pairs] for i in range(n)]

    def put(self, example: Example) -> None:
        """Put one example in place; what a file keeps from one inference to the next starts anew with each."""
        if self._keeps_state:
            self.interpreter.reset()
        for index, value in example:
            self.interpreter.set_input(value, index)

    def read(self) -> list[Any]:
        """The outputs, as the model gives them: copies."""
        return [self.interpreter.get_output(detail["index"]) for detail in self._outputs.values()]

    def floats(self, rows: list[list[Any]]) -> Arrays:
        """What `read` gave, example by example, as float32 arrays `[n, ...]` by output name."""
        return {
            name: dequantize(np.concatenate([row[k] for row in rows]), *_affine(detail))
            for k, (name, detail) in enumerate(self._outputs.items())
        }

    def facts(self) -> dict[str, Any]:
        """`arena_bytes`: `head`, what inferences work in, `tail`, what lasts between them, and `total`."""
        with spoken() as said:  # there is no other way to be told
            self.interpreter.print_allocations()
        return {"arena_bytes": {part: int(count) for part, count in ALLOCATION.findall("\n".join(said))}}

    def operators(self) -> list[dict[str, Any]]:
        """Nothing: all run on the portable kernels, whose times mean nothing."""
        return []


@contextmanager
def spoken() -> Iterator[list[str]]:
    """Yield a list that holds, afterwards, the lines that C++ printed meanwhile."""
    lines: list[str] = []
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        try:
            yield lines
        finally:
            ctypes.CDLL(None).fflush(None)
            for stream, old in zip((1, 2), kept, strict=True):
                os.dup2(old, stream)
                os.close(old)
            file.seek(0)
            text = file.read().decode(errors="replace")
            lines += [line.strip() for line in text.splitlines() if line.strip()]


def _names(model: Any, side: str) -> list[str]:
    """The names of the main graph's inputs or outputs, in order: the signature's where there is exactly one."""
    graph = model.subgraphs[0]
    entries = getattr(model.signatureDefs[0], side) if len(model.signatureDefs or ()) == 1 else None
    named: dict[int, list[bytes]] = {}  # a tensor may be several outputs
    for entry in entries or ():
        named.setdefault(entry.tensorIndex, []).append(entry.name)
    return [(named[i].pop(0) if named.get(i) else graph.tensors[i].name).decode() for i in getattr(graph, side)]


def _affine(detail: dict[str, Any]) -> tuple[float, int]:
    """Scale and zero point; 0 and 0 where the tensor is not quantized."""
    parameters = detail["quantization_parameters"]
    if not len(parameters["scales"]):
        return 0.0, 0
    return parameters["scales"][0], int(parameters["zero_points"][0])


def _custom(model: Any) -> list[str]:
    """What custom operators are called, which the runtime does not say."""
    return [f"custom operator {code.customCode.decode()}" for code in model.operatorCodes if code.customCode]
