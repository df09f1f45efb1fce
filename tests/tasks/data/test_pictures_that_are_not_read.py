"""Folders with pictures of kinds that are not read: what is left out is counted, and no class is lost unseen."""

import re

import numpy as np
import pytest
from PIL import Image

from flows.own import Own, kind, written
from tasks.data import folder
from tasks.errors import DataError
from tasks.params import Prepare

KINDS = ("png", "jpg", "jpeg", "bmp", "webp", "gif")
EACH = 22


@pytest.fixture
def mixed(project):
    """Two classes of pictures of each kind, eleven of each and class, and what a file manager leaves."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, EACH // 2, 8, 8, 3)).astype(np.uint8)
    for name, images in zip(("cat", "dog"), pixels, strict=True):
        (project / "photos" / name).mkdir(parents=True)
        for suffix in KINDS:
            for i, each in enumerate(images):
                Image.fromarray(each).save(project / "photos" / name / f"{suffix}-{i}.{suffix}")
    (project / "photos" / "Thumbs.db").touch()
    (project / "photos" / ".hidden").mkdir()
    (project / "photos" / ".hidden" / "x.png").touch()
    return project / "photos"


def load(**more):
    return folder.load(Prepare.model_validate({"source": "folder", "path": "photos", **more}))


def test_what_is_left_out_is_counted_by_its_kind_with_pictures_first(mixed, caplog):
    assert len(load().train) == 3 * EACH
    assert caplog.messages[0] == (
        "photos: left out, as JPEG and PNG are read: 22 .bmp, 22 .gif, 22 .webp, 1 .db; the first is "
        "photos/cat/bmp-0.bmp; convert the pictures"
    )


def test_kinds_beyond_a_few_are_counted_together(mixed, caplog):
    for number in range(30):
        (mixed / "cat" / f"notes.{number}").touch()
    (mixed / "cat" / "notes").touch()
    load()
    told = re.search(r"are read: (.+); the first", caplog.messages[0])[1].split(", ")
    assert len(told) == folder.MANY + 1
    assert sum(int(each.split()[0]) for each in told) == 3 * EACH + 32


@pytest.mark.parametrize("split", ["", "train", "test"])
def test_a_class_of_such_pictures_alone_is_an_error(mixed, split):
    if split:
        for name in ("train", "test"):
            (mixed / name).mkdir()
            for label, colour in (("cat", "red"), ("dog", "blue")):
                (mixed / name / label).mkdir()
                Image.new("RGB", (8, 8), colour).save(mixed / name / label / f"{name}.png")
    (mixed / split / "hen" / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(mixed / split / "hen" / "deep" / "0.WEBP", "WEBP")
    where = "/".join(filter(None, ("photos", split, "hen")))
    with pytest.raises(
        DataError, match=rf"^{where}: a class without JPEG or PNG, .* are \.webp, as .*; convert them, or take "
    ):
        load()


def test_a_start_counts_what_preparation_reads(mixed, tmp_path):
    own = Own(mixed)
    assert f"  calibration: {3 * EACH // 2}\n" in written("p", own, mixed.parent)
    (mixed / "train").mkdir()
    for name in ("cat", "dog"):
        (mixed / name).rename(mixed / "train" / name)
    (mixed / "test").mkdir()
    for i in range(50):
        Image.new("RGB", (8, 8)).save(mixed / "test" / f"{i}.png")
    assert f"  calibration: {3 * EACH // 2}\n" in written("p", own, mixed.parent)


def test_a_start_counts_texts_as_preparation_does(project):
    (project / "notes" / "good").mkdir(parents=True)
    for i in range(20):
        (project / "notes" / "good" / f"{i}.txt").write_text("fine")
        (project / "notes" / "good" / f"{i}.md").write_text("fine")
    assert "  calibration: 10\n" in written("p", Own(project / "notes"), project)
    (project / "notes" / "train.jsonl").write_text('{"text": "a", "label": "b"}\n' * 60)
    assert "  calibration: 30\n" in written("p", Own(project / "notes"), project)


def test_what_such_pictures_are_told_where_a_project_is_made_of_them(project):
    (project / "photos" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(project / "photos" / "cat" / "0.webp")
    with pytest.raises(
        DataError, match=r"^--data: .*photos: its pictures are \.webp, which are not read: convert them;"
    ):
        kind(Own(project / "photos"))
