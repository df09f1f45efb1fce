"""Texts with a class, as rows, lines and files, and what is wrong with them."""

import json

import numpy as np
import pytest

from tasks.data.sentences import load
from tasks.errors import DataError
from tasks.examples import card, features
from tasks.examples.split import split
from tasks.params import Prepare

ROWS = [(f"text {i} of für", "bad" if i % 3 else "good", f"user{i % 5}") for i in range(30)]
TEXTS = [text for text, _, _ in ROWS]


def section(path, **more):
    return Prepare.model_validate({"source": "sentences", "path": str(path)} | more)


def csv(path, rows=ROWS, header="text,label,user"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]), encoding="utf-8")


def jsonl(path, rows=ROWS, names=("text", "label", "user")):
    path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))


def files(path, rows=ROWS):
    for place, (text, label, user) in enumerate(rows):
        (path / label / user).mkdir(parents=True, exist_ok=True)
        (path / label / user / f"{place}.txt").write_text(text, encoding="utf-8")


def of_kind(kind, folder):
    if kind == "files":
        files(folder / "texts")
        return folder / "texts"
    {"csv": csv, "jsonl": jsonl}[kind](folder / f"texts.{kind}")
    return folder / f"texts.{kind}"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "files"])
def test_rows_lines_and_files_say_the_same(kind, tmp_path):
    source = load(section(of_kind(kind, tmp_path)))
    found = zip(source.train.inputs["text"].tolist(), source.train.targets["label"].tolist(), strict=True)
    assert sorted(found) == sorted((text, ["bad", "good"].index(label)) for text, label, _ in ROWS)
    assert (source.classes, source.kinds, source.test) == (("bad", "good"), {"text": "text"}, None)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "files"])
def test_a_group_is_on_one_side_alone(kind, tmp_path):
    column = {} if kind == "files" else {"column": "user"}
    params = section(of_kind(kind, tmp_path), split={"by": "group"} | column, validation=0.2)
    who = {text: user for text, _, user in ROWS}
    splits = split(load(params), params)
    users = [{who[text] for text in splits[name].inputs["text"]} for name in ("train", "validation", "test")]
    assert all(users)
    assert sum(map(len, users)) == len(set().union(*users)) == 5
    assert set(splits["train"].targets) == {"label"}


def test_the_names_may_be_others_and_labels_numbers_and_truths(tmp_path):
    csv(tmp_path / "a.csv", [(f'"{i}, with a comma"', str(i % 11), "") for i in range(33)], "review,stars,user")
    source = load(section(tmp_path / "a.csv", text="review", target="stars"))
    assert source.classes == tuple(map(str, range(11)))  # in the order of numbers
    assert source.train.inputs["text"][0] == "0, with a comma"
    jsonl(tmp_path / "a.jsonl", [(f"t{i}", i % 2 == 0, None) for i in range(8)])
    assert load(section(tmp_path / "a.jsonl")).classes == ("false", "true")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_of_its_own_judges_and_knows_no_other_label(kind, tmp_path):
    write = {"csv": csv, "jsonl": jsonl}[kind]
    write(tmp_path / f"train.{kind}")
    write(tmp_path / f"dev.{kind}", [("from dev", "good", "x")])
    source = load(section(tmp_path))
    assert source.test.inputs["text"].tolist() == ["from dev"]
    assert set(source.origin) == {f"train.{kind}", f"dev.{kind}"}
    write(tmp_path / f"test.{kind}", [("fine", "good", "x"), ("one", "god", "x")])
    line = {"csv": 3, "jsonl": 2}[kind]
    with pytest.raises(
        DataError, match=rf"test\.{kind}:{line}: the label 'god' is not in training; .*did you mean 'good'"
    ):
        load(section(tmp_path))


def test_folders_may_be_parted_by_themselves(tmp_path):
    files(tmp_path / "train")
    files(tmp_path / "test", [("another", "good", "x")])
    source = load(section(tmp_path))
    assert (len(source.train), source.test.inputs["text"].tolist()) == (30, ["another"])


