"""The template of a human brain that nilearn carries, in squares of 28 x 28: which tissue is in a square's middle?

The mean of 152 heads seen by magnetic resonance (T1), with what share of each voxel of 1 mm is grey and white matter:
Fonov et al., "Unbiased average age-appropriate atlases for pediatric studies" (2011). The template's right half mirrors
its left, so the left alone is used. Slabs of the brain train and judge by turns, and the slices where they meet are
left out: no square that judges overlaps one that trains. It is one brain, and so no measure of medicine.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data.photos import located
from tasks.errors import DataError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

FILE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
VOLUMES = ("t1", "gm", "wm")  # what is seen, and the shares of grey and of white matter, 255 for all
CLASSES = ("neither", "grey matter", "white matter")
SHAPE, HEADER, OFFSET = (197, 233, 189), 348, 352  # x, y and z of a volume; NIfTI-1: its header, and where voxels begin
UINT8 = 2  # as NIfTI-1 calls it
SIDE, STEP = 28, 7  # of a square, and from one to the next within a slice
SLICE_STEP, SLAB = 2, 10  # from one slice to the next, and the slices of a slab, of which the last is left out
TURNS = ("train", "train", "validation", "train", "test")  # what the slabs are for, from below


def check(params: Prepare) -> None:  # noqa: ARG001 - the signature of all sources
    """Look whether the template is there.

    Raises:
        DataError: it is not.
    """
    for name in VOLUMES:
        located("nilearn", FILE.format(name))


def load(params: Prepare) -> Source:
    """The squares as uint8 [n, 28, 28, 1], from below.

    Raises:
        DataError: the installed nilearn does not carry the template.
    """
    check(params)
    paths = {name: located("nilearn", FILE.format(name)) for name in VOLUMES}
    images, labels, slices = squares(*(volume(path) for path in paths.values()))
    slab, place = np.divmod(slices, SLAB)
    turn = np.array(TURNS)[slab % len(TURNS)]
    parts = {}
    for split in dict.fromkeys(TURNS):
        chosen = np.flatnonzero((turn == split) & (place < SLAB - 1))
        parts[split] = Arrays({"image": images[chosen]}, {LABEL: labels[chosen]})
    origin = {path.name: sha256(path) for path in paths.values()}
    return Source({"image": "image"}, parts["train"], parts["test"], CLASSES, origin, validation=parts["validation"])


def volume(path: Path) -> NDArray[np.uint8]:
    """The voxels of a NIfTI-1 file of the template's size: uint8 [z, y, x].

    Raises:
        DataError: it is another file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}; install nilearn anew") from None
    x, y, z = SHAPE
    if len(content) != OFFSET + x * y * z or _header(content) != (HEADER, 3, x, y, z, UINT8):
        raise DataError(f"{path}: a volume of {x} x {y} x {z} bytes expected; received another: install nilearn anew")
    return np.frombuffer(content, np.uint8, offset=OFFSET).reshape(z, y, x)


def _header(content: bytes) -> tuple[int, ...]:
    """Its length, the number of axes, three of their sizes, and the type of a voxel."""
    return (
        *struct.unpack_from("<i", content),
        *struct.unpack_from("<4h", content, 40),
        *struct.unpack_from("<h", content, 70),
    )


def squares(
    seen: NDArray[np.uint8], grey: NDArray[np.uint8], white: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Squares around points of the left half at which there is something to be seen.

    Args:
        seen: [z, y, x].
        grey: likewise, the share of grey matter; more than half of 255 makes a point grey.
        white: likewise.

    Returns:
        The squares uint8 [n, 28, 28, 1], the class of each point int64 [n], and the number of its slice, from below.
    """
    half, first = seen.shape[2] // 2, SIDE // 2
    images, labels, slices = [], [], []
    for number, z in enumerate(range(first, seen.shape[0] - first, SLICE_STEP)):
        for y in range(first, seen.shape[1] - first, STEP):
            for x in range(first, half - first, STEP):
                if seen[z, y, x]:
                    images.append(seen[z, y - first : y + first, x - first : x + first, np.newaxis])
                    labels.append(1 if grey[z, y, x] > 127 else 2 if white[z, y, x] > 127 else 0)
                    slices.append(number)
    return np.array(images), np.array(labels, np.int64), np.array(slices, np.int64)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
