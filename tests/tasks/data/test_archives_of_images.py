"""Archives of folders of images, and packed shards: the same examples as of the files, in few objects, or refused."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.data import folder, sizes
from tasks.errors import DataError
from tasks.examples import dataset, files, stores
from tasks.params import Prepare
from tasks.stages.prepare import prepare

CLASSES, EACH = ("cat", "dog", "hen"), 20


def write(root, seed=0):
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(EACH):
            pixels = np.random.default_rng((seed, number, i)).integers(0, 256, (8, 6, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:03}.png")


def section(path, **more):
    return Prepare.model_validate({"source": "folder", "path": str(path), "test": 0.2, "validation": 0.2} | more)


def prepared(path, **more):
    prepare(SimpleNamespace(prepare=section(path, **more)))
    return {split: dataset.load(split) for split in dataset.SPLITS}


def read(path):
    folder.check(section(path))
    return folder.load(section(path))


def archive(kind, source=Path("photos"), within="photos"):
    path = Path(f"photos.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(source.rglob("*.png")):
                packed.write(file, f"{within}/{file.relative_to(source)}")
    else:
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as packed:
            packed.add(source, within)
    return path


def same(ours, theirs):
    for split, examples in theirs.items():
        mine, other = ours[split].arrays(), examples.arrays()
        assert mine.inputs["image"].tobytes() == other.inputs["image"].tobytes()
        assert mine.targets["label"].tolist() == other.targets["label"].tolist()


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_an_archive_gives_what_its_folder_gives(project, kind):
    write(project / "photos")
    theirs = {split: examples.arrays() for split, examples in prepared("photos").items()}
    same(prepared(archive(kind)), theirs)


def test_the_splits_of_an_archive_are_found_below_the_folder_around_them(project):
    write(project / "photos" / "train")
    write(project / "photos" / "test", seed=1)
    theirs = {split: examples.arrays() for split, examples in prepared("photos").items()}
    assert len(theirs["test"]) == len(CLASSES) * EACH
    same(prepared(archive("zip", within="a/b")), theirs)
    assert folder.load(section("photos.zip")).train.index[0][1] == "photos.zip/a/b/train/cat/000.png"


def test_shards_hold_all_that_the_examples_are(project, monkeypatch):
    monkeypatch.setattr(stores, "LEAST", 7)
    write(project / "photos")
    theirs = {split: examples.arrays() for split, examples in prepared("photos").items()}
    ours = prepared("photos", pack=True)
    shards = sorted(path.name for path in Path("out/data/train").glob("*.zip"))
    assert shards == [f"inputs.image.{number:03}.zip" for number in range(6)]  # 39 images by sevens
    shutil.rmtree("photos")
    same(ours, theirs)
    backwards = np.arange(len(ours["train"]))[::-1]
    taken = ours["train"].take(backwards).arrays().inputs["image"]
    assert (taken == theirs["train"].inputs["image"][::-1]).all()


def test_any_tool_opens_a_shard(project):
    write(project / "photos")
    prepared("photos", pack=True)
    with zipfile.ZipFile("out/data/test/inputs.image.000.zip") as shard:
        images = [np.asarray(Image.open(io.BytesIO(shard.read(name)))) for name in shard.namelist()]
    assert (np.array(images) == dataset.load_raw("test").pixels()).all()


def test_the_same_images_give_the_same_bytes(project):
    write(project / "photos")
    prepared("photos", pack=True)
    first = {path.name: path.read_bytes() for path in Path("out/data/train").iterdir()}
    prepared("photos", pack=True)
    assert first == {path.name: path.read_bytes() for path in Path("out/data/train").iterdir()}


def test_many_images_are_few_objects(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "LEAST", 40)
    count = 3_000  # of 100,000 and 4,096 likewise
    index = np.array([[f"{i:x}", f"cat/{i}.jpg"] for i in range(count)], object)
    stores.pack(tmp_path, "index.csv", "images.{}.zip", index, lambda path, _digest: path.encode())
    assert 4 * len(list(tmp_path.iterdir())) + 16 <= 200  # of four splits, each as large as all, and what else is there
    found, shards = stores.unpacked(tmp_path, "index.csv")
    assert (found == index).all()
    for number in (0, 93, 94, count - 1):
        assert shards.read(f"cat/{number}.jpg") == f"cat/{number}.jpg".encode()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "not a zip file"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDAX", 1)), "Bad CRC-32"),
    ],
)
def test_a_shard_that_is_not_whole_is_told(project, spoil, told):
    write(project / "photos")
    prepared("photos", pack=True)
    spoil(Path("out/data/train/inputs.image.000.zip"))
    with pytest.raises(DataError, match=rf"out/data/train/inputs\.image\.000\.zip: .*{told}.*; delete out/data and"):
        dataset.load("train").arrays()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_an_archive_that_was_cut_is_told(project, kind, share):
    write(project / "photos")
    path = archive(kind)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    told = r"photos\.(tar|zip).*: (not a whole archive|neither a folder nor an archive)"
    with pytest.raises(DataError, match=told):  # some are told by their ends, others when these are reached
        read(path)


def test_an_archive_that_was_cut_behind_a_header_of_a_header_is_told(project):
    """The time of a file that is no whole second stands in a header of its own, before that of the file."""
    write(project / "photos")
    path = archive("tar")
    content = path.read_bytes()
    place = content.rindex(b"././@PaxHeader") // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
    for more in (3, 200, tarfile.BLOCKSIZE + 3):
        path.write_bytes(content[: place + tarfile.BLOCKSIZE + more])
        with pytest.raises(DataError, match=r"photos\.tar: not a whole archive"):
            read(path)


def test_what_is_no_archive_or_holds_no_image_is_told(project):
    Path("notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"notes\.txt: neither a folder nor an archive"):
        folder.check(section("notes.txt"))
    with zipfile.ZipFile("empty.zip", "w"):
        pass
    with pytest.raises(DataError, match=r"empty\.zip: no image there"):
        folder.load(section("empty.zip"))


def test_a_broken_image_in_an_archive_is_told_by_its_name(project):
    write(project / "photos")
    (project / "photos" / "dog" / "007.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"photos\.tar/photos/dog/007\.png: no image of JPEG or PNG"):
        folder.load(section(archive("tar")))


def test_nothing_of_an_archive_is_written_under_its_own_name(project):
    write(project / "photos")
    content = (project / "photos" / "cat" / "000.png").read_bytes()
    with zipfile.ZipFile("photos.zip", "w") as packed:
        for number, name in enumerate(
            ("a/cat/1.png", "../../out/dog/2.png", "/etc/cat/3.png", "a/__MACOSX/cat/._1.png")
        ):
            packed.writestr(name, content + bytes([number]))
    before = sorted(project.rglob("*"))
    source = folder.load(section("photos.zip"))
    assert sorted(project.rglob("*")) == before
    assert sorted(path for _, path in source.train.index) == [
        "photos.zip/a/cat/1.png",
        "photos.zip/etc/cat/3.png",
        "photos.zip/out/dog/2.png",
    ]


def test_what_was_compressed_to_fill_the_disk_is_refused(project, monkeypatch):
    monkeypatch.setattr(sizes, "HARMLESS", 1000)
    with zipfile.ZipFile("photos.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(4):
            packed.writestr(f"cat/{number}.png", bytes(1_000_000))
    with pytest.raises(DataError, match=r"photos\.zip: .* bytes out of .*; a compressed file may grow by a factor of"):
        folder.load(section("photos.zip"))


def test_what_is_read_again_and_again_is_decoded_once(project, monkeypatch):
    write(project / "photos")
    train = prepared("photos", normalize="standard")["train"]
    whole, held = train.arrays(), files.held(train)
    shutil.rmtree("photos")
    some = np.array([7, 3, 3, 0])
    assert (held.take(some).arrays().inputs["image"] == whole.inputs["image"][some]).all()
    assert held.take(some).targets["label"].tolist() == whole.targets["label"][some].tolist()
    monkeypatch.setattr(files, "HELD", 100)
    assert files.held(train) is train
    assert files.held(whole) is whole


def test_only_images_in_files_are_packed():
    with pytest.raises(ValueError, match="pack are of the source 'folder'"):
        Prepare(source="digits", pack=True)
