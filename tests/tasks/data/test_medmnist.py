"""Files as MedMNIST publishes them: their splits are kept, and what is wrong with them is told in one line."""

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.data import medmnist
from tasks.errors import DataError
from tasks.examples import dataset
from tasks.params import Prepare
from tasks.stages.prepare import prepare

COUNTS = {"train": 30, "val": 12, "test": 15}


def arrays(*shape, labels=1, classes=3, dtype=np.uint8):
    rng, found = np.random.default_rng(0), {}
    for split, count in COUNTS.items():
        found[f"{split}_images"] = rng.integers(0, 256, (count, *shape)).astype(dtype)
        numbers = np.arange(count) % classes if labels == 1 else rng.integers(0, 2, (count, labels))
        found[f"{split}_labels"] = numbers.reshape(count, labels).astype(np.uint8)
    return found


def write(project, **changed):
    np.savez_compressed(project / "some.npz", **arrays(28, 28) | changed)


def section(**more):
    return Prepare.model_validate({"source": "medmnist", "path": "some.npz"} | more)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3)])
def test_the_splits_are_the_files_own(project, shape):
    given = arrays(*shape)
    np.savez_compressed(project / "some.npz", **given)
    prepare(SimpleNamespace(prepare=section(calibration=10)))
    for theirs, ours in medmnist.SPLITS.items():
        found = dataset.load_raw(ours)
        image = given[f"{theirs}_images"]
        assert (found.inputs["image"] == (image if image.ndim == 4 else image[..., None])).all()
        assert found.targets["label"].tolist() == given[f"{theirs}_labels"][:, 0].tolist()
    assert dataset.spec().classes == ("0", "1", "2")
    assert dataset.targets("calibration")["label"].size == 10


def test_several_labels_at_once(project):
    given = arrays(28, 28, labels=14)
    np.savez_compressed(project / "some.npz", **given)
    prepare(SimpleNamespace(prepare=section(task="multilabel")))
    assert (dataset.targets("test")["label"] == given["test_labels"]).all()
    assert len(dataset.spec().classes) == 14
    with pytest.raises(
        DataError, match=r"train_labels: class numbers .* for several labels at once set `prepare\.task"
    ):
        medmnist.load(section())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"train_images": np.zeros((30, 28, 28, 28), np.uint8)}, r"train_images: uint8 .* volumes are not read"),
        ({"val_images": np.zeros((12, 28, 28), np.float32)}, r"val_images: uint8 .* received float32"),
        ({"test_images": np.zeros((15, 64, 64), np.uint8)}, r"test_images: images of \[28, 28, 1\] as in training"),
        ({"test_labels": np.zeros((14, 1), np.uint8)}, r"test_labels: one for each image expected, 15; received 14"),
        ({"test_labels": np.full((15, 1), 3, np.uint8)}, r"test_labels: 3 classes as in training expected; received 4"),
        ({"val_labels": np.full((12, 1), np.nan)}, r"val_labels: class numbers .* received float64"),
        ({"train_labels": np.full((30, 1), -1)}, r"train_labels: class numbers"),
        ({"train_images": np.zeros((0, 28, 28), np.uint8)}, r"train_images: uint8 .* received uint8 \[0, 28, 28\]"),
    ],
)
def test_what_is_wrong_with_an_array_is_told(project, changed, told):
    write(project, **changed)
    with pytest.raises(DataError, match=r"some\.npz: " + told):
        medmnist.load(section())


def test_a_file_that_is_not_there_or_another_is_told(project):
    with pytest.raises(DataError, match=r"some\.npz: no such file; prepare\.path names an \.npz file of MedMNIST"):
        medmnist.check(section())
    np.savez(project / "some.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"some\.npz: no array train_images, train_labels, val_images"):
        medmnist.load(section())
    (project / "some.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"some\.npz: not an \.npz file"):
        medmnist.load(section())


def test_values_are_none_of_its():
    with pytest.raises(
        ValueError, match="the task regression is of the sources csv and npz; received source 'medmnist'"
    ):
        section(task="regression")
