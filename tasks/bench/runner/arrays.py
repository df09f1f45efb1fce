"""What every runtime shares: the interface of a model in it, and how numbers go in and come out."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol
from zipfile import ZipFile, ZipInfo

import numpy as np

Arrays = dict[str, Any]  # numpy arrays by name
Example = list[tuple[Any, Any]]  # one input each: how the runtime calls it, and its array with a batch axis of 1
LOCAL_HEADER = 30  # bytes of a zip file in front of a member's name


class RefusedError(Exception):
    """The runtime cannot run this model."""


class Model(Protocol):
    """An artifact in a runtime: `Model(path, options)`, in the module of the runtime's name.

    The module also has `PACKAGE`, whose version is recorded, `MODULE`, which is imported before memory is looked at,
    and `REFUSALS`, the exceptions by which a first inference says that the runtime cannot run the model.

    Raises:
        RefusedError: the runtime cannot load it or give it memory.
    """

    inputs: dict[str, Any]  # by name, in the model's order
    invoke: Callable[[], Any]  # infer once; timed

    def prepare(self, columns: Arrays) -> list[Example]:
        """Arrays `[n, ...]` by the model's input names become n examples in the model's own types."""
        ...

    def put(self, example: Example) -> None:
        """Put one example in place, on the device; not timed."""
        ...

    def read(self) -> list[Any]:
        """Every output, once it is there, in this machine's memory; timed."""
        ...

    def floats(self, rows: list[list[Any]]) -> Arrays:
        """What `read` gave for each of n examples, as float32 arrays `[n, ...]` by output name."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the runtime alone can say of the model (its arena, its delegates); may be empty.

        Under `environment`, what it can say of the device; that goes to the others of its kind.
        """
        ...

    def operators(self) -> list[dict[str, Any]]:
        """Each operator: `name`, `kind`, `ran_on` and `ms`, the median of all inferences; null where it cannot say.

        Complete only where the options held `profile`.
        """
        ...


def load(path: str) -> Arrays:
    """Read an `.npz`; nothing in it is executed."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def mapped(path: str) -> Arrays:
    """The arrays of an `.npz` that is not compressed, mapped into memory: what is not looked at is not read."""
    found = {}
    with ZipFile(path) as archive, Path(path).open("rb") as file:
        for member in archive.infolist():
            with archive.open(member) as content:
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, by_columns, dtype = header[np.lib.format.read_magic(content)](content)
                start = place_of(file, member) + content.tell()
            order: Literal["F", "C"] = "F" if by_columns else "C"
            array = np.memmap(path, dtype, "r", start, shape, order) if 0 not in shape else np.empty(shape, dtype)
            found[member.filename.removesuffix(".npy")] = np.asarray(array)
    return found


def place_of(file: BinaryIO, member: ZipInfo) -> int:
    """Where a member of a zip file begins in it.

    Raises:
        ValueError: it is compressed.
    """
    if member.compress_type:
        raise ValueError(f"{file.name}: {member.filename} is compressed, so it cannot be mapped")
    file.seek(member.header_offset + LOCAL_HEADER - 4)
    names: int = sum(struct.unpack("<HH", file.read(4)))  # the member's, and what else its header holds
    return member.header_offset + LOCAL_HEADER + names


def match(arrays: Arrays, names: list[str]) -> Arrays:
    """The arrays under the model's own input names: by name, but one alone may have any.

    Raises:
        ValueError: other inputs, or arrays of different lengths.
    """
    if len(arrays) != len(names) or len({len(a) for a in arrays.values()}) != 1:
        shapes = {name: a.shape for name, a in arrays.items()}
        raise ValueError(f"inputs: the model takes {names}, of one length; received {shapes}")
    if len(names) == 1:
        return dict(zip(names, arrays.values(), strict=True))
    if arrays.keys() != set(names):  # by their order two inputs of one shape would be taken for each other
        raise ValueError(f"inputs: the model takes {names}; received {list(arrays)}; several are matched by name")
    return {name: arrays[name] for name in names}


def quantize(values: Any, dtype: Any, scale: float, zero_point: int) -> Any:
    """Values in a model input's type; floats for an integer input are scaled, rounded and clipped."""
    if scale and np.issubdtype(dtype, np.integer) and np.issubdtype(values.dtype, np.floating):
        limits = np.iinfo(dtype)
        values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return values.astype(dtype)


def dequantize(values: Any, scale: float, zero_point: int) -> Any:
    """Values of a model output as float32."""
    values = values.astype(np.float32)
    return (values - np.float32(zero_point)) * np.float32(scale) if scale else values


def one_line(error: Exception) -> str:
    """An exception as one line."""
    return " ".join(str(error).split()) or type(error).__name__
