"""Dates are moments: in their order, as days, and in two files, whatever offset from UTC they are written with."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data import npz, series, table
from tasks.errors import DataError
from tasks.examples import tables, times
from tasks.examples.split import split
from tasks.params import Prepare

NEAR = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ZONED = [f"2026-03-0{i + 1}T12:00+01:00" for i in range(9)]
PLAIN = [f"2026-03-0{i + 1}T12:00" for i in range(9)]


def placed(cells):
    return [(f"line {number}", cell) for number, cell in enumerate(cells, 2)]


def of_series(cells):
    Path("s.csv").write_text("day,price\n" + "\n".join(f"{cell},{i}" for i, cell in enumerate(cells)))
    return series.load(Prepare.model_validate({
        "source": "series", "path": "s.csv", "target": "price", "task": "regression", "length": 2,
        "split": {"by": "time", "column": "day"},
    }))  # fmt: skip


def of_table(name, cells, **more):
    Path(name).write_text("x,day,kind\n" + "\n".join(f"{i / 7},{cell},{i % 2}" for i, cell in enumerate(cells)))
    told = {"source": "csv", "path": name, "target": "kind", "split": {"by": "time", "column": "day"}} | more
    return Prepare.model_validate(told)


def of_arrays(name, cells):
    there = {"inputs.x": np.arange(len(cells) * 1.0)[:, None], "targets.label": np.arange(len(cells)) % 2}
    np.savez(name, **there, **{"columns.day": np.array(cells)})
    return Prepare.model_validate({"source": "npz", "path": ".", "split": {"by": "time", "column": "day"}})


@given(st.lists(st.tuples(NEAR, OFFSETS), min_size=2, max_size=9))
def test_moments_have_the_order_of_their_seconds_since_1970(found):
    told = [moment.replace(tzinfo=offset) for moment, offset in found]
    ordered = times.ordered(placed([each.isoformat() for each in told]))
    seconds = np.array([each.timestamp() for each in told])
    assert np.array_equal(ordered[:, None] < ordered, seconds[:, None] < seconds)
    np.testing.assert_allclose([tables.days(each.isoformat()) for each in told], seconds / 86400, rtol=1e-12)


@given(st.lists(NEAR, min_size=2, max_size=9))
def test_parts_of_seconds_are_no_text(found):
    ordered, known = times.ordered(placed([each.isoformat() for each in found])), np.array(found, "datetime64[us]")
    assert np.array_equal(ordered[:, None] < ordered, known[:, None] < known)
    in_utc = times.ordered(placed([f"{each.isoformat()}Z" for each in found]))
    assert np.array_equal(in_utc[:, None] < in_utc, known[:, None] < known)


def test_one_moment_is_one_day_however_it_is_written():
    assert tables.days("2026-01-02T23:00-05:00") == tables.days("2026-01-03T04:00+00:00") == 20456 + 4 / 24
    assert tables.days("2026-01-03T04:00") == 20456 + 4 / 24, "without an offset it is of its own clock"
    assert tables.days("0001-01-01T00:00+05:00") < tables.days("9999-12-31T23:00-05:00")


def test_the_hour_that_comes_twice_in_autumn_is_in_order(project):
    clock = [(1, 30, 2), (2, 0, 2), (2, 30, 2), (2, 0, 1), (2, 30, 1), (3, 0, 1)]
    cells = [f"2026-10-25T{hour:02}:{minute:02}:00+0{offset}:00" for hour, minute, offset in clock]
    cells += [f"2026-10-25T{hour:02}:00:00+01:00" for hour in range(4, 14)]
    assert len(of_series(cells).train) == len(cells) - 2


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("2026-03-09T16:30+05:00", r"a time after 2026-03-09T12:00\+00:00 expected; received 2026-03-09T16:30\+05:00"),
        ("2026-03-10T12:00", "a time after .*, a date with its offset from UTC too, expected; received"),
        ("10", "a time after .*, a date with its offset from UTC too, expected; received 10"),
    ],
)
def test_rows_of_a_series_that_are_no_later_moment_are_told(project, last, message):
    cells = [f"2026-03-0{i + 1}T12:00+00:00" for i in range(9)]
    with pytest.raises(DataError, match=rf"s\.csv: line 11: 'day': {message}"):
        of_series([*cells, last])


def test_the_latest_half_second_judges_the_second_before(project):
    cells = [f"2026-01-01T12:00:{10 + i}Z" for i in range(49)] + ["2026-01-01T12:00:58.500Z"]
    params = of_table("rows.csv", cells)
    source = table.load(params)
    (last,) = np.flatnonzero(source.train.targets["(split)"] == source.train.targets["(split)"].max())
    assert last == 49
    assert source.train.inputs["numbers"][49, 0] in split(source, params)["test"].inputs["numbers"]


@pytest.mark.parametrize(("cells", "odd"), [(ZONED, "2026-03-10"), (PLAIN, "2026-03-10T12:00Z")])
def test_dates_of_which_one_alone_has_an_offset_are_told(project, cells, odd):
    told = f"an offset from UTC in all dates or in none expected; received {odd} after 2026-03-01T12:00"
    with pytest.raises(DataError, match=rf"rows\.csv: line 11: 'day': {told}"):
        table.load(of_table("rows.csv", [*cells, odd]))
    features = {"day": {"kind": "date"}}
    with pytest.raises(DataError, match=rf"rows\.csv: line 11: column 'day': {told}"):
        table.load(of_table("rows.csv", [*cells, odd], split={}, features=features))
    with pytest.raises(DataError, match=rf"train\.npz: columns\.day: number 9: {told}"):
        npz.load(of_arrays("train.npz", [*cells, odd]))
    assert len(table.load(of_table("rows.csv", [*cells, ""], split={}, features=features)).train) == 10


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        ([str(i) for i in range(9)], PLAIN, "a number in training and a date without an offset from UTC in test"),
        (PLAIN, ZONED, "a date without an offset from UTC in training and a date with its offset from UTC in test"),
        (ZONED, [str(i) for i in range(9)], "a date with its offset from UTC in training and a number in test"),
    ],
)
def test_times_of_two_files_that_have_no_order_are_told(project, train, test, told):
    of_table("train.csv", train)
    of_table("test.csv", test)
    params = Prepare.model_validate(of_table("train.csv", train).known() | {"path": "."})
    with pytest.raises(DataError, match=f"prepare.split: the day is {told}; write both alike"):
        split(table.load(params), params)
    of_arrays("train.npz", train)
    params = of_arrays("test.npz", test)
    with pytest.raises(DataError, match=f"prepare.split: the day is {told}"):
        split(npz.load(params), params)


def test_a_test_that_begins_before_training_ends_is_told_by_its_moments(project):
    of_arrays("train.npz", ["2026-03-01T10:00+00:00", "2026-03-01T12:00+05:00"] * 9)
    params = of_arrays("test.npz", ["2026-03-01T09:30+00:00"] * 4)
    told = r"begins at the day 2026-03-01 09:30:00\+00:00, before training ends at 2026-03-01 10:00"
    with pytest.raises(DataError, match=told):
        split(npz.load(params), params)
    params = of_arrays("test.npz", np.array(["2026-03-01T11:00"] * 4, "datetime64[ns]"))
    of_arrays("train.npz", ["2026-03-01T12:00"] * 9)
    with pytest.raises(DataError, match="begins at the day 2026-03-01T11:00, before training ends at 2026-03-01T12:00"):
        split(npz.load(params), params)


def test_what_is_no_date_is_told_in_arrays_too(project):
    with pytest.raises(
        DataError, match=r"number 1: a date such as .* received 'soon'; numbers in all rows are times too"
    ):
        npz.load(of_arrays("train.npz", ["2026-03-01", "soon"]))


def test_a_number_without_an_order_is_no_time(project):
    with pytest.raises(DataError, match="line 3: a number within float64 expected; received '1e999'"):
        times.ordered(placed(["1", "1e999", "2e999"]))
