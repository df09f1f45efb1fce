"""Files that promise more than they hold, or hold more than they promise, are refused before that much is allocated."""

import gzip
import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from tasks.data import idx, npz, ratings, series, sizes, tsv
from tasks.errors import DataError
from tasks.examples import dataset
from tasks.members import SOURCES
from tasks.params import Prepare

MIB = 2**20


@pytest.fixture
def peak():
    """A function that says how many bytes Python has held at most since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def npz_of(folder, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(folder / "train.npz", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return Prepare(source="npz", path=str(folder))


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(shape, dtype="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31), (10**18, 10**18), (8, 3)])
def test_an_array_that_promises_more_than_follows_is_refused(tmp_path, peak, shape):
    given = npz_of(tmp_path, {"inputs.x.npy": header(shape) + b"\0" * 64, "targets.label.npy": npy(np.arange(8) % 2)})
    with pytest.raises(
        DataError, match=r"train\.npz: inputs\.x: cannot be read: its header promises .* 64 bytes follow"
    ):
        npz.load(given)
    assert peak() < 8 * MIB


def test_an_archive_that_grows_a_thousandfold_is_refused_before_it_is_unpacked(tmp_path, peak):
    zeros = header((100, MIB), "|u1") + bytes(100 * MIB)
    members = {"inputs.x.npy": zeros, "targets.label.npy": npy(np.arange(100) % 2)}
    given = npz_of(tmp_path, members, zipfile.ZIP_DEFLATED)
    del zeros, members
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match=r"inputs\.x: 104,857,\d+ bytes out of \d+,\d+; .* store them uncompressed"):
        npz.load(given)
    assert peak() < 8 * MIB


def test_what_would_not_fit_into_memory_is_told():
    with pytest.raises(DataError, match="at most half of this machine's memory"):
        sizes.check("a file", 2**60)
    sizes.check("a file", sizes.HARMLESS, 1)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.full(8, 10**8), "class numbers from 0 to 65535 expected; received 100000000"),
        (np.full(8, 2**62), "class numbers from 0 to 65535"),
        (np.full(8, 2**63, np.uint64), "class numbers from 0 to 65535 .* received 9223372036854775808"),
        (np.full(8, 2**64 - 1, np.uint64), "class numbers from 0 to 65535"),
        (np.eye(8, 3)[np.arange(8) % 3].T[:, [0] * 8].T, "class numbers"),
        (
            np.eye(2, dtype=int)[np.arange(8) % 2],
            r"received int64 \[8, 2\]; for one-hot labels give `argmax\(axis=1\)`",
        ),
        (np.ones((8, 2), int), r"for several labels at once `multilabel`"),
        (np.linspace(0, 1, 8), r"received float64 \[8\]; for values to predict set `prepare.task: regression`"),
    ],
)
@pytest.mark.parametrize("key", ["targets.label", "targets.colour"])
def test_labels_that_are_no_class_numbers_build_no_names(tmp_path, peak, label, message, key):
    if label.dtype.kind == "f":  # another target than the label may hold values
        key = "targets.label"
    arrays = {"inputs.x": np.zeros((8, 2)), "targets.label": np.arange(8) % 2, key: label}
    np.savez(tmp_path / "train.npz", **arrays)
    with pytest.raises(DataError, match=message):
        npz.load(Prepare(source="npz", path=str(tmp_path)))
    assert peak() < 8 * MIB


@pytest.mark.parametrize("shape", [(8, 0), (8, 3, 0, 2)])
@pytest.mark.parametrize("key", ["inputs.x", "targets.depth"])
def test_an_empty_axis_is_refused(tmp_path, shape, key):
    np.savez(
        tmp_path / "train.npz", **{"inputs.x": np.zeros((8, 2)), "targets.label": np.arange(8), key: np.zeros(shape)}
    )
    with pytest.raises(DataError, match=rf"{key}: no axis may be empty; received \[8, "):
        npz.load(Prepare(source="npz", path=str(tmp_path)))


def test_a_name_too_long_for_a_file_is_refused_and_not_repeated_whole(tmp_path):
    np.savez(tmp_path / "train.npz", **{"inputs." + "x" * 300: np.zeros((8, 2)), "targets.label": np.arange(8)})
    with pytest.raises(DataError, match="a name of at most 64") as caught:
        npz.load(Prepare(source="npz", path=str(tmp_path)))
    assert "x" * 100 not in str(caught.value)


def test_no_more_of_a_gzip_file_is_unpacked_than_its_header_promises(tmp_path, peak):
    content = struct.pack(">HBBI", 0, 8, 1, 10) + bytes(200 * MIB)
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(content, 1))
    del content
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match="overlong: the header promises 10 = 10 bytes; received more"):
        idx.read(path, 1)
    path.write_bytes(gzip.compress(bytes(200 * MIB), 1))
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match="magic number 0x00000801 expected; received 0x00000000"):
        idx.read(path, 1)
    assert peak() < 8 * MIB


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_of_astronomical_size_is_refused_by_it(tmp_path, peak, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1) + bytes(100)))
    with pytest.raises(DataError, match=r"images: (truncated or overlong: |[\d,]+ bytes; at most half)"):
        idx.read(path, 3)
    assert peak() < 8 * MIB


def test_one_long_text_does_not_make_all_texts_long(tmp_path, peak):
    """numpy's texts are all as wide as the longest, four bytes a character: 10,000 short ones and 1 MB took 37 GB."""
    long = "word " * 200_000
    (tmp_path / "train.tsv").write_text("".join(f"text {i}\t{i % 2}\n" for i in range(10_000)) + f"{long}\t0\n")
    source = tsv.load(Prepare(source="tsv", path=str(tmp_path)))
    dataset.save(tmp_path / "train", source.train)
    assert peak() < 64 * MIB
    assert sum(path.stat().st_size for path in (tmp_path / "train").iterdir()) < 3 * MIB
    (tmp_path / "train.tsv").write_text("short\ta\n" + long * 2 + "\tb\n")
    with pytest.raises(
        DataError, match=r"train\.tsv:2: a line of at most 1,048,576 bytes expected; received 2,000,002"
    ):
        tsv.load(Prepare(source="tsv", path=str(tmp_path)))


