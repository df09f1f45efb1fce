"""A backup is brought back whole or not at all, wherever its file was cut, and an object goes last."""

import gzip
import json
import random
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.errors import DataError
from tasks.files import below
from tasks.services import backup, buckets

STEP = 512  # bytes: of a tar's blocks


@pytest.fixture
def folder(tmp_path):
    """What `backup` packs: dumps and objects, of all zeros and of a whole number of blocks among them."""
    place = tmp_path / "folder"
    drawn = random.Random(0)
    contents = dict.fromkeys(backup.DUMPS, drawn.randbytes(1000))
    contents |= {
        "objects/dvc/files/md5/ab/cdef": b"\0" * 4 * STEP,
        "objects/mlflow/1/a ü.json": b'{"one of a kind": 1}',
    }
    contents |= {f"objects/mlflow/2/{k}": drawn.randbytes(k * 300) for k in range(6)}
    for name, content in contents.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def held(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in below(folder)}


def former(folder, path):
    """As versions without a list have written it."""
    with tarfile.open(path, "w") as archive:
        for name in (*backup.DUMPS, backup.OBJECTS):
            archive.add(folder / name, name)


def content_ends(path):
    """Where the last file of an archive ends, and the block of zeros begins."""
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
    return last.offset_data + -(-last.size // STEP) * STEP


@pytest.mark.parametrize(
    ("name", "kind", "leads"),
    [
        ("../out", tarfile.REGTYPE, ""),
        ("objects/../../out", tarfile.REGTYPE, ""),
        ("/out", tarfile.REGTYPE, ""),
        ("objects/way", tarfile.SYMTYPE, "/"),
        ("objects/way", tarfile.LNKTYPE, "../out"),
        ("objects/pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_nothing_in_a_file_leads_out_of_the_folder(folder, tmp_path, name, kind, leads):
    path, bad = tmp_path / "bad.tar", tarfile.TarInfo(name)
    bad.type, bad.linkname = kind, leads
    backup.pack(folder, path)
    with tarfile.open(path, "a") as archive:
        archive.addfile(bad)
    with pytest.raises(DataError, match=f"cannot be unpacked: '{name}' is neither a file nor a folder within it"):
        backup.unpack(path, tmp_path / "all")
    assert not (tmp_path / "out").exists()
    assert not any(each.is_symlink() for each in (tmp_path / "all").rglob("*"))


@pytest.mark.parametrize("write", [backup.pack, former])
def test_a_file_that_was_cut_anywhere_is_refused(write, folder, tmp_path):
    whole, cut = tmp_path / "whole.tar", tmp_path / "cut.tar"
    write(folder, whole)
    backup.unpack(whole, tmp_path / "all")
    assert held(tmp_path / "all") == held(folder)
    content = whole.read_bytes()
    places = [*range(0, content_ends(whole), STEP), *range(100, content_ends(whole), 5 * STEP)]
    for place in places:
        cut.write_bytes(content[:place])
        with pytest.raises(DataError, match=r"cut\.tar: "):
            backup.unpack(cut, tmp_path / f"cut{place}")


@pytest.mark.parametrize("write", [backup.pack, former])
def test_a_header_that_broke_hides_nothing(write, folder, tmp_path):
    """`tarfile` takes such a header, too, for the end."""
    path = tmp_path / "broken.tar"
    write(folder, path)
    with tarfile.open(path) as archive:
        place = archive.getmembers()[-3].offset
    content = bytearray(path.read_bytes())
    content[place : place + STEP] = b"\x55" * STEP
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not whole: .*; nothing was changed, so take another copy of it"):
        backup.unpack(path, tmp_path / "all")


def test_one_that_was_compressed_and_cut_is_refused_in_a_line(folder, tmp_path):
    backup.pack(folder, tmp_path / "whole.tar")
    content = gzip.compress((tmp_path / "whole.tar").read_bytes())
    (tmp_path / "whole.tgz").write_bytes(content)
    backup.unpack(tmp_path / "whole.tgz", tmp_path / "all")
    (tmp_path / "cut.tgz").write_bytes(content[:-300])
    with pytest.raises(DataError, match=r"cut\.tgz: cannot be unpacked: .*a file of `tercet backup` is expected"):
        backup.unpack(tmp_path / "cut.tgz", tmp_path / "part")


def test_bytes_that_changed_or_came_later_are_told(folder, tmp_path):
    path = tmp_path / "kept.tar"
    backup.pack(folder, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"one of a kind", b"one of a mind"))
    with pytest.raises(DataError, match=r"1 files are not as its list says, such as objects/mlflow/1/a ü\.json"):
        backup.unpack(path, tmp_path / "changed")
    path.write_bytes(content)
    (tmp_path / "more").write_bytes(b"more")
    with tarfile.open(path, "a") as archive:
        archive.add(tmp_path / "more", "objects/dvc/more")
    with pytest.raises(DataError, match="1 files are not as its list says, such as objects/dvc/more"):
        backup.unpack(path, tmp_path / "longer")


@pytest.mark.parametrize("listed", ["[1]", "{", ""])
def test_a_list_of_somebody_else_is_refused_in_a_line(listed, folder, tmp_path):
    (folder / backup.LIST).write_text(listed)
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(folder, "")
    with pytest.raises(DataError, match=r"cannot be unpacked: .*a file of `tercet backup` is expected"):
        backup.unpack(tmp_path / "other.tar", tmp_path / "all")


def test_the_list_comes_first_and_is_what_sha256sum_says(folder, tmp_path):
    backup.pack(folder, tmp_path / "kept.tar")
    with tarfile.open(tmp_path / "kept.tar") as archive:
        first, *others = archive
        listed = json.loads(archive.extractfile(first).read())
    assert list(listed) == [each.name for each in others] == list(held(folder))
    said = subprocess.run(["sha256sum", "--zero", *listed], cwd=folder, capture_output=True, timeout=60, check=True)
    assert said.stdout.decode() == "".join(f"{digest}  {name}\0" for name, digest in listed.items())


class Objects:
    """A store in memory, which takes so many objects in and no more."""

    def __init__(self, held, room=100):
        self.held, self.room = dict(held), room

    def get_paginator(self, _):
        def pages(Bucket):
            yield {"Contents": [{"Key": key} for bucket, key in sorted(self.held) if bucket == Bucket]}

        return SimpleNamespace(paginate=pages)

    def upload_file(self, path, bucket, key):
        if not self.room:
            raise OSError("no room")
        self.room -= 1
        self.held[bucket, key] = Path(path).read_bytes()

    def download_file(self, bucket, key, path):
        Path(path).write_bytes(self.held[bucket, key][:1])
        if not self.room:
            raise OSError("the store has gone")
        Path(path).write_bytes(self.held[bucket, key])

    def delete_object(self, Bucket, Key):
        del self.held[Bucket, Key]


def test_nothing_is_taken_away_before_all_has_come(folder):
    there = {("dvc", "files/later"): b"1", ("mlflow", "9/later"): b"2"}
    tight = Objects(there, room=4)
    with pytest.raises(OSError, match="no room"):
        buckets.fill(tight, folder / backup.OBJECTS)
    assert there.items() <= tight.held.items()
    store = Objects(there)
    assert buckets.fill(store, folder / backup.OBJECTS) == 8
    objects = {tuple(name.split("/", 2)[1:]): content for name, content in held(folder).items() if "/" in name}
    assert store.held == objects


def test_an_object_that_comes_half_leaves_the_one_from_before(tmp_path):
    store = Objects({("mlflow", "1/a"): b"first"})
    assert buckets.fetch(store, tmp_path) == 1
    store.held["mlflow", "1/a"], store.room = b"second", 0
    with pytest.raises(OSError, match="gone"):
        buckets.fetch(store, tmp_path)
    assert (tmp_path / "mlflow" / "1" / "a").read_bytes() == b"first"
    store.room = 1
    assert buckets.fetch(store, tmp_path) == 1
    assert held(tmp_path) == {"mlflow/1/a": b"second"}
