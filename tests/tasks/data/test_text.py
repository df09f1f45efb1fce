"""A text as windows of tokens: what they are, where they are parted, and that a model learns what follows."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.data.text import load
from tasks.errors import DataError
from tasks.examples import batches, dataset, preprocess, texts
from tasks.examples.tokens import Tokens
from tasks.params import Prepare
from tasks.stages.prepare import prepare

TEXT = "".join(f"{i} mäuse, {i * i} Käse. " for i in range(200))
LENGTH = 16


def section(**more):
    return Prepare.model_validate({"source": "text", "path": "text.txt", "length": LENGTH} | more)


def prepared(**more):
    prepare(SimpleNamespace(prepare=section(**more)))
    return {split: dataset.load(split) for split in dataset.SPLITS}


@pytest.mark.parametrize("tokens", ["bytes", "characters"])
def test_the_windows_are_the_text_and_each_tells_what_follows(project, tokens):
    (project / "text.txt").write_text(TEXT, encoding="utf-8")
    source = load(section(tokens=tokens))
    row = TEXT.encode() if tokens == "bytes" else TEXT
    inputs = source.train.arrays().inputs["text"]
    assert inputs.shape == ((len(row) - 1) // LENGTH, LENGTH)
    said = [[source.classes[token] for token in window] for window in inputs]
    plain = row.decode("latin-1") if tokens == "bytes" else row
    assert "".join(map("".join, said)) == plain[: inputs.size]
    followed = [source.classes[token] for token in source.train.targets["label"]]
    assert "".join(followed) == plain[LENGTH::LENGTH][: len(inputs)]
    assert source.train.ids.dtype == np.uint8


def test_the_last_part_judges_and_all_are_mapped_into_memory(project):
    (project / "text.txt").write_text(TEXT)
    splits = prepared(tokens="characters", calibration=5)
    assert all(isinstance(part, Tokens) and isinstance(part.ids, np.memmap) for part in splits.values())
    classes = dataset.spec().classes
    parts = [splits[name].arrays() for name in ("train", "validation", "test")]
    said = "".join(classes[token] for part in parts for token in part.inputs["text"].ravel())
    assert said == TEXT[: len(said)]
    assert len(said) + LENGTH >= len(TEXT) - 1
    few = splits["calibration"]
    assert few.ids.size == 5 * LENGTH  # pieces, and no second copy of the text
    windows = {tuple(window) for window in parts[0].inputs["text"].tolist()}
    assert {tuple(window) for window in few.arrays().inputs["text"].tolist()} <= windows
    assert (
        np.concatenate([each.inputs["text"] for each in batches(splits["train"], 7)]) == parts[0].inputs["text"]
    ).all()


@pytest.mark.parametrize("tokens", ["bytes", "characters"])
def test_every_token_is_told_from_the_same_row_of_tokens(project, tokens):
    (project / "text.txt").write_text(TEXT, encoding="utf-8")
    splits = prepared(tokens=tokens, task="language", calibration=5)
    row = TEXT.encode() if tokens == "bytes" else TEXT
    classes, at = dataset.spec().classes, 0
    assert (dataset.spec().task, dataset.spec().further) == ("language", {})
    for name in ("train", "validation", "test"):
        part = splits[name]
        told = part.targets["label"]
        assert np.shares_memory(told, part.ids), "no second copy"
        assert (told[:, :-1] == part.arrays().inputs["text"][:, 1:]).all()
        assert (told == dataset.targets(name)["label"]).all()
        said = [[classes[token] for token in window] for window in told]
        for window, size in zip(said, part.targets["(bytes)"], strict=True):
            text = "".join(window)
            plain = row[at + 1 : at + 1 + LENGTH]
            assert text == (plain.decode("latin-1") if tokens == "bytes" else plain)
            assert size == len(plain if tokens == "bytes" else plain.encode())
            at += LENGTH
    assert at + LENGTH >= len(row) - 1
    few = splits["calibration"].arrays()
    pairs = {(x.tobytes(), y.astype(np.int32).tobytes()) for x, y in _rows(splits["train"].arrays())}
    assert {(x.tobytes(), y.astype(np.int32).tobytes()) for x, y in _rows(few)} <= pairs
    assert splits["calibration"].ids.size == 5 * (LENGTH + 1)


def _rows(examples):
    return zip(examples.inputs["text"], examples.targets["label"], strict=True)


def test_keras_is_fed_what_is_told(project):
    pytest.importorskip("tf_keras", reason="the training stack is not installed")
    from tasks.examples.feed import epochs, feed

    (project / "text.txt").write_text(TEXT)
    train = prepared(task="language")["train"]
    batches_of = [*feed(train, {"label": train.targets["label"]}, 7)]
    inputs, told = (
        np.concatenate([each.numpy() for each in found])
        for found in zip(*[(x["text"], y["label"]) for x, y in batches_of], strict=True)
    )
    assert (inputs == train.arrays().inputs["text"]).all()
    assert (told == train.targets["label"]).all()
    for x, y in epochs(train, {"label": train.targets["label"]}, 7, 0, range(1)):
        assert (x["text"][:, 1:].numpy() == y["label"][:, :-1].numpy()).all()


def test_the_card_counts_the_tokens_that_are_told(project):
    (project / "text.txt").write_text(TEXT)
    splits = prepared(task="language")
    counted = json.loads((dataset.paths.DATA / "card.json").read_text())["class_counts"]["test"]
    told = bytes(splits["test"].targets["label"].ravel())
    assert sum(counted.values()) == len(told)
    assert counted["a"] == told.count(b"a")


def test_a_text_of_a_users_is_numbered_as_the_windows_are(project):
    (project / "text.txt").write_text(TEXT)
    prepared(tokens="characters")
    described = preprocess.read(dataset.paths.DATA / "preprocess.json")
    entry, classes = described["inputs"]["text"], described["targets"]["label"]["classes"]
    assert dataset.spec().inputs["text"] == dataset.TensorSpec((LENGTH,), "int32", len(classes) + 1)
    first = dataset.load("train").arrays().inputs["text"][:1]
    assert dataset.load("train", 1).arrays().inputs["text"].tolist() == first.tolist()
    assert preprocess.apply(entry, np.array(["and before it " + TEXT[:LENGTH]])).tolist() == first.tolist()
    short = preprocess.apply(entry, np.array(["ä€"]))[0]
    assert short.tolist() == [classes.index(" ")] * (LENGTH - 2) + [classes.index("ä"), len(classes)]
    prepared(tokens="bytes")
    entry = preprocess.read(dataset.paths.DATA / "preprocess.json")["inputs"]["text"]
    assert bytes(preprocess.apply(entry, np.array(["ä€"]))[0].tolist()) == b" " * (LENGTH - 5) + "ä€".encode()


def test_the_files_of_a_folder_stand_in_a_row(project):
    (project / "texts").mkdir()
    for name, text in (("b.txt", "world" * 9), ("a.txt", "hello " * 9), ("notes.md", "left out")):
        (project / "texts" / name).write_text(text)
    source = load(section(path="texts"))
    assert bytes(source.train.ids) == b"hello " * 9 + b"world" * 9


def words(**more):
    return prepared(**{"tokens": "bpe", "vocabulary": 270, "task": "language", "calibration": 5} | more)


def test_pieces_of_words_are_windows_too(project):
    (project / "text.txt").write_text(TEXT, encoding="utf-8")
    splits, row, at = words(), TEXT.encode(), 0
    classes, signs = dataset.spec().classes, texts.signs()
    assert len(classes) == 270
    for name in ("train", "validation", "test"):
        part = splits[name]
        assert isinstance(part.ids, np.memmap)
        assert part.ids.dtype == np.uint16
        rows = zip(part.arrays().inputs["text"], part.targets["label"], part.targets["(bytes)"], strict=True)
        for window, told, size in rows:
            said = bytes(signs.index(sign) for token in window for sign in classes[token])
            assert row[at : at + len(said)] == said
            following = "".join(classes[token] for token in told)
            assert size == len(following)
            at += len(said)
    shares = [len(splits[name]) for name in ("train", "validation", "test")]
    assert abs(shares[2] / sum(shares) - 0.2) < 0.05
    assert abs(shares[1] / sum(shares[:2]) - 0.1) < 0.05


def test_they_are_learnt_from_training_alone(project):
    """Validation and test that share no pair of letters with training change nothing, and training is whole."""

    def learnt(tail):
        (project / "text.txt").write_text(TEXT[:1000] + tail * 60)
        splits = words(validation=0.3, test=0.3)
        described = preprocess.read(dataset.paths.DATA / "preprocess.json")["inputs"]["text"]
        return described["merges"], splits

    merges, splits = learnt("qxz jvw ")
    other, _ = learnt("WKY JQH ")
    assert merges == other
    told = splits["train"].targets["(bytes)"]
    assert told.sum() >= round(round(1480 * 0.7) * 0.7) - LENGTH * 8, "a window's end may lie behind, never before"


def test_they_are_the_same_bytes_each_time(project):
    (project / "text.txt").write_text(TEXT)

    def written():
        words()
        return {path: path.read_bytes() for path in dataset.paths.DATA.rglob("*") if path.is_file()}

    assert written() == written()


@pytest.mark.parametrize(
    ("content", "size", "message"),
    [
        (TEXT.encode(), 5000, r"text\.txt: prepare\.vocabulary: no more than \d+ tokens can be learnt"),
        (b"a" * 400 + b"\xff", 257, r"text\.txt: UTF-8 expected; received the byte 0xff"),
        (b"", 257, r"text\.txt: prepare\.vocabulary: no more than 256 tokens"),
    ],
)
def test_a_text_that_teaches_no_words_is_told(project, content, size, message):
    (project / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        words(vocabulary=size)


def test_words_are_more_than_the_bytes():
    with pytest.raises(ValueError, match="vocabulary: of bpe more than 256, the bytes; received 256"):
        section(tokens="bpe", vocabulary=256)


@pytest.mark.parametrize(
    ("content", "told", "message"),
    [
        (b"short", {}, r"text\.txt: more than 16 tokens, prepare\.length, expected; received 5"),
        (b"a" * 40 + b"\xff", {"tokens": "characters"}, r"text\.txt: UTF-8 expected; received the byte 0xff"),
        (b"", {"path": "nowhere"}, "nowhere: no text; prepare.path names a file, or a folder with .txt files"),
    ],
)
def test_what_is_no_text_is_told(project, content, told, message):
    (project / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(section(**told))


def test_one_window_judges_nothing(project):
    """A tenth of 12 windows is one, of which nobody knows how another would do."""
    (project / "text.txt").write_bytes(bytes(range(97, 117)) * 10 + b"abcd")
    with pytest.raises(DataError, match=r"the test split has one example, .*shorten prepare\.length"):
        prepared(test=0.1, validation=0.3)
    assert len(prepared(test=0.2, validation=0.3)["test"]) == 2
