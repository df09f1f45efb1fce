"""The arrays of an `.npz` file, one by one, none of them allocated before its size is known to be true."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data import sizes
from tasks.errors import DataError
from tasks.examples import Array

ENDING = ".npy"


def members(path: Path) -> Iterator[tuple[str, Callable[[], Array]]]:
    """Each array's key, and a function that reads it. No pickles.

    Raises:
        DataError: not such a file; or, while reading, not such an array, or one that is not as large as it says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            sizes.check(f"{path}: all arrays", sum(info.file_size for info in infos))
            for info in infos:
                yield info.filename.removesuffix(ENDING), partial(_read, path, archive, info)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not an .npz file: cannot be read: {' '.join(str(error).split())}") from None


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    where = f"{path}: {info.filename.removesuffix(ENDING)}"
    sizes.check(where, info.file_size, info.compress_size)
    try:
        with archive.open(info) as stream:
            return _array(stream, info.file_size)
    # the file is a stranger's: numpy and zipfile raise many things for a broken one
    except (
        OSError,
        ValueError,
        EOFError,
        RuntimeError,
        AttributeError,
        SyntaxError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(f"{where}: cannot be read: {' '.join(str(error).split())}") from None


def _array(stream: Any, size: int) -> Array:
    """An array of the `.npy` format, whose header promises what follows it."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version 1.0 or 2.0 of the format expected; received {version}")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded: they are Python objects, which may run code")
    promised, there = prod(shape) * dtype.itemsize, size - stream.tell()
    if promised != there:
        raise ValueError(f"its header promises {list(shape)} of {dtype}, {promised:,} bytes; {there:,} bytes follow")
    content = stream.read(there + 1)  # one more, so that the end is reached, where the checksum is compared
    array: Array = np.frombuffer(content, dtype, prod(shape)).reshape(shape[::-1] if fortran else shape)
    return array.T if fortran else array
