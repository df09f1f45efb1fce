"""The MNIST file format (IDX, Yann LeCun's page of the data set): four files in a folder, gzip or not.

A file is a big-endian magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions), one 32-bit size
per dimension, then the bytes.
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tasks.data import sizes
from tasks.errors import DataError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

WANTED = (
    "prepare.path names the folder that holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte "
    "and t10k-labels-idx1-ubyte, gzip or not; MNIST's are at https://storage.googleapis.com/cvdf-datasets/mnist/, and "
    "`source: keras` with `dataset: mnist` downloads the same images"
)
GZIP = b"\x1f\x8b"


def check(params: Prepare) -> None:
    """Look whether the four files are there.

    Raises:
        DataError: one is not.
    """
    _files(params)


def load(params: Prepare) -> Source:
    """Read `train-images`, `train-labels`, `t10k-images` and `t10k-labels` from the folder `params.path`.

    Raises:
        DataError: a file is missing, truncated, empty or mislabelled; the message names it.
    """
    files = _files(params)
    train = _examples(files["train", "images"], files["train", "labels"])
    test = _examples(files["t10k", "images"], files["t10k", "labels"])
    _check_agreement(train, test, files["t10k", "images"], files["t10k", "labels"])
    classes = tuple(str(number) for number in range(int(train.targets[LABEL].max()) + 1))
    return Source({"image": "image"}, train, test, classes, {path.name: sha256(path) for path in files.values()})


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes with so many dimensions, gzip or not (its first bytes tell).

    No more is read than the header promises.

    Raises:
        DataError: not such a file, or not the whole of it.
    """
    with path.open("rb") as plain:
        packed = plain.read(len(GZIP)) == GZIP
        plain.seek(0)
        try:
            return _read(path, gzip.open(plain) if packed else plain, dimensions, packed=packed)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: not a whole gzip file: {error}; fetch it again") from None


def _read(path: Path, stream: BinaryIO | gzip.GzipFile, dimensions: int, *, packed: bool) -> NDArray[np.uint8]:
    header = 4 + 4 * dimensions
    start = stream.read(header)
    if not start:
        raise DataError(f"{path}: the file is empty; fetch it again")
    magic = struct.pack(">HBB", 0, 8, dimensions)
    if start[:4] != magic:
        raise DataError(
            f"{path}: not an IDX file of bytes in {dimensions} dimension(s): magic number 0x{magic.hex()} expected; "
            f"received 0x{start[:4].hex()}"
        )
    if len(start) < header:
        raise DataError(f"{path}: truncated: a header of {header} bytes expected; received {len(start)}")
    shape = struct.unpack(f">{dimensions}I", start[4:])
    if not prod(shape):
        raise DataError(f"{path}: at least one example of one pixel expected; received {list(shape)}")
    stored = path.stat().st_size
    if not packed and prod(shape) != stored - header:
        raise _other_size(path, shape, stored - header)
    sizes.check(str(path), prod(shape), stored if packed else None)
    content = stream.read(prod(shape) + 1)
    if len(content) != prod(shape):
        raise _other_size(path, shape, len(content) if len(content) < prod(shape) else None)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _other_size(path: Path, shape: tuple[int, ...], received: int | None) -> DataError:
    promised = " x ".join(map(str, shape))
    found = "more" if received is None else str(received)
    return DataError(
        f"{path}: truncated or overlong: the header promises {promised} = {prod(shape)} bytes; received {found}"
    )


def _files(params: Prepare) -> dict[tuple[str, str], Path]:
    """The four files, by split and part."""
    folder = Path(str(params.path))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {WANTED}")
    return {
        (split, part): _find(folder, split, part, dimensions)
        for split in ("train", "t10k")
        for part, dimensions in (("images", 3), ("labels", 1))
    }


def _find(folder: Path, split: str, part: str, dimensions: int) -> Path:
    name = f"{split}-{part}-idx{dimensions}-ubyte"
    dotted = f"{split}-{part}.idx{dimensions}-ubyte"
    for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataError(f"{folder}: no file {name}, with or without .gz; {WANTED}")


def _examples(images_path: Path, labels_path: Path) -> Arrays:
    images, labels = read(images_path, 3), read(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: one label per image of {images_path.name} expected, {len(images)}; received {len(labels)}"
        )
    return Arrays({"image": images[..., np.newaxis]}, {LABEL: labels.astype(np.int64)})


def _check_agreement(train: Arrays, test: Arrays, images_path: Path, labels_path: Path) -> None:
    expected, received = train.inputs["image"].shape[1:3], test.inputs["image"].shape[1:3]
    if expected != received:
        raise DataError(f"{images_path}: images of {expected} as in training expected; received {received}")
    most, highest = int(train.targets[LABEL].max()), int(test.targets[LABEL].max())
    if highest > most:
        raise DataError(f"{labels_path}: labels from 0 to {most} as in training expected; received {highest}")


SOURCE = DataSource(schema=Prepare, check=check, load=load)