BROKEN = {
    "empty csv": ("a.csv", b"", "a.csv: a header and at least one row expected"),
    "ragged csv": ("a.csv", b"text,label\na,1\nb\n", "a.csv: line 3: 2 fields as in the header expected; received 1"),
    "no column": ("a.csv", b"text,lable\na,1\n", "a.csv: no column is named 'label'; allowed: lable, text"),
    "no text": ("a.csv", b"text,label\na,1\n,0\n", "a.csv:3: the text is empty"),
    "no label": ("a.csv", b"text,label\na,1\nb,\n", "a.csv:3: the label is empty"),
    "csv not utf-8": ("a.csv", b"text,label\ncaf\xe9,1\n", "a.csv: UTF-8 expected; received the byte 0xe9"),
    "csv of bytes": ("a.csv", b"text,label\na\0b,1\nb,0\n", "received one with a zero byte"),
    "a cell of 1 MB": ("a.csv", b"text,label\n" + b"x" * 2**20 + b",1\n", "a.csv: line 2: field larger than"),
    "empty jsonl": ("a.jsonl", b"\n\n", "a.jsonl: no text in it"),
    "no json": ("a.jsonl", b'{"text": "a", "label": 1}\n{"text"\n', "a.jsonl:2: an object of JSON expected"),
    "a list": ("a.jsonl", b"[1]\n", "a.jsonl:1: an object of JSON expected; received list"),
    "no key": ("a.jsonl", b'{"txt": "a", "label": 1}\n', "a.jsonl:1: no key is named 'text'; allowed: label, txt"),
    "null": ("a.jsonl", b'{"text": "a", "label": null}\n', "'label': a text or a whole number expected; received null"),
    "a share": ("a.jsonl", b'{"text": "a", "label": 0.5}\n', "a text or a whole number expected; received 0.5"),
    "jsonl not utf-8": ("a.jsonl", b'{"text": "caf\xe9"}\n', "a.jsonl:1: UTF-8 expected; received the byte 0xe9"),
    "half a character": ("a.jsonl", b'{"text": "\\ud800", "label": 1}\n', "received \\ud800, half a character"),
    "a line of 1 MB": ("a.jsonl", b'{"text": "' + b"x" * 2**20 + b'"}', "a line of at most 1,048,576 bytes expected"),
    "no classes": ("a.jsonl", b'{"text": "a", "label": "b"}\n', "1 different labels of 1 texts, which are no classes"),
    "a file of bytes": ("good/a.txt", b"\x89PNG\r\n", "a.txt: UTF-8 expected; received the byte 0x89"),
    "a file of zeros": ("good/a.txt", bytes(8), "received one with a zero byte"),
    "a file of blanks": ("good/a.txt", b" \n", "a.txt: the text is empty"),
    "a file of 1 MB": ("good/a.txt", b"x" * (2**20 + 1), "a text of at most 1,048,576 bytes expected"),
    "in no class": ("a.txt", b"x", "a.txt: it lies in no class"),
    "nothing": ("good/picture.png", b"x", ": no text in it"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(section(path if path.suffix in (".csv", ".jsonl") else tmp_path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_no_folder_are_told(tmp_path):
    with pytest.raises(DataError, match=": no text in it"):
        load(section(tmp_path))
    with pytest.raises(DataError, match=r"nowhere: no texts; prepare\.path names a \.csv or \.jsonl file"):
        load(section(tmp_path / "nowhere"))


def test_groups_that_are_told_by_halves_are_refused(tmp_path):
    csv(tmp_path / "a.csv")
    with pytest.raises(DataError, match="rows need the key `column`"):
        load(section(tmp_path / "a.csv", split={"by": "group"}))
    files(tmp_path / "texts")
    with pytest.raises(DataError, match="leave out `column`"):
        load(section(tmp_path / "texts", split={"by": "group", "column": "user"}))
    (tmp_path / "texts" / "good" / "a.txt").write_text("of nobody")
    with pytest.raises(DataError, match=r"good/a\.txt: it is of no group; split by group needs a folder"):
        load(section(tmp_path / "texts", split={"by": "group"}))


def test_the_same_text_in_training_and_test_is_refused_by_its_words(tmp_path):
    csv(tmp_path / "train.csv")
    csv(tmp_path / "test.csv", [("new", "good", "x"), ROWS[7]])
    params = section(tmp_path)
    with pytest.raises(DataError, match=r"1 of 2 examples of the test split .*number 1, .*: text 7 of für; delete one"):
        split(load(params), params)


def test_a_text_that_is_there_several_times_is_on_one_side(tmp_path):
    csv(tmp_path / "a.csv", [ROWS[i // 3] for i in range(90)])
    for seed in range(5):
        params = section(tmp_path / "a.csv", seed=seed, validation=0.3)
        splits = split(load(params), params)
        taken = [set(splits[name].inputs["text"]) for name in ("train", "validation", "test")]
        assert all(taken)
        assert sum(map(len, taken)) == len(set().union(*taken)) == 30
        assert sum(len(splits[name]) for name in ("train", "validation", "test")) == 90


def test_a_class_with_one_example_is_told(tmp_path, caplog):
    csv(tmp_path / "a.csv", [*ROWS, ("alone", "odd", "x")])
    params = section(tmp_path / "a.csv")
    source = load(params)
    card.tell_absent(split(source, params), source.classes)
    assert "split has no example of odd" in caplog.text


def test_the_card_says_how_many_texts_are_cut_and_a_warning_where_many_are(tmp_path, caplog):
    csv(tmp_path / "a.csv", [(f"{i} " + "word " * (i % 10), str(i % 2), "x") for i in range(100)])
    params = section(tmp_path / "a.csv", length=4)
    source = load(params)
    splits = split(source, params)
    described = features.preprocessing(source, splits["train"], params)
    told = card.of(source, splits, described, params, tmp_path)
    found = told["cut"]["text"]
    expected = {name: sum(len(text.split()) > 4 for text in part.inputs["text"]) for name, part in splits.items()}
    assert found == expected
    assert 0 < found["train"] < len(splits["train"])
    assert np.sum([found[name] for name in ("train", "validation", "test")]) == 60
    card.tell_cut(told)
    count = f"{found['train']} of {len(splits['train'])} training examples"
    assert f"prepare.length: {count} have more than the 4 words of 'text' that a model reads" in caplog.text
    caplog.clear()
    card.tell_cut(
        card.of(
            source,
            splits,
            features.preprocessing(source, splits["train"], section(tmp_path / "a.csv", length=9)),
            params,
            tmp_path,
        )
    )
    assert not caplog.text, "one in ten is cut"


def test_a_text_in_a_cell_may_be_as_long_as_one_on_a_line(project):
    """csv's own limit is 131,072 characters."""
    long = "word " * 200_000
    csv(project / "t.csv", [(long, "1"), *((f"text {i}", str(i % 2)) for i in range(20))], "text,label")
    assert load(section("t.csv")).train.inputs["text"][0] == long.strip()
    csv(project / "t.csv", [("short", "0"), (long * 2, "1")], "text,label")
    with pytest.raises(
        DataError, match=r"t\.csv: line 3: field larger .* at most 1,048,575 characters expected: cut it"
    ):
        load(section("t.csv"))
