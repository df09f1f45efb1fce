"""A text as windows of tokens: what they are, where they are parted, and that a model learns what follows."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.data.text import load
from tasks.errors import DataError
from tasks.examples import batches, dataset, preprocess
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
