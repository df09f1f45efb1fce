"""The MNIST file format (IDX, Yann LeCun's page of the data set): four files in a folder, gzip or not.

A file is a big-endian magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions), one 32-bit size
per dimension, then the bytes.
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.dataset import LABEL, Examples, Source
from tasks.errors import DataError
from tasks.files import sha256
from tasks.params import Prepare

GZIP = b"\x1f\x8b"


def load(params: Prepare) -> Source:
    """Read `train-images`, `train-labels`, `t10k-images` and `t10k-labels` from the folder `params.path`.

    Raises:
        DataError: a file is missing, truncated, empty or mislabelled; the message names it.
    """
    folder = Path(str(params.path))
    files = {
        (split, part): _find(folder, split, part, dimensions)
        for split in ("train", "t10k")
        for part, dimensions in (("images", 3), ("labels", 1))
    }
    train = _examples(files["train", "images"], files["train", "labels"])
    test = _examples(files["t10k", "images"], files["t10k", "labels"])
    _check_agreement(train, test, files["t10k", "images"], files["t10k", "labels"])
    classes = tuple(str(number) for number in range(int(train.targets[LABEL].max()) + 1))
    return Source("image", train, test, classes, {path.name: sha256(path) for path in files.values()})


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes with so many dimensions, gzip or not (its first bytes tell).

    Raises:
        DataError: not such a file, or not the whole of it.
    """
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: not a whole gzip file: {error}; fetch it again") from None
    if not content:
        raise DataError(f"{path}: the file is empty; fetch it again")
    magic = struct.pack(">HBB", 0, 8, dimensions)
    header = 4 + 4 * dimensions
    if content[:4] != magic:
        raise DataError(
            f"{path}: not an IDX file of bytes in {dimensions} dimension(s): magic number 0x{magic.hex()} expected; "
            f"received 0x{content[:4].hex()}"
        )
    if len(content) < header:
        raise DataError(f"{path}: truncated: a header of {header} bytes expected; received {len(content)}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != prod(shape):
        promised = " x ".join(map(str, shape))
        raise DataError(
            f"{path}: truncated or overlong: the header promises {promised} = {prod(shape)} bytes; "
            f"received {len(content) - header}"
        )
    if not prod(shape):
        raise DataError(f"{path}: at least one example expected; received none")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder: Path, split: str, part: str, dimensions: int) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; prepare.path names the one that holds the IDX files")
    name = f"{split}-{part}-idx{dimensions}-ubyte"
    dotted = f"{split}-{part}.idx{dimensions}-ubyte"
    for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataError(f"{folder}: no file {name}, with or without .gz; all four MNIST files are needed")


def _examples(images_path: Path, labels_path: Path) -> Examples:
    images, labels = read(images_path, 3), read(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: one label per image of {images_path.name} expected, {len(images)}; received {len(labels)}"
        )
    return Examples({"image": images[..., np.newaxis]}, {LABEL: labels.astype(np.int64)})


def _check_agreement(train: Examples, test: Examples, images_path: Path, labels_path: Path) -> None:
    expected, received = train.inputs["image"].shape[1:3], test.inputs["image"].shape[1:3]
    if expected != received:
        raise DataError(f"{images_path}: images of {expected} as in training expected; received {received}")
    most, highest = int(train.targets[LABEL].max()), int(test.targets[LABEL].max())
    if highest > most:
        raise DataError(f"{labels_path}: labels from 0 to {most} as in training expected; received {highest}")
