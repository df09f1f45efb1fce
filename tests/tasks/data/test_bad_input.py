"""What is wrong with a file of rows, whatever the rows are: a line that says what and where, or a rule that is kept."""

from pathlib import Path

import numpy as np
import pytest

from tasks.data import medmnist, npz, ratings, series, table, tsv
from tasks.errors import DataError
from tasks.examples import card
from tasks.examples.split import split
from tasks.params import Prepare

LONG = "x" * 2**20
KINDS = {  # by the source: what reads it, its section, its header, and a row of it
    "csv": (table.load, {"target": "told"}, "day,size,told", lambda i: f"2024-01-{i % 28 + 1:02},{i},{'ab'[i % 2]}"),
    "series": (
        series.load,
        {"target": "size", "task": "regression", "split": {"by": "time", "column": "day"}, "length": 4},
        "day,size,told",
        lambda i: f"2024-{i // 28 + 1:02}-{i % 28 + 1:02},{i + 1},{i}",
    ),
    "ratings": (
        ratings.load,
        {"candidates": 3},
        "user,item,rating,time",
        lambda i: f"u{i % 4},i{(i // 4 + i % 4) % 30},{5 if i // 4 < 5 else 1},{i}",
    ),
}
NUMBER = {"csv": "size", "series": "size", "ratings": "rating"}  # a column of numbers


def loaded(kind, content, **more):
    load, section, *_ = KINDS[kind]
    Path("rows.csv").write_bytes(content)
    return load(Prepare.model_validate({"source": kind, "path": "rows.csv"} | section | more))


def good(kind, count=48):
    _, _, header, row = KINDS[kind]
    return "\n".join([header, *map(row, range(count))]).encode()


def changed(kind, cell, column):
    """The 48 rows, and one more of which a cell is another."""
    _, _, header, row = KINDS[kind]
    cells = row(48).split(",")
    cells[header.split(",").index(column)] = cell
    return good(kind) + b"\n" + ",".join(cells).encode()


WRONG = {
    "empty": (lambda _kind: b"", r"a header and at least one row expected"),
    "no row": (lambda kind: good(kind, 0), r"a header and at least one row expected"),
    "ragged": (lambda kind: good(kind) + b"\n1,2", r"line 50: \d fields as in the header expected; received 2"),
    "a missing column": (lambda kind: good(kind).replace(NUMBER[kind].encode(), b"siz", 1), r"no column is named '"),
    "not utf-8": (lambda kind: good(kind) + b"\ncaf\xe9,1,2", r"UTF-8 expected"),
    "a line of 1 MB": (lambda kind: good(kind) + f"\n{LONG},1,2".encode(), r"line 50: field larger than field limit"),
    "a header of 1 MB": (lambda kind: LONG.encode() + b"\n" + good(kind), r"line 1: field larger than field limit"),
    "no number": (
        lambda kind: changed(kind, "much", NUMBER[kind]),
        r"line 50: column '\w+': a number expected; .*much",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_rows_is_told_in_one_line(kind, name, project):
    content, message = WRONG[name]
    told = {"features": {"size": {"kind": "number"}}} if kind == "csv" else {}  # or any cell would be a category
    with pytest.raises(DataError, match=rf"^rows\.csv: {message}") as caught:
        loaded(kind, content(kind), **told)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_are_right_but_for_that(kind, project):
    assert len(loaded(kind, good(kind)).train)


@pytest.mark.parametrize("cell", ["much", "1,5", "NaN", "", "inf", "1e50"])
def test_a_value_to_tell_that_is_no_number_is_told(cell, project):
    content = changed("csv", f'"{cell}"', "size")
    with pytest.raises(DataError, match=r"^rows\.csv: .*'?size'?\b.*(number|is empty)"), np.errstate(over="ignore"):
        loaded("csv", content, target="size", task="regression")


def test_what_is_missing_among_numbers_is_a_gap_and_no_error(project):
    source = loaded("csv", changed("csv", "NaN", "size"))
    assert np.isnan(source.train.inputs["numbers"]).sum() == 1


def of_csv():
    return loaded("csv", changed("csv", "c", "told"))


def of_tsv():
    Path("train.tsv").write_text("".join(f"text {i}\t{'ab'[i % 2]}\n" for i in range(48)) + "another\tc\n")
    return tsv.load(Prepare(source="tsv", path="."))


def of_npz():
    labels = np.append(np.arange(48) % 2, 2)
    np.savez("train.npz", **{"inputs.x": np.arange(49.0)[:, None], "targets.label": labels})
    return npz.load(Prepare(source="npz", path="."))


def of_medmnist():
    """Its splits are its own: the one example is in training."""
    rng, parts = np.random.default_rng(0), {}
    for name, labels in (("train", [0, 1, 2, 0]), ("val", [0, 1]), ("test", [0, 1])):
        parts[f"{name}_images"] = rng.integers(0, 256, (len(labels), 8, 8), np.uint8)
        parts[f"{name}_labels"] = np.array(labels, np.uint8)[:, None]
    np.savez("some.npz", **parts)
    return medmnist.load(Prepare(source="medmnist", path="some.npz"))


@pytest.mark.parametrize("load", [of_csv, of_tsv, of_npz, of_medmnist])
def test_a_class_of_one_example_is_in_training_or_told(load, project, caplog):
    source = load()
    splits = split(source, Prepare(source="digits"))
    card.tell_absent(splits, source.classes)
    parts = [name for name in ("train", "validation", "test") if 2 in splits[name].targets["label"]]
    assert len(parts) == 1
    name = source.classes[2]
    assert (f"the test split has no example of {name}" in caplog.text) == (parts != ["test"])
    assert (f"the train split has no example of {name}" in caplog.text) == (parts != ["train"])
