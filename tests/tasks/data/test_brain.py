import gzip

import numpy as np
import pytest

from tasks.data import brain
from tasks.errors import DataError
from tasks.examples import twins
from tasks.params import Prepare


@pytest.fixture(scope="module")
def source():
    return brain.load(Prepare(source="brain"))


def test_each_split_has_all_tissues_and_shares_no_square(source):
    splits = {"train": source.train, "validation": source.validation, "test": source.test}
    for part in splits.values():
        assert part.inputs["image"].shape[1:] == (28, 28, 1)
        assert np.bincount(part.targets["label"], minlength=3).min() > 20
    own = [set(twins.digests(part)) for part in splits.values()]
    assert sum(map(len, own)) == len(set.union(*own))


def test_white_matter_is_brighter_in_the_middle_than_grey(source):
    """As it is in every T1-weighted image."""
    middle, label = source.train.inputs["image"][:, 14, 14, 0], source.train.targets["label"]
    dark, grey, white = (np.median(middle[label == number]) for number in range(3))
    assert dark < grey < white


def test_squares_are_around_their_points_in_the_left_half_alone():
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 3, (60, 70, 80)).astype(np.uint8)
    grey, white = (rng.integers(0, 256, seen.shape).astype(np.uint8) for _ in range(2))
    images, labels, slices = brain.squares(seen, grey, white)
    expected = []
    for number, z in enumerate(range(14, 46, brain.SLICE_STEP)):
        for y in range(14, 56, brain.STEP):
            for x in range(14, 26, brain.STEP):
                if seen[z, y, x]:
                    kind = 1 if grey[z, y, x] >= 128 else 2 if white[z, y, x] >= 128 else 0
                    expected.append((number, kind, seen[z, y - 14 : y + 14, x - 14 : x + 14].tobytes()))
    assert list(zip(slices.tolist(), labels.tolist(), map(np.ndarray.tobytes, images), strict=True)) == expected


def test_what_is_no_such_volume_is_told(tmp_path):
    path = tmp_path / "t1.nii.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"t1\.nii\.gz: not a whole gzip file"):
        brain.volume(path)
    for content in (b"", bytes(brain.OFFSET + 197 * 233 * 189)):
        path.write_bytes(gzip.compress(content, 1))
        with pytest.raises(DataError, match=r"t1\.nii\.gz: a volume of 197 x 233 x 189 bytes expected"):
            brain.volume(path)