TEXTS = {
    "csv": {"target": "label"},
    "ratings": {},
    "series": {"target": "y", "task": "regression", "split": {"by": "time", "column": "t"}},
    "sentences": {},
    "text": {},
    "tsv": {},
}


@pytest.mark.parametrize("source", TEXTS)
def test_a_file_of_text_that_does_not_fit_as_cells_or_words_is_refused(source, tmp_path, monkeypatch):
    name = {"tsv": "train.tsv", "text": "all.txt"}.get(source, "all.csv")
    (tmp_path / name).write_bytes(b"a,b\n1,2\n" * 10_000)
    path = str(tmp_path if source == "tsv" else tmp_path / name)
    given = Prepare.model_validate({"source": source, "path": path} | TEXTS[source])
    monkeypatch.setattr(sizes, "HARMLESS", 0)
    monkeypatch.setattr(sizes.os, "sysconf", lambda _: 1000)  # a million bytes: half would be taken by 50,000
    with pytest.raises(
        DataError, match=rf"{name}: 800,000 bytes; at most half of this machine's memory, 500,000 bytes"
    ):
        SOURCES.load(source).load(given)


@pytest.mark.parametrize("source", ["sentences", "text"])
def test_a_folder_of_texts_is_looked_at_as_a_whole(source, tmp_path, monkeypatch):
    for name in ("a/1.txt", "a/2.txt", "b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no matter " * 2000)
    monkeypatch.setattr(sizes, "HARMLESS", 0)
    monkeypatch.setattr(sizes.os, "sysconf", lambda _: 1000)  # half of it would hold any of the three, but not all
    with pytest.raises(DataError, match=rf"{tmp_path.name}: 600,000 bytes; at most half .*, 500,000 bytes"):
        SOURCES.load(source).load(Prepare.model_validate({"source": source, "path": str(tmp_path)}))


def test_a_series_that_was_packed_to_fill_a_disk_is_refused(tmp_path, peak):
    path = tmp_path / "series.csv.gz"
    path.write_bytes(gzip.compress(bytes(200 * MIB), 9))
    told = {"target": "y", "task": "regression", "split": {"by": "time", "column": "t"}}
    given = Prepare.model_validate({"source": "series", "path": str(path)} | told)
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match=r"series\.csv\.gz: [\d,]+ bytes out of [\d,]+; a compressed file may grow"):
        series.load(given)
    assert peak() < 8 * MIB


def test_what_many_candidates_or_long_windows_take_is_told_before_it_is_taken(tmp_path, monkeypatch):
    (tmp_path / "r.csv").write_text(
        "user,item,rating,time\n" + "".join(f"u{u},i{i},5,{i}\n" for u in range(20) for i in range(u, u + 9))
    )
    monkeypatch.setattr(sizes, "HARMLESS", 0)
    monkeypatch.setattr(sizes.os, "sysconf", lambda _: 400)
    with pytest.raises(DataError, match=r"prepare\.candidates: 15 for each of 180 liked: 86,400 bytes; at most half"):
        ratings.load(Prepare(source="ratings", path=str(tmp_path / "r.csv"), candidates=15))
    (tmp_path / "s.csv").write_text("t,y\n" + "".join(f"{t},{t + 1}\n" for t in range(800)))
    told = {"target": "y", "task": "regression", "split": {"by": "time", "column": "t"}, "length": 100}
    with pytest.raises(DataError, match=r"s\.csv: 700 windows of 100 rows: 1,120,000 bytes; at most half"):
        series.load(Prepare.model_validate({"source": "series", "path": str(tmp_path / "s.csv")} | told))


def test_items_that_are_shown_again_and_again_take_little(tmp_path, peak):
    """Each as a text of its own: 2.3 million took 320 MB here, and MovieLens's million of ratings 10 GB."""
    rows = [f"u{u},i{(u * 7 + t * 11) % 500},5,{t}\n" for u in range(400) for t in range(60)]
    (tmp_path / "r.csv").write_text("user,item,rating,time\n" + "".join(rows))
    source = ratings.load(Prepare(source="ratings", path=str(tmp_path / "r.csv"), candidates=100))
    tracemalloc.reset_peak()
    dataset.save(tmp_path / "train", source.train)
    assert source.train.inputs["items"].size == 2_320_000
    assert peak() < 64 * MIB
    assert (tmp_path / "train" / "inputs.items.which.npy").stat().st_size < 5 * MIB
