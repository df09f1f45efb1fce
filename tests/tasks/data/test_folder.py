import io
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.data import folder
from tasks.errors import DataError
from tasks.examples import dataset, images
from tasks.params import Prepare
from tasks.stages import sources
from tasks.stages.prepare import prepare

CLASSES = ("cat", "dog", "hen")
EACH = 20  # images of a class


def pixels(seed, shape=(8, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def encoded(image, kind="PNG", **more):
    stream = io.BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


def write(root, count=EACH, classes=CLASSES, shape=(8, 6, 3), seed=0):
    """Images as files, and the same as arrays, in the order of the files."""
    made, labels = [], []
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            made.append(pixels((seed, number, i), shape))
            Image.fromarray(made[-1].squeeze()).save(root / name / f"{i:03}.png")
            labels.append(number)
    return np.array(made), np.array(labels)


def section(**more):
    return Prepare.model_validate({"source": "folder", "path": "photos", "test": 0.2, "validation": 0.2} | more)


def prepared(**more):
    prepare(SimpleNamespace(prepare=section(**more)))
    return {split: dataset.load(split).arrays() for split in dataset.SPLITS}


@pytest.mark.parametrize("normalize", ["unit", "standard", "none"])
@pytest.mark.parametrize("shape", [(8, 6, 3), (8, 6, 1)])
def test_a_folder_gives_what_the_same_images_in_arrays_give(project, normalize, shape):
    image, label = write(project / "photos", shape=shape)
    np.savez(project / "train.npz", **{"inputs.image": image, "targets.label": label, "classes": np.array(CLASSES)})
    ours = prepared(normalize=normalize)
    described = dataset.spec()
    theirs = prepared(source="npz", path=".", normalize=normalize)
    assert dataset.spec() == described
    for split, examples in theirs.items():
        assert ours[split].inputs["image"].tobytes() == examples.inputs["image"].tobytes()
        assert ours[split].targets["label"].tolist() == examples.targets["label"].tolist()


def test_no_pixel_is_written(project):
    write(project / "photos")
    prepared()
    files = [path for path in (project / "out" / "data").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "inputs.image.files.csv",
        "targets.label.npy",
        "card.json",
        "preprocess.json",
    }


def test_a_test_folder_is_the_test_split(project):
    write(project / "photos" / "train")
    image, label = write(project / "photos" / "test", count=3, classes=CLASSES[1:], seed=1)
    found = prepared(normalize="none")
    assert (found["test"].inputs["image"] == image).all()
    assert found["test"].targets["label"].tolist() == (label + 1).tolist()
    assert len(found["train"]) + len(found["validation"]) == len(CLASSES) * EACH


def test_hidden_files_links_depth_and_capitals(project, caplog):
    write(project / "elsewhere", classes=("dog", "hen"))
    write(project / "photos", classes=("cat",))
    for name in ("dog", "hen"):
        (project / "photos" / name).symlink_to(project / "elsewhere" / name)
    (project / "photos" / "cat" / "loop").symlink_to(project / "photos")
    (project / "photos" / "cat" / "000.png").rename(project / "photos" / "cat" / "000.PNG")
    (project / "photos" / "dog" / "deep").mkdir()
    (project / "photos" / "dog" / "001.png").rename(project / "photos" / "dog" / "deep" / "001.png")
    (project / "photos" / "cat" / ".DS_Store").write_bytes(b"no image")
    (project / "photos" / ".thumbnails").mkdir()
    (project / "photos" / ".thumbnails" / "broken.png").write_bytes(b"no image")
    (project / "photos" / "cat" / "notes.txt").write_text("left out")
    source = folder.load(section())
    assert source.classes == CLASSES
    assert np.bincount(source.train.targets["label"]).tolist() == [EACH] * 3
    assert "photos: left out, as JPEG and PNG are read: 1 .txt; the first is photos/cat/notes.txt\n" in caplog.text
    names = sources._of_data(SimpleNamespace(prepare=section()))
    assert "photos/hen/003.png" in names  # a change of what a link leads to is noticed too


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("cat/bad.jpg", b"not an image", "photos/cat/bad.jpg: no image of JPEG or PNG; correct or delete the file"),
        ("cat/bad.png", encoded(Image.fromarray(pixels(9)))[:-60], "photos/cat/bad.png: cannot be decoded: "),
        (
            "cat/bad.JPG",
            encoded(Image.fromarray(pixels(9, (64, 64, 3))), "JPEG")[:900],
            "photos/cat/bad.JPG: cannot be",
        ),
        ("cat/bmp.png", encoded(Image.fromarray(pixels(9)), "BMP"), "photos/cat/bmp.png: no image of JPEG or PNG"),
        ("stray.png", b"", "photos/stray.png: it lies in no class: images belong into a folder of their class's name"),
        ("cat/wide.png", encoded(Image.fromarray(pixels(9, (8, 9, 3)))), "has 8 x 6, photos/cat/wide.png 8 x 9"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(project, name, content, told):
    write(project / "photos", count=3)
    (project / "photos" / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        folder.load(section())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_to_nothing_is_told(project):
    write(project / "photos", count=3)
    (project / "photos" / "cat" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"photos/cat/gone\.png: No such file"):
        folder.load(section())


def test_a_class_of_the_test_alone_is_told(project):
    write(project / "photos" / "train")
    write(project / "photos" / "test", count=3, classes=("cow",), seed=1)
    with pytest.raises(DataError, match="photos/test/cow: there is no such class in training"):
        folder.load(section())


def test_the_same_image_in_training_and_in_test_is_told(project, caplog):
    write(project / "photos" / "train")
    write(project / "photos" / "test", count=3, seed=1)
    (project / "photos" / "test" / "dog" / "x.png").write_bytes(
        (project / "photos" / "train" / "dog" / "007.png").read_bytes()
    )
    told = r"photos/train/dog/007\.png: in the (train|validation) split, and the same as photos/test/dog/x\.png"
    with pytest.raises(DataError, match=told):
        prepared()
    prepared(split={"repeats": "allowed"})
    assert "1 of its 10 images are in an earlier split too" in caplog.text


def test_copies_of_an_image_are_on_one_side(project):
    write(project / "photos")
    for place in range(8):
        (project / "photos" / "dog" / f"copy{place}.png").write_bytes(
            (project / "photos" / "dog" / "007.png").read_bytes()
        )
    for seed in range(4):
        prepared(seed=seed)
        digests = [{digest for digest, _ in dataset.load(name).index} for name in ("train", "validation", "test")]
        assert len(set.union(*digests)) == sum(map(len, digests))


def test_a_file_that_changed_or_went_is_told_when_it_is_read(project):
    write(project / "photos")
    prepared()
    first = dataset.load("train").index[0][1]
    (project / first).write_bytes(encoded(Image.fromarray(pixels(99))))
    with pytest.raises(DataError, match=f"{first}: changed since `prepare` read it"):
        dataset.load("train").arrays()
    (project / first).unlink()
    with pytest.raises(DataError, match=f"{first}: No such file"):
        dataset.load("train").arrays()


def test_a_folder_that_is_not_there_or_empty_is_told(project):
    with pytest.raises(DataError, match=r"photos: no such folder; prepare\.path names one"):
        folder.check(section())
    (project / "photos").mkdir()
    with pytest.raises(DataError, match="photos: no image there"):
        folder.load(section())


@pytest.mark.parametrize("more", [{"height": 8}, {"width": 8}, {"channels": 2}, {"source": "digits", "channels": 1}])
def test_parameters_that_say_nothing_are_refused(more):
    with pytest.raises(ValueError):
        section(**more)


def test_images_are_resized_to_the_mean_of_what_falls_into_each_pixel():
    image = np.zeros((8, 8), np.uint8)
    image[:, 4:] = 200
    small = images.decode(encoded(Image.fromarray(image)), (2, 2, 1))
    assert abs(small[:, 0].astype(int) - 0).max() <= 30  # the filter reaches over the edge a little
    assert abs(small[:, 1].astype(int) - 200).max() <= 30
    assert small.astype(float).mean() == pytest.approx(100, abs=1)
    assert images.decode(encoded(Image.fromarray(image)), (5, 3, 3)).shape == (5, 3, 3)


def test_an_image_lies_as_its_note_says():
    image = pixels(1, (4, 6, 3))
    note = Image.Exif()
    note[0x0112] = 6  # to be turned by a quarter to the right
    content = encoded(Image.fromarray(image), exif=note)
    assert images.look(content) == (6, 4, False)
    assert (images.decode(content, (6, 4, 3)) == np.rot90(image, -1)).all()


def test_palettes_and_transparency_and_cmyk_and_bits():
    grey = pixels(2, (4, 5))
    palette = Image.fromarray(grey // 64).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    expected = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)[grey // 64]
    assert (images.decode(encoded(palette), (4, 5, 3)) == expected).all()
    seen = np.dstack([pixels(3, (4, 5, 3)), np.tile(np.array([0, 255], np.uint8), (4, 3))[:, :5]])
    shown = images.decode(encoded(Image.fromarray(seen, "RGBA")), (4, 5, 3))
    assert (shown[:, 0::2] == 255).all()  # nothing is there: the ground is white
    assert (shown[:, 1::2] == seen[:, 1::2, :3]).all()
    deep = np.array([[0, 128, 257, 65535, 32768]], np.uint16)
    assert images.decode(encoded(Image.fromarray(deep)), (1, 5, 1)).ravel().tolist() == [0, 0, 1, 255, 128]
    assert images.look(encoded(Image.fromarray(deep))).grey
    bits = Image.fromarray(grey > 127)
    assert (images.decode(encoded(bits), (4, 5, 1))[..., 0] == np.where(grey > 127, 255, 0)).all()
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert images.decode(encoded(cyan, "JPEG", quality=95), (16, 16, 3))[8, 8] == pytest.approx([0, 255, 255], abs=12)


def test_grey_images_have_one_channel_unless_asked(project):
    image, _ = write(project / "photos", shape=(8, 6, 1))
    assert folder.load(section()).train.shape == (8, 6, 1)
    coloured = folder.load(section(channels=3, height=8, width=6)).train
    assert (coloured.arrays().inputs["image"] == image).all()  # three times the same
    Image.fromarray(pixels(5)).save(project / "photos" / "cat" / "colour.png")
    assert folder.load(section()).train.shape == (8, 6, 3)


def grouped(root, groups=6, each=4):
    """Images of every class in a folder of each group."""
    for number, name in enumerate(CLASSES):
        for i in range(groups * each):
            place = root / name / f"camera-{i % groups}" / "deep" / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels((number, i))).save(place)


def test_a_group_is_never_on_both_sides(project):
    grouped(project / "photos")
    prepared(split={"by": "group"})
    groups = {
        split: {Path(path).parts[2] for _, path in dataset.load_raw(split).index}
        for split in ("train", "validation", "test")
    }
    assert set.union(*groups.values()) == {f"camera-{number}" for number in range(6)}
    assert sum(map(len, groups.values())) == 6
    assert [path.name for path in sorted((project / "out/data/train").iterdir())] == [
        "inputs.image.files.csv",
        "targets.label.npy",
    ]


def test_what_is_of_no_group_and_a_group_in_both_is_told(project):
    grouped(project / "photos")
    shutil.copytree(project / "photos", project / "parted" / "train")
    grouped(project / "parted" / "test", groups=1)
    with pytest.raises(DataError, match="the group camera-0 is in training and in test: it judges itself"):
        prepared(path="parted", split={"by": "group"})
    Image.fromarray(pixels(9)).save(project / "photos" / "cat" / "x.png")
    with pytest.raises(DataError, match=r"cat/x\.png: it is of no group; .*, such as photos/cat/patient-1/x\.png"):
        prepared(split={"by": "group"})


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"by": "time", "column": "day"}, "split by time is of the sources csv and npz; received source 'folder'"),
        ({"by": "group", "column": "camera"}, "of the groups whose folders or files hold them: no key `column`"),
    ],
)
def test_other_splits_are_refused(split, said):
    with pytest.raises(ValueError, match=said):
        section(split=split)


