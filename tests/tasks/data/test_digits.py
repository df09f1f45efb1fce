import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from tasks.data.digits import enlarge, load
from tasks.params import Prepare

UCI_CLASS_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # optdigits.names, the testing set


def test_the_digits_are_the_set_that_uci_describes():
    source = load(Prepare(source="digits"))
    images, labels = source.train.inputs["image"], source.train.targets["label"]
    assert (images.shape, images.dtype, labels.dtype) == ((1797, 28, 28, 1), np.uint8, np.int64)
    assert np.bincount(labels).tolist() == UCI_CLASS_COUNTS
    assert source.classes == tuple("0123456789")
    assert source.test is None
    assert (images.min(), images.max()) == (0, 255)


def test_enlarging_agrees_with_scipys_bilinear_interpolation():
    scans = np.random.default_rng(0).integers(0, 17, (5, 8, 8))
    positions = np.clip((np.arange(28) + 0.5) * 8 / 28 - 0.5, 0, 7)
    grid = np.meshgrid(positions, positions, indexing="ij")
    expected = np.stack([map_coordinates(scan.astype(float), grid, order=1) for scan in scans]) * 255 / 16
    assert np.abs(enlarge(scans, 28, 16) - expected).max() <= 0.5 + 1e-9


def test_enlarging_keeps_what_is_flat_and_turns_with_the_image():
    assert np.all(enlarge(np.full((1, 8, 8), 16), 28, 16) == 255)
    scans = np.random.default_rng(1).integers(0, 17, (3, 8, 8))
    turned = np.rot90(scans, axes=(1, 2))
    assert np.array_equal(enlarge(turned, 28, 16), np.rot90(enlarge(scans, 28, 16), axes=(1, 2)))


@pytest.mark.slow  # importing scikit-learn takes seconds
def test_the_file_holds_what_scikit_learn_loads():
    from sklearn.datasets import load_digits

    scans = load_digits()
    source = load(Prepare(source="digits"))
    assert np.array_equal(source.train.inputs["image"][..., 0], enlarge(scans.images.astype(np.int64), 28, 16))
    assert np.array_equal(source.train.targets["label"], scans.target)
