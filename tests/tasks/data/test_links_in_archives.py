"""Links in an archive give the images that they give in a folder, and nothing from outside of it."""

import io
import os
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.data import folder
from tasks.errors import DataError
from tasks.examples import dataset
from tasks.params import Prepare
from tasks.stages.prepare import prepare


def section(path):
    return Prepare.model_validate({"source": "folder", "path": str(path), "test": 0.3, "validation": 0.3})


def image(number):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (4, 6, 3), np.uint8)).save(content, "PNG")
    return content.getvalue()


def write(root):
    """Two classes of eight images, and others that only links lead to: back, forward, from name to name, by folders."""
    for number in range(16):
        path = root / ("cat", "hen")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(number))
    for place, name in enumerate((".store/1a2b", "cat/raw.data", ".store/in/deep.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image(100 + place))
    os.link(root / "cat" / "00.png", root / "cat" / "hard.png")
    for name, leads in {
        "cat/a-forward.png": "../hen/15.png",
        "hen/zz-back.png": "./03.png",
        "cat/b-chain.png": "a-forward.png",
        "hen/hidden.png": "../.store/1a2b",
        "cat/other.PNG": "raw.data",
        "hen/more": "../.store/in",
        "hen/through.png": "more/deep.png",
        "dog": "hen",
        "hen/around": "..",
    }.items():
        (root / name).symlink_to(leads)


def as_tar(kind):
    with tarfile.open(f"photos.{kind}", f"w:{kind.partition('.')[2]}") as packed:
        packed.add("photos")


def as_zip():
    """As `zip -y` writes it: of a link where it leads."""
    with zipfile.ZipFile("photos.zip", "w") as packed:
        for path in sorted(Path("photos").rglob("*")):
            if path.is_symlink():
                info = zipfile.ZipInfo(str(path))
                info.external_attr = path.lstat().st_mode << 16
                packed.writestr(info, str(path.readlink()))
            elif path.is_file():
                packed.write(path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_links_give_what_they_give_in_a_folder(kind, project):
    write(Path("photos"))
    as_zip() if kind == "zip" else as_tar(kind)
    known, found = (folder.load(section(path)) for path in ("photos", f"photos.{kind}"))
    assert found.classes == known.classes == ("cat", "dog", "hen")
    assert len(known.train) == 12 + 12 + 12, "`around` leads in a circle"
    (theirs, ours) = (
        sorted((path.partition("/")[2], digest) for digest, path in each.train.index) for each in (known, found)
    )
    assert [(path.removeprefix("photos/"), digest) for path, digest in ours] == theirs
    assert found.train.targets["label"].tolist() == known.train.targets["label"].tolist()


def test_linked_images_are_packed_as_others(project):
    write(Path("photos"))
    for name in ("dog", "hen/around"):
        Path("photos", name).unlink()
    as_tar("tar")
    pixels = {}
    for path in ("photos", "photos.tar"):
        prepare(SimpleNamespace(prepare=section(path)))
        pixels[path] = [dataset.load(split).arrays().inputs["image"].tobytes() for split in dataset.SPLITS]
    assert pixels["photos"] == pixels["photos.tar"]


def link(name, leads, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, leads
    return info


@pytest.mark.parametrize(
    ("name", "leads", "kind"),
    [
        ("cat/x.png", "../../secret.png", tarfile.SYMTYPE),
        ("cat/x.png", "SECRET", tarfile.SYMTYPE),
        ("cat/x.png", "gone.png", tarfile.SYMTYPE),
        ("cat/x.png", "x.png", tarfile.SYMTYPE),
        ("cat/x.png", "SECRET", tarfile.LNKTYPE),
        ("cat/x.png", "../secret.png", tarfile.LNKTYPE),
        ("owl", "../owl", tarfile.SYMTYPE),
    ],
)
def test_a_link_that_leads_to_nothing_in_the_archive_is_told(name, leads, kind, project):
    Path("secret.png").write_bytes(image(0))
    with tarfile.open("photos.tar", "w") as packed:
        for number in range(4):
            info = tarfile.TarInfo(f"{'cat' if number % 2 else 'hen'}/{number}.png")
            info.size = len(image(number))
            packed.addfile(info, io.BytesIO(image(number)))
        packed.addfile(link(name, leads.replace("SECRET", str(Path("secret.png").resolve())), kind))
    with pytest.raises(
        DataError, match=rf"^photos\.tar: {name}: a link that leads to nothing in the archive"
    ) as caught:
        folder.load(section("photos.tar"))
    assert "\n" not in str(caught.value)


def test_links_that_multiply_without_end_are_refused(project):
    """Twenty folders, each of which has the next one twice: a million paths to one image."""
    with tarfile.open("photos.tar", "w") as packed:
        for number in range(20):
            for name in "ab":
                packed.addfile(link(f"cat/{number}/{name}", f"../{number + 1}"))
        info = tarfile.TarInfo("cat/20/1.png")
        info.size = len(image(0))
        packed.addfile(info, io.BytesIO(image(0)))
    with pytest.raises(DataError, match=r"photos\.tar: .*links within links make more than 8200 paths of 41 names"):
        folder.load(section("photos.tar"))