def test_folders_of_which_nothing_comes_are_told(project, caplog):
    write(project / "photos" / "train", count=4)
    write(project / "photos" / "val", count=4)
    (project / "photos" / "train" / "cow").mkdir()
    (project / "photos" / "train" / "cow" / "Thumbs.db").touch()
    assert folder.load(section()).classes == CLASSES
    assert "photos/val: it is left out: only `train` and `test` are read" in caplog.text
    assert "photos/train/cow: it is left out: no image there" in caplog.text
    (project / "photos" / "train").rename(project / "photos" / "Train")
    with pytest.raises(DataError, match=r"photos: the folders Train, val look like splits .* name them `train` and"):
        folder.load(section())


def test_an_image_of_two_classes_is_told(project, caplog):
    write(project / "photos", count=3)
    shutil.copy("photos/cat/000.png", "photos/cat/same.png")
    folder.load(section())
    assert not caplog.text
    shutil.copy("photos/cat/000.png", "photos/dog/7.png")
    shutil.copy("photos/cat/001.png", "photos/hen/8.png")
    folder.load(section())
    told = "photos/dog/7.png: the same image as photos/cat/000.png, which is of another class, and 1 more such pairs:"
    assert told in caplog.text


def test_a_class_of_one_image_is_told(project, caplog):
    write(project / "photos", classes=CLASSES[:2])
    write(project / "photos", count=1, classes=CLASSES[2:], seed=1)
    found = prepared()
    (where,) = (split for split in ("train", "validation", "test") if 2 in found[split].targets["label"])
    told = {"test": "the test split has no example of hen: no model is judged on them"}
    told["train"] = "the train split has no example of hen: no model can learn them"
    for split, line in told.items():
        assert (line in caplog.text) == (split != where)


def test_names_that_are_no_utf_8_are_kept(project):
    write(project / "photos")
    Path("photos/cat/000.png").rename(os.fsdecode(b"photos/cat/caf\xe9, \n.png"))
    assert len(prepared()["train"]) == 38


def test_a_normal_class_is_reconstructed_from_a_folder_too(project):
    write(project / "photos", classes=("good", "scratched"))
    found = prepared(task="reconstruction")
    assert (found["test"].targets["reconstruction"] == found["test"].inputs["image"]).all()
