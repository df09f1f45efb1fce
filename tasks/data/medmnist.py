"""An `.npz` file as MedMNIST publishes them: small images of medicine with splits of their own.

Yang et al., "MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image classification" (2023).
Six arrays: `train_images`, `val_images` and `test_images`, uint8 [n, side, side] (grey) or [n, side, side, 3], and
`train_labels`, `val_labels` and `test_labels`, class numbers [n, 1] or [n], or 0 and 1 for each of several labels
[n, labels] (`prepare.task: multilabel`).
"""

from pathlib import Path

import numpy as np

from tasks.data import archives
from tasks.errors import DataError
from tasks.examples import Array, Arrays
from tasks.examples.dataset import LABEL, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Prepare

SPLITS = {"train": "train", "val": "validation", "test": "test"}  # its names, and ours
KEYS = tuple(f"{split}_{part}" for split in SPLITS for part in ("images", "labels"))
CHANNELS = (1, 3)


def check(params: Prepare) -> None:
    """Look whether the file is there.

    Raises:
        DataError: it is not.
    """
    if not Path(str(params.path)).is_file():
        raise DataError(
            f"{params.path}: no such file; prepare.path names an .npz file of MedMNIST, with the arrays "
            f"{', '.join(KEYS)}; `medmnist` on PyPI downloads them"
        )


def load(params: Prepare) -> Source:
    """Read the file `params.path`: images uint8 [n, side, side, channels], and the splits that it has.

    Raises:
        DataError: an array is missing or broken, or not what its key promises; the message names it.
    """
    check(params)
    path = Path(str(params.path))
    arrays = {key: read() for key, read in archives.members(path) if key in KEYS}
    if absent := [key for key in KEYS if key not in arrays]:
        raise DataError(f"{path}: no array {', '.join(absent)}; MedMNIST's files have {', '.join(KEYS)}")
    parts = {
        ours: Arrays(
            {"image": _images(f"{path}: {split}_images", arrays[f"{split}_images"])},
            {LABEL: _labels(f"{path}: {split}_labels", arrays[f"{split}_labels"], params)},
        )
        for split, ours in SPLITS.items()
    }
    for split, ours in SPLITS.items():
        _check_agreement(f"{path}: {split}", parts[ours], parts["train"])
    classes = tuple(map(str, range(_classes(parts["train"].targets[LABEL]))))
    return Source(
        {"image": "image"},
        parts["train"],
        parts["test"],
        classes,
        {path.name: sha256(path)},
        validation=parts["validation"],
    )


def _images(where: str, array: Array) -> Array:
    found = array[..., np.newaxis] if array.ndim == 3 else array
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[-1] not in CHANNELS or not found.size:
        raise DataError(
            f"{where}: uint8 [n, side, side] or [n, side, side, 3] expected; received {array.dtype} "
            f"{list(array.shape)}: volumes are not read"
        )
    return found


def _labels(where: str, array: Array, params: Prepare) -> Array:
    several = params.task == "multilabel"
    found = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 and not several else array
    if found.dtype.kind not in "iub" or found.ndim != (2 if several else 1) or not found.size or found.min() < 0:
        hint = "; for several labels at once set `prepare.task: multilabel`" if found.ndim == 2 else ""
        wanted = "0 or 1 for each label, [n, labels]" if several else "class numbers [n, 1] or [n]"
        raise DataError(f"{where}: {wanted} expected; received {array.dtype} {list(array.shape)}{hint}")
    if several and found.max() > 1:
        raise DataError(f"{where}: 0 or 1 for each label expected; received {found.max()}")
    return found.astype(np.int64)


def _classes(labels: Array) -> int:
    """How many classes class numbers count, or labels there are."""
    return labels.shape[1] if labels.ndim > 1 else int(labels.max()) + 1


def _check_agreement(where: str, part: Arrays, train: Arrays) -> None:
    images, labels, expected = part.inputs["image"], part.targets[LABEL], train.inputs["image"].shape[1:]
    if len(images) != len(labels):
        raise DataError(f"{where}_labels: one for each image expected, {len(images)}; received {len(labels)}")
    if images.shape[1:] != expected:
        raise DataError(
            f"{where}_images: images of {list(expected)} as in training expected; received {list(images.shape[1:])}"
        )
    most, received = _classes(train.targets[LABEL]), _classes(labels)
    if received > most or (labels.ndim > 1 and received != most):
        raise DataError(f"{where}_labels: {most} classes as in training expected; received {received}")


SOURCE = DataSource(schema=Prepare, check=check, load=load)
