import numpy as np
import pytest

from tasks.errors import DataError
from tasks.examples import dataset
from tasks.stages.prepare import prepare
from tests import least


def prepare_with(**section):
    prepare(least.params(section))


def test_images_are_loaded_raw_and_in_the_unit_range(project):
    prepare_with(source="digits")
    raw, ready = dataset.load_raw("validation"), dataset.load("validation")
    assert raw.inputs["image"].dtype == np.uint8
    assert ready.inputs["image"].dtype == np.float32
    assert np.array_equal(ready.inputs["image"], raw.inputs["image"] / np.float32(255))
    assert np.array_equal(ready.targets["label"], raw.targets["label"])
    assert dataset.spec() == dataset.Spec({"image": dataset.TensorSpec((28, 28, 1), "float32")}, tuple("0123456789"))


def test_standardised_training_images_have_mean_0_and_deviation_1(project):
    prepare_with(source="digits", normalize="standard")
    train = dataset.load("train").inputs["image"].astype(np.float64)
    assert abs(train.mean()) < 1e-5
    assert abs(train.std() - 1) < 1e-5


def test_texts_are_loaded_as_numbers_below_the_vocabularys_size(project):
    lines = [f"a {' ' * i}{word} film\t{label}" for i in range(20) for label, word in enumerate(["dull", "fine"])]
    (project / "train.tsv").write_text("\n".join(lines))
    prepare_with(source="tsv", path=".", length=4, vocabulary=5)
    spec = dataset.spec()
    assert spec == dataset.Spec({"text": dataset.TensorSpec((4,), "int32", 5)}, ("0", "1"))
    train = dataset.load("train").inputs["text"]
    assert (train.shape[1:], str(train.dtype)) == (spec.inputs["text"].shape, spec.inputs["text"].dtype)
    vocabulary = ["[padding]", "[unknown]", "a", "film"]  # both in every sentence; dull and fine compete for the last
    assert set(train[:, 0]) == {vocabulary.index("a")}
    assert set(train[:, 2]) == {vocabulary.index("film")}
    assert set(train[:, 1]) == {1, 4}
    assert set(train[:, 3]) == {0}
    for count in (3, 1000):
        few = dataset.load("train", count)
        np.testing.assert_array_equal(few.inputs["text"], train[:count])
        np.testing.assert_array_equal(few.targets["label"], dataset.targets("train")["label"][:count])


def test_a_wrong_split_and_missing_data_are_told(project):
    with pytest.raises(DataError, match="did you mean 'train'"):
        dataset.load("trian")
    with pytest.raises(DataError, match="the stage `prepare` has not run"):
        dataset.load("train")
    with pytest.raises(DataError, match="the stage `prepare` has not run"):
        dataset.spec()


def test_a_damaged_array_is_named(project):
    prepare_with(source="digits")
    path = project / "out/data/test/inputs.image.npy"
    content = path.read_bytes()
    for damaged in (content[:-100], b"", b"junk"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"inputs\.image\.npy: not a whole array"):
            dataset.load("test")
    path.unlink()
    with pytest.raises(DataError, match=r"inputs\.image\.npy: no such file"):
        dataset.load("test")
    (project / "out/data/preprocess.json").write_text("{}")
    with pytest.raises(DataError, match="schema version 1 expected; received None"):
        dataset.spec()
