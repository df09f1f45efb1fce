"""Ten photographs that scikit-image and scikit-learn carry, cut into squares of 32 x 32: which one is a square of?

Real pixels, and a task that a small network learns in a minute: textures and colours, not things. No two squares share
a pixel, so none that judges was learnt from; neighbours are alike all the same, so it is easier than new photographs
would be.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.examples.images import decode, look
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

SIDE = 32
MOST = 16  # squares a side, from the middle of a photograph
PHOTOS = {  # by what they show: the package and the file
    "astronaut": ("scikit-image", "skimage/data/astronaut.png"),
    "cat": ("scikit-image", "skimage/data/chelsea.png"),
    "coffee": ("scikit-image", "skimage/data/coffee.png"),
    "flower": ("scikit-learn", "sklearn/datasets/images/flower.jpg"),
    "galaxies": ("scikit-image", "skimage/data/hubble_deep_field.jpg"),
    "motorcycle": ("scikit-image", "skimage/data/motorcycle_left.png"),
    "retina": ("scikit-image", "skimage/data/retina.jpg"),
    "rocket": ("scikit-image", "skimage/data/rocket.jpg"),
    "temple": ("scikit-learn", "sklearn/datasets/images/china.jpg"),
    "tissue": ("scikit-image", "skimage/data/ihc.png"),
}


def check(params: Prepare) -> None:  # noqa: ARG001 - the signature of all sources
    """Look whether the photographs are there.

    Raises:
        DataError: one is not.
    """
    for package, name in PHOTOS.values():
        located(package, name)


def located(package: str, name: str) -> Path:
    """A file that an installed package carries; the package itself is not imported.

    Raises:
        DataError: it does not.
    """
    try:
        path = Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError:
        path = Path(name)
    if not path.is_file():
        raise DataError(f"{path}: no such file; install the version of {package} that requirements.lock pins")
    return path


def load(params: Prepare) -> Source:
    """The squares as uint8 [n, 32, 32, 3], photograph by photograph; no test split of their own.

    Raises:
        DataError: a photograph is missing, or is no image.
    """
    check(params)
    parts, origin = [], {}
    for package, name in PHOTOS.values():
        path = located(package, name)
        parts.append(squares(_pixels(path)))
        origin[path.name] = sha256(path)
    label = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Source(
        {"image": "image"}, Arrays({"image": np.concatenate(parts)}, {LABEL: label}), None, tuple(PHOTOS), origin
    )


def _pixels(path: Path) -> NDArray[np.uint8]:
    content = path.read_bytes()
    try:
        seen = look(content)
        return decode(content, (seen.height, seen.width, 3))
    except ValueError as error:
        raise DataError(f"{path}: {error}; install its package anew") from None


def squares(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The squares that lie side by side in the middle of a photograph, row by row, but for those of one colour alone.

    Args:
        photo: [height, width, 3].

    Returns:
        uint8 [n, 32, 32, 3], n at most 256.
    """
    rows, columns = (min(MOST, side // SIDE) for side in photo.shape[:2])
    top, left = ((side - count * SIDE) // 2 for side, count in zip(photo.shape, (rows, columns), strict=False))
    middle = photo[top : top + rows * SIDE, left : left + columns * SIDE]
    found: NDArray[np.uint8] = middle.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
    several = np.flatnonzero(np.ptp(found, axis=(1, 2)).any(axis=1))
    return found[several]


SOURCE = DataSource(schema=Prepare, check=check, load=load)
