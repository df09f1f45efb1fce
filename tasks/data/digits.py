"""The digits that scikit-learn carries: 1,797 real 8x8 scans (UCI, Alpaydin and Kaynak 1998), enlarged to 28x28x1."""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

SIZE = 28
BRIGHTEST = 16  # of the scans


def check(params: Prepare) -> None:  # noqa: ARG001 - the signature of all sources
    """Look whether the scans are there.

    Raises:
        DataError: they are not.
    """
    if not _path().is_file():
        raise DataError(f"{_path()}: no such file; install the version of scikit-learn that requirements.lock pins")


def _path() -> Path:
    # the file itself, because importing scikit-learn takes seconds that reading 57 kB does not
    return Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))


def load(params: Prepare) -> Source:
    """The scans as uint8 [1797, 28, 28, 1]; no test split of their own.

    Raises:
        DataError: the installed scikit-learn does not carry them.
    """
    check(params)
    path = _path()
    rows = np.loadtxt(path, delimiter=",").astype(np.int64)  # 64 pixels and the digit
    images = enlarge(rows[:, :-1].reshape(-1, 8, 8), SIZE, BRIGHTEST)[..., np.newaxis]
    train = Arrays({"image": images}, {LABEL: rows[:, -1]})
    return Source({"image": "image"}, train, None, tuple("0123456789"), {path.name: sha256(path)})


def enlarge(images: NDArray[np.int64], size: int, brightest: int) -> NDArray[np.uint8]:
    """Enlarge square images bilinearly, pixel centres aligned, and stretch 0..`brightest` to 0..255.

    All in whole numbers, so that every machine gives the same bytes.

    Args:
        images: int64 [n, side, side], from 0 to `brightest`.
        size: the side of the result.
        brightest: the value that becomes 255.
    """
    side = images.shape[1]
    unit = 2 * size  # positions and weights are counted in 1 / unit of a pixel
    position = np.clip((2 * np.arange(size) + 1) * side - size, 0, (side - 1) * unit)
    low = np.minimum(position // unit, side - 2)
    weights = np.zeros((size, side), np.int64)
    weights[np.arange(size), low] = unit - (position - low * unit)
    weights[np.arange(size), low + 1] = position - low * unit
    total = weights @ images @ weights.T * 255
    whole = unit * unit * brightest
    return ((total + whole // 2) // whole).astype(np.uint8)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
