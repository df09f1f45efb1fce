import numpy as np
import pytest

from tasks.data import photos
from tasks.errors import DataError
from tasks.params import Prepare


def test_squares_lie_side_by_side_in_the_middle_and_share_no_pixel():
    photo = np.arange(70 * 100, dtype=np.int64).reshape(70, 100, 1).repeat(3, axis=2)
    found = photos.squares(photo)
    assert found.shape == (2 * 3, 32, 32, 3)
    assert (found[0] == photo[3:35, 2:34]).all()
    assert (found[4] == photo[35:67, 34:66]).all()
    assert np.unique(found[..., 0]).size == found[..., 0].size
    large = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3)).astype(np.uint8)
    assert len(photos.squares(large)) == photos.MOST**2
    assert len(photos.squares(np.full((64, 64, 3), 9, np.uint8))) == 0


def test_the_photographs_are_there_and_none_of_their_squares_is_another():
    source = photos.load(Prepare(source="photos"))
    images, label = source.train.inputs["image"], source.train.targets["label"]
    assert images.shape[1:] == (32, 32, 3)
    assert images.dtype == np.uint8
    assert source.test is None
    assert len(source.classes) == len(source.origin) == 10
    counts = np.bincount(label)
    assert counts.min() > 100
    # how photographs differ, whoever decodes them: galaxies lie in the dark, tissue is pink
    mean = {name: images[label == place].mean(axis=(0, 1, 2)) for place, name in enumerate(source.classes)}
    assert mean["galaxies"].max() < 40
    assert mean["tissue"][0] > mean["tissue"][1] + 10
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


@pytest.mark.parametrize(
    ("package", "name"), [("no-such-package", "photo.png"), ("scikit-image", "skimage/data/no.png")]
)
def test_a_photograph_that_is_not_there_is_told(monkeypatch, package, name):
    monkeypatch.setattr(photos, "PHOTOS", {"cat": (package, name)})
    with pytest.raises(
        DataError, match=rf"no such file; install the version of {package} that requirements\.lock pins"
    ):
        photos.check(Prepare(source="photos"))
