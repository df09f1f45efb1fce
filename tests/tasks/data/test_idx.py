import gzip
import hashlib
import struct

import numpy as np
import pytest

from tasks.data.idx import load
from tasks.errors import DataError
from tasks.params import Prepare

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def encode(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(encode(IMAGES if "images" in name else LABELS))
    return tmp_path


def load_from(folder):
    return load(Prepare(source="idx", path=str(folder)))


def test_pixels_and_labels_come_back(folder):
    source = load_from(folder)
    for examples in (source.train, source.test):
        assert examples.inputs["image"].dtype == np.uint8
        assert np.array_equal(examples.inputs["image"], IMAGES[..., np.newaxis])
        assert examples.targets["label"].dtype == np.int64
        assert np.array_equal(examples.targets["label"], LABELS)
    assert source.classes == ("0", "1", "2")
    assert source.origin[NAMES[0]] == hashlib.sha256(encode(IMAGES)).hexdigest()


@pytest.mark.parametrize("rename", ["{}.gz", "{}"])  # gzip is told by the content, not by the name
def test_gzip_and_the_dotted_names_are_read_too(folder, rename):
    for name in NAMES:
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        (folder / rename.format(name.replace("-idx", ".idx"))).write_bytes(gzip.compress(content))
    assert np.array_equal(load_from(folder).train.inputs["image"][..., 0], IMAGES)


BROKEN = {
    "empty": (NAMES[0], b"", "empty"),
    "truncated": (NAMES[0], encode(IMAGES)[:-7], "promises 6 x 5 x 4 = 120 bytes; received 113"),
    "overlong": (NAMES[2], encode(IMAGES) + b"xx", "120 bytes; received 122"),
    "header cut": (NAMES[1], encode(LABELS)[:6], "header of 8 bytes expected; received 6"),
    "wrong magic": (NAMES[0], encode(LABELS), "0x00000803 expected; received 0x00000801"),
    "not idx": (NAMES[3], b"<html>not found</html>", "received 0x3c68746d"),
    "fewer labels": (NAMES[1], encode(LABELS[:4]), "train-images-idx3-ubyte expected, 6; received 4"),
    "no examples": (NAMES[0], encode(IMAGES[:0]), "at least one example"),
    "unknown label": (NAMES[3], encode(LABELS + np.uint8(5)), "labels from 0 to 2 as in training expected; received 7"),
    "other size": (NAMES[2], encode(IMAGES[:, :4]), "images of (5, 4) as in training expected; received (4, 4)"),
    "half a gzip": (NAMES[0], gzip.compress(encode(IMAGES))[:-9], "not a whole gzip file"),
    "no gzip": (NAMES[0], b"\x1f\x8bnothing", "not a whole gzip file"),
    "damaged gzip": (NAMES[0], b"\x1f\x8b\x08\x00" + b"\xff" * 40, "not a whole gzip file"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_from(folder)
    assert str(caught.value).startswith(str(folder / name))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_folder_are_named(folder):
    (folder / NAMES[3]).unlink()
    with pytest.raises(DataError, match=NAMES[3]):
        load_from(folder)
    with pytest.raises(DataError, match="elsewhere: no such folder"):
        load_from(folder / "elsewhere")


def test_mnist_is_what_its_page_says(data):
    if not (data / "mnist").is_dir():
        pytest.skip(f"no mnist folder in {data}")
    source = load_from(data / "mnist")
    train, test = source.train, source.test
    assert train.inputs["image"].shape == (60000, 28, 28, 1)
    assert test.inputs["image"].shape == (10000, 28, 28, 1)
    assert train.targets["label"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(train.targets["label"])[[0, 1, 5]].tolist() == [5923, 6742, 5421]
    assert round(train.inputs["image"].mean() / 255, 4) == 0.1307  # the figure that everybody normalises with
