"""The breast-cancer table that scikit-learn carries: 569 tumours, 30 numbers of the nuclei of each.

W. H. Wolberg, W. N. Street, O. L. Mangasarian: Wisconsin Diagnostic Breast Cancer (1995), at UCI.
"""

from importlib.metadata import distribution
from itertools import product
from pathlib import Path

import numpy as np

from tasks.errors import DataError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

MEASURED = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
    "fractal dimension",
)  # fmt: skip
COLUMNS = tuple(told.format(name) for told, name in product(("mean {}", "{} error", "worst {}"), MEASURED))
CLASSES = ("benign", "malignant")  # what is looked for is the second
MALIGNANT = 0  # in the file


def check(params: Prepare) -> None:  # noqa: ARG001 - the signature of all sources
    """Look whether the table is there.

    Raises:
        DataError: it is not.
    """
    if not _path().is_file():
        raise DataError(f"{_path()}: no such file; install the version of scikit-learn that requirements.lock pins")


def _path() -> Path:
    # the file itself, because importing scikit-learn takes seconds that reading 117 kB does not
    return Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/breast_cancer.csv")))


def load(params: Prepare) -> Source:
    """The numbers as float64 [569, 30]; no test split of their own.

    Raises:
        DataError: the installed scikit-learn does not carry them.
    """
    check(params)
    path = _path()
    rows = np.loadtxt(path, delimiter=",", skiprows=1)
    label = (rows[:, -1] == MALIGNANT).astype(np.int64)
    return Source(
        kinds={"numbers": "number"},
        train=Arrays({"numbers": rows[:, :-1]}, {LABEL: label}),
        test=None,
        classes=CLASSES,
        origin={path.name: sha256(path)},
        columns={"numbers": COLUMNS},
    )


SOURCE = DataSource(schema=Prepare, check=check, load=load)
