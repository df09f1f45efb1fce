"""What names a class or a group: no word that says that nothing is known, and no name in two spellings of Unicode."""

import json
import re
import shutil
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from tasks.data import folder, npz, ratings, sentences, table, text, tsv
from tasks.errors import DataError
from tasks.examples.split import split
from tasks.params import Prepare

COUNT = 40
LABELS = [("no", "yes")[i % 2] for i in range(COUNT)]
GROUPS = [f"u{i % 7}" for i in range(COUNT)]
BY_GROUP = {"by": "group", "column": "who"}


def section(source, path, **more):
    return Prepare.model_validate({"source": source, "path": str(path)} | more)


def of_table(labels, groups):
    rows = [f"{i / 7},{who},{label}" for i, (label, who) in enumerate(zip(labels, groups, strict=True))]
    Path("a.csv").write_text("\n".join(["x,who,label", *rows]), encoding="utf-8")
    return table.load(section("csv", "a.csv", target="label", split=BY_GROUP))


def of_lines(labels, groups):
    rows = [{"text": f"t {i}", "label": a, "who": b} for i, (a, b) in enumerate(zip(labels, groups, strict=True))]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return sentences.load(section("sentences", "a.jsonl", split=BY_GROUP))


def of_rows(labels, groups):
    rows = [f"t {i},{label},{who}" for i, (label, who) in enumerate(zip(labels, groups, strict=True))]
    Path("a.csv").write_text("\n".join(["text,label,who", *rows]), encoding="utf-8")
    return sentences.load(section("sentences", "a.csv", split=BY_GROUP))


def of_tabs(labels, _groups):
    Path("train.tsv").write_text("".join(f"t {i}\t{label}\n" for i, label in enumerate(labels)), encoding="utf-8")
    return tsv.load(section("tsv", "."))


def of_arrays(labels, groups):
    classes, numbers = np.unique(labels, return_inverse=True)
    arrays = {"inputs.x": np.arange(1.0 * COUNT)[:, None], "targets.label": numbers, "columns.who": np.array(groups)}
    np.savez("train.npz", classes=classes, **arrays)
    return npz.load(section("npz", ".", split=BY_GROUP))


def of_folders(labels, _groups):
    shutil.rmtree("images", ignore_errors=True)
    for i, label in enumerate(labels):
        path = Path("images", label, f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (4, 4), np.uint8)).save(path)
    return folder.load(section("folder", "images"))


def with_one(names, place, odd):
    return [odd if i == place else name for i, name in enumerate(names)]


@pytest.mark.parametrize("word", ["NA", "n/a", "nan", "NULL", "?"])
@pytest.mark.parametrize(
    ("load", "where"),
    [(of_table, r"a\.csv: line 12"), (of_lines, r"a\.jsonl:11"), (of_rows, r"a\.csv:12"), (of_tabs, r"train\.tsv:11")],
)
def test_a_class_that_is_not_known_is_no_class(load, where, word, project):
    with pytest.raises(DataError, match=rf"{where}: 'label' is empty, as '{re.escape(word)}' says; fill it"):
        load(with_one(LABELS, 10, word), GROUPS)


@pytest.mark.parametrize("load", [of_table, of_lines, of_rows, of_tabs, of_folders])
def test_none_may_be_a_class(load, project):
    assert load(with_one(LABELS, 10, "none"), GROUPS).classes == ("no", "none", "yes")


@pytest.mark.parametrize("word", ["", " ", "NA", "null"])
@pytest.mark.parametrize(
    ("load", "where"),
    [
        (of_table, r"a\.csv: line 12: 'who'"),
        (of_lines, r"a\.jsonl:11: 'who'"),
        (of_rows, r"a\.csv:12: 'who'"),
        (of_arrays, r"train\.npz: columns\.who: number 10: 'columns\.who'"),
    ],
)
def test_a_group_that_is_not_known_is_no_group(load, where, word, project):
    assert len(load(LABELS, GROUPS).train) == COUNT
    with pytest.raises(DataError, match=rf"{where} is empty"):
        load(LABELS, with_one(GROUPS, 10, word))


def test_no_user_and_no_item_is_called_unknown(project):
    Path("r.csv").write_text("user,item,rating,time\nNA,x13,5,1")
    with pytest.raises(DataError, match="line 2: 'user' is empty, as 'NA' says"):
        ratings.load(section("ratings", "r.csv"))


@pytest.mark.parametrize("load", [of_table, of_lines, of_rows, of_tabs, of_arrays, of_folders])
def test_one_name_in_two_spellings_is_told(load, project):
    one, other = (normalize(form, "café") for form in ("NFC", "NFD"))
    source = load([(one, other, "tea")[i % 3] for i in range(COUNT)], GROUPS)
    assert len(source.classes) == 3, "no source makes them alike by itself"
    with pytest.raises(
        DataError, match=r"one name in two spellings of Unicode, .*caf(e\\u0301|\\xe9)'; write them alike"
    ):
        split(source, Prepare(source="digits"))
    source = load([(one, "the", "tea")[i % 3] for i in range(COUNT)], GROUPS)
    assert len(split(source, Prepare(source="digits"))["test"]) == 8


def test_the_characters_of_a_text_are_no_names(project):
    Path("a.txt").write_text("\u212b\u00c5 " * 400, encoding="utf-8")  # ångström's sign, and the letter that it is
    params = section("text", "a.txt", tokens="characters", length=8)
    assert len(split(text.load(params), params)["train"])
