"""Tables: which columns are of what, what is learnt of them from training alone, and what is refused by its row."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.table import load
from tasks.errors import DataError
from tasks.examples import dataset, preprocess, tables
from tasks.params import Prepare
from tasks.stages.prepare import prepare
from tests import least

HEADER = "age,fare,port,name,alive"


def lines(count=40):
    """Passengers: an age that is missing here and there, a fare, three ports, a name each, and what is to be told."""
    rows = []
    for i in range(count):
        age = "" if i % 7 == 3 else 20 + i
        rows.append(f"{age}, {i / 4} ,{'SCQ'[i % 3] if i % 11 else ''},Mr. {i},{'yes' if i % 2 else 'no'}")
    return rows


def written(folder, rows, header=HEADER, name="people.csv"):
    (folder / name).write_text("\n".join([header, *rows]))


def section(**more):
    return Prepare.model_validate({"source": "csv", "path": "people.csv", "target": "alive"} | more)


def prepared(**more):
    prepare(least.params(section(**more).known(), model={"family": "mlp"}))
    return json.loads((dataset.paths.DATA / "preprocess.json").read_text())["inputs"]


def test_columns_are_found_by_their_content(project, caplog):
    written(project, lines())
    source = load(section())
    assert source.kinds == {"numbers": "number", "categories": "category"}
    assert source.columns == {"numbers": ("age", "fare"), "categories": ("port",)}
    assert source.classes == ("no", "yes")
    assert np.isnan(source.train.inputs["numbers"][3, 0])
    assert source.train.inputs["numbers"][5].tolist() == [25, 1.25]
    assert source.train.inputs["categories"][:4, 0].tolist() == ["", "C", "Q", "S"]
    assert "column 'name': 40 different values in 40 rows: it is left out" in caplog.text


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_counts_the_rows_is_left_out(first, project, caplog):
    """Which, where a file is in the order of its classes, tells the class: that of Iris with an Id is."""
    rows = [f"{first + i},{i % 7},{1990 + i},{'abc'[i // 10]}" for i in range(30)]
    written(project, rows, "Id,petals,year,alive")
    assert load(section()).columns == {"numbers": ("petals", "year")}
    assert "column 'Id': it counts the rows and is left out; `prepare.features: {Id: {kind: number}}`" in caplog.text
    assert load(section(features={"Id": {"kind": "number"}})).columns == {"numbers": ("Id", "petals", "year")}


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_column_that_is_the_target_once_more_is_told(task, project):
    """As `alive` is `survived` in the table of the Titanic that is taught most."""
    value = (lambda i: i % 2) if task == "classification" else (lambda i: i * i)
    again = ["no", "yes"].__getitem__ if task == "classification" else str
    rows = [[i % 7, value(i), again(value(i))] for i in range(40)]
    written(project, [",".join(map(str, row)) for row in rows], "age,alive,again")
    told = r"column 'again' says what 'alive' says, in every row; `prepare.features: {again: {kind: unused}}` leaves"
    with pytest.raises(DataError, match=told):
        load(section(task=task))
    assert load(section(task=task, features={"again": {"kind": "unused"}})).columns == {"numbers": ("age",)}
    assert "again" in str(load(section(task=task, features={"again": {"kind": "category"}})).columns)
    rows[3][2] = again(value(4))
    written(project, [",".join(map(str, row)) for row in rows], "age,alive,again")
    assert "again" in str(load(section(task=task)).columns)


def test_columns_are_what_is_told_of_them(project):
    written(project, lines())
    source = load(
        section(features={"age": {"kind": "category"}, "fare": {"kind": "unused"}, "name": {"kind": "category"}})
    )
    assert source.columns == {"categories": ("age", "port", "name")}


@pytest.mark.parametrize("normalize", ["unit", "standard", "none"])
def test_what_is_learnt_is_learnt_from_the_training_split(project, normalize):
    written(project, lines())
    entries = prepared(normalize=normalize)
    raw = dataset.load_raw("train").inputs
    numbers, columns = entries["numbers"], raw["numbers"]
    means = np.nanmean(columns, axis=0)
    np.testing.assert_allclose(numbers["missing"], means)
    shift, scale = {
        "none": (0, 1),
        "unit": (np.nanmin(columns, axis=0), np.nanmax(columns, axis=0) - np.nanmin(columns, axis=0)),
        "standard": (means, np.nanstd(columns, axis=0)),
    }[normalize]
    ready = dataset.load("test").inputs["numbers"]
    test = dataset.load_raw("test").inputs["numbers"]
    np.testing.assert_allclose(ready, (np.where(np.isnan(test), means, test) - shift) / scale, rtol=1e-5, atol=1e-6)
    assert set(entries["categories"]["values"][0]) == set(raw["categories"][:, 0])


def test_categories_are_numbered_column_by_column_and_new_ones_have_a_number(project):
    written(project, [f"{'ab'[i % 2]},{'xyz'[i % 3]},{i // 2 % 2}" for i in range(30)], "one,two,alive")
    entry = prepared(split={"repeats": "allowed"})["categories"]
    assert entry["vocabulary"] == 2 + 1 + 3 + 1
    assert dataset.spec().inputs["categories"] == dataset.TensorSpec((2,), "int32", 7)
    first, second = entry["values"]
    raw = np.array([[first[1], second[0]], ["new", second[2]], [first[0], "new"]], object)
    assert preprocess.apply(entry, raw).tolist() == [[2, 4], [0, 6], [1, 3]]
    few = prepared(features={"two": {"vocabulary": 2}}, split={"repeats": "allowed"})["categories"]
    assert (len(few["values"][1]), few["vocabulary"]) == (2, 6)


def test_raw_rows_come_back_as_they_were(project):
    written(project, lines())
    prepared()
    raw = {split: dataset.load_raw(split) for split in ("train", "validation", "test")}
    assert sum(len(part) for part in raw.values()) == 40
    rows = {tuple(row) for part in raw.values() for row in np.nan_to_num(part.inputs["numbers"], nan=-1).tolist()}
    assert rows == {(-1 if i % 7 == 3 else 20 + i, i / 4) for i in range(40)}


def test_a_test_file_is_the_test_split(project):
    written(project, lines(), name="train.csv")
    written(project, [f"9{row}".replace("S", "X") for row in lines(6)], name="test.csv")
    prepared(path=".")
    test = dataset.load_raw("test")
    assert len(test) == 6
    assert test.targets["label"].tolist() == [0, 1] * 3


def test_semicolons_tabs_quotes_and_marks_at_the_front(project):
    (project / "people.csv").write_bytes(
        b"\xef\xbb\xbf" + b'a;"b;c";alive\n1;"x ""y"";\nz";1\n1;q;0\n3;q;1\n4;"x ""y"";\nz";0\n'
    )
    assert tables.cells(project / "people.csv").columns["b;c"] == ['x "y";\nz', "q", "q", 'x "y";\nz']
    assert load(section()).columns == {"numbers": ("a",), "categories": ("b;c",)}
    (project / "people.csv").write_text("a\tb\n1,5\t2")
    assert tables.cells(project / "people.csv") == ({"a": ["1,5"], "b": ["2"]}, [2])
    (project / "people.csv").write_text("a|b\r\n\r\n1,5|2\r\n")
    assert tables.cells(project / "people.csv") == ({"a": ["1,5"], "b": ["2"]}, [3])


@given(st.lists(st.lists(st.text("ab\"',;\n é", max_size=6), min_size=2, max_size=2), min_size=1, max_size=9))
def test_what_is_written_as_csv_is_read_again(tmp_path_factory, table):
    import csv

    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["one", "two"], *table])
    columns = {name: [row[place].strip() for row in table] for place, name in enumerate(("one", "two"))}
    assert tables.cells(path).columns == columns


@pytest.mark.parametrize(
    ("rows", "header", "told", "message"),
    [
        (lines(), HEADER, {"target": "alife"}, r"people\.csv: no column is named 'alife'; .*did you mean 'alive'"),
        (lines(), HEADER, {"features": {"prot": {"kind": "category"}}}, "no column is named 'prot'"),
        (lines(), HEADER, {"features": {"port": {"kind": "number"}}}, r"line 3: column 'port': a number .* 'C'"),
        (lines(), HEADER, {"features": {"port": {"kind": "id"}}}, "a column is number, category, date or unused; rec"),
        ([*lines(), "1,2,S"], HEADER, {}, r"line 42: 5 fields as in the header expected; received 3"),
        ([*lines(), "1,2,S,x,"], HEADER, {}, r"line 42: 'alive' is empty"),
        (lines(), "age,age,port,name,alive", {}, "the header has the column 'age' twice"),
        (lines(), HEADER, {"target": "name"}, "'name' has 40 different values in 40 rows, which are no classes"),
        (["", '1,2,S,"x\ny",yes', "  ", *lines(), "1,2,S,x,"], HEADER, {}, r"line 46: 'alive' is empty"),
        (["", '1,2,S,"x\ny",yes', "1,2,S"], HEADER, {}, r"line 5: 5 fields as in the header expected; received 3"),
        (["", '"\n1",2,"S\n",x,yes', "1 m,2,S,x,yes"], HEADER, {"features": {"age": {"kind": "number"}}},
         r"line 6: column 'age': a number expected; received '1 m'"),
        ([*lines(), '"1,5",2,S,x,no'], HEADER, {}, r"column 'age': numbers with a point .* received '1,5'; write"),
        ([f'"1,23{i}.5",2,S,x,{i % 2}' for i in range(4)], HEADER, {}, "numbers with a point .* received '1,230.5'"),
        ([f"{i % 7},{(1, '1.0', 2)[i % 3]}" for i in range(9)], "age,alive", {}, r"in one way .* received 1, 1\.0, 2"),
        (["09.10.2021,1", "2021-10-08,0", "7.10.2021 12:00,0"] * 3, "sold,alive", {},
         r"'sold': dates such as 2026-01-31 expected; received '09\.10\.2021'; write them so"),
        ([f"{i}/1/24,{i % 2}" for i in range(9)], "sold,alive", {}, "dates such as .* received '0/1/24'"),
        ([f'{i % 2},"{i},5"' for i in range(9)], "age,alive", {}, "column 'alive': numbers with a point .* '0,5'"),
        ([*lines(), "1e999,2,S,x,no"], HEADER, {}, r"line 42: column 'age': a number within float64 .* '1e999'"),
        ([*lines(), "-1e200,2,S,x,no"], HEADER, {}, r"line 42: column 'age': a number within float32 .* '-1e200'"),
        ([*lines(3), "1e39,2,S,x,no"], HEADER, {"target": "age", "task": "regression"}, r"line 5: column 'age': .*39"),
        ([], HEADER, {}, "a header and at least one row expected"),
        (['1,2,"S,x,no'], HEADER, {}, r"people\.csv: line \d: unexpected end of data"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_row(project, rows, header, told, message):
    written(project, rows, header)
    with pytest.raises(DataError, match=message) as caught:
        load(section(**told))
    assert "\n" not in str(caught.value)


def test_a_class_of_the_test_alone_and_a_file_that_is_none_are_told(project):
    written(project, lines(), name="train.csv")
    written(project, ["1,2,S,x,maybe"], name="test.csv")
    with pytest.raises(DataError, match=r"test\.csv: line 2: the alive 'maybe' is not in training"):
        load(section(path="."))
    with pytest.raises(DataError, match="nowhere: no such table"):
        load(section(path="nowhere"))
    (project / "people.csv").write_bytes(b"a,alive\n\xff,1\n")
    with pytest.raises(DataError, match="UTF-8 expected; received the byte 0xff"):
        load(section())


def test_the_one_cell_that_is_no_number_is_told(project, caplog):
    written(project, [f"{i % 9},{i % 2}" for i in range(40)] + ["12 or so,0"], "age,alive")
    assert load(section()).columns == {"categories": ("age",)}
    assert "column 'age': taken for categories, as '12 or so' is no number" in caplog.text


def test_the_largest_numbers_are_made_ready(project):
    """As float32 has them: 3.4e38 is in it; a device is told of what is infinite as training is."""
    written(project, [f"{(-3.4e38, 3.4e38, i)[i % 3]},{i % 2}" for i in range(40)], "size,alive")
    entry = prepared(normalize="standard")["numbers"]
    assert np.isfinite(dataset.load("train").inputs["numbers"]).all()
    assert np.isfinite([*entry["mean"], *entry["scale"]]).all()
    with pytest.raises(ValueError, match=r"line 7: column 'size': a number within float64 .* received '1e999'"):
        tables.pick(entry, tables.Table({"size": ["1e999"]}, [7]))


def test_dates_become_how_late_and_where_in_year_and_week(project):
    days = [f"20{20 + i // 12}-{i % 12 + 1:02}-15" for i in range(36)]
    written(project, [f"{day if i != 5 else ''},{i % 2}" for i, day in enumerate(days)], "day,alive")
    entry = prepared()["dates"]
    assert (entry["kind"], dataset.spec().inputs["dates"]) == ("date", dataset.TensorSpec((5,), "float32"))
    raw, ready = dataset.load_raw("train").inputs["dates"], dataset.load("train").inputs["dates"]
    there = raw[:, 0] != ""
    late = np.array([np.datetime64(day, "D").astype(int) for day in raw[there, 0]], float)
    np.testing.assert_allclose(ready[there, 0], (late - late.mean()) / late.std(), atol=1e-5)
    assert not ready[~there].any()
    np.testing.assert_allclose(np.square(ready[there, 1:]).sum(axis=1), 2, rtol=1e-5)
    monday, tuesday, next_monday = (np.array([[f"2024-01-{day:02}"]], object) for day in (1, 2, 8))
    weeks = [preprocess.apply(entry, day)[0, 3:] for day in (monday, tuesday, next_monday)]
    np.testing.assert_allclose(weeks[0], weeks[2], atol=1e-5)
    assert np.abs(weeks[0] - weeks[1]).max() > 0.3
    noon = preprocess.apply(entry, np.array([["2024-01-01T12:00:00"]], object))[0, 0]
    assert noon == pytest.approx((tables.days("2024-01-01") + 0.5 - entry["mean"][0]) / entry["scale"][0], abs=1e-5)


@pytest.mark.parametrize(("learnt", "ok", "other"), [("", "T11:00", "T11:00Z"), ("T12:00+01:00", "T11:00Z", "T11:00")])
def test_a_date_has_an_offset_from_utc_where_those_in_training_had_one(learnt, ok, other, project):
    written(project, [f"2024-01-{i + 1:02}{learnt},{i % 2}" for i in range(30)], "day,alive")
    entry = prepared()["dates"]
    preprocess.apply(entry, np.array([["2024-02-01" + ok], [""]], object))
    with pytest.raises(ValueError, match=r"column 'day': a date with.* all in training .* received 2024-02-01T11:00"):
        preprocess.apply(entry, np.array([["2024-02-01" + ok], ["2024-02-01" + other]], object))
    assert not np.isnan(preprocess.apply(entry | {"zoned": [None]}, np.array([["2024-02-01" + other]], object))).any()


@pytest.mark.parametrize(("cell", "told"), [("2024-02-30", {}), ("soon", {"features": {"day": {"kind": "date"}}})])
def test_a_day_that_is_none_is_told_by_its_row(cell, told, project):
    written(project, [*(f"2024-01-{i + 1:02},{i % 2}" for i in range(30)), f"{cell},1"], "day,alive")
    with pytest.raises(DataError, match=f"line 32: column 'day': a date such as .* received '{cell}'"):
        load(section(**told))


def test_a_date_in_a_row_of_its_own_is_made_ready_as_in_training(project):
    """As a device is given it: with new days, and without."""
    written(project, [f"2024-01-{i + 1:02},{i},{i % 2}" for i in range(31)], "day,size,alive")
    entries = prepared()
    (project / "new.csv").write_text("size,day\n3,2030-06-01\n4,\n")
    table = tables.cells(project / "new.csv")
    ready = preprocess.apply(entries["dates"], tables.pick(entries["dates"], table))
    assert ready.shape == (2, 5)
    assert ready[0, 0] > 100
    assert not ready[1].any()
