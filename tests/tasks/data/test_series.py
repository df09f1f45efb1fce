"""A series over time: its windows, what they tell, what each split may see of it, and what is refused by its line."""

import gzip
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tasks import paths
from tasks.data.series import load
from tasks.errors import DataError
from tasks.examples import dataset, preprocess
from tasks.examples.split import split
from tasks.members import YARDSTICKS
from tasks.params import Prepare
from tasks.params.yardstick import LastValue, SeasonalNaive
from tasks.stages.prepare import prepare
from tests import least

SECTION = {
    "source": "series", "path": "s.csv", "target": "price", "task": "regression", "length": 5,
    "split": {"by": "time", "column": "day"},
}  # fmt: skip


def section(**more: Any) -> Prepare:
    return Prepare.model_validate(SECTION | more)


def values(count: int = 60) -> Any:
    return np.round(100 + np.random.default_rng(0).normal(size=count).cumsum(), 4)


def written(rows: list[str], header: str = "day,price,volume") -> None:
    Path("s.csv").write_text("\n".join([header, *rows]))


def lines(count: int = 60) -> list[str]:
    first = date(2024, 1, 30)
    return [f"{first + timedelta(i)},{price},{i + 1}" for i, price in enumerate(values(count))]


@pytest.mark.parametrize(("change", "horizon"), [("difference", 1), ("log", 3)])
def test_a_window_tells_the_change_after_it(project: Path, change: str, horizon: int) -> None:
    written(lines())
    source, known = load(section(change=change, horizon=horizon)), values()
    windows, told = source.train.arrays().inputs["window"], source.train.targets["label"]
    assert windows.shape == (60 - 5 - horizon + 1, 5, 1)
    for i in (0, 17, len(windows) - 1):
        np.testing.assert_allclose(windows[i, :, 0], known[i : i + 5], rtol=1e-6)
        last, then = known[i + 4], known[i + 4 + horizon]
        expected = 100 * np.log(then / last) if change == "log" else then - last
        assert told[i] == pytest.approx(expected, rel=1e-5)


def test_further_columns_stand_behind_the_one_that_is_told(project: Path) -> None:
    written(lines())
    windows = load(section(features={"volume": {"kind": "series"}})).train.arrays().inputs["window"]
    assert windows[3, :, 1].tolist() == [4, 5, 6, 7, 8]
    np.testing.assert_allclose(windows[3, :, 0], values()[3:8], rtol=1e-6)


def test_a_column_that_is_unused_is_in_no_window(project: Path) -> None:
    written(lines())
    told = {"volume": {"kind": "unused"}, "price": {"kind": "series"}}
    assert load(section(features=told)).train.arrays().inputs["window"].shape == (55, 5, 1)
    with pytest.raises(DataError, match="no column is named 'volum'"):
        load(section(features={"volum": {"kind": "unused"}}))


@given(st.integers(25, 90), st.integers(1, 7), st.integers(1, 4), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_no_row_is_seen_by_two_splits(
    tmp_path_factory: pytest.TempPathFactory, rows: int, length: int, horizon: int, validation: float, test: float
) -> None:
    """By the values themselves, which are all different: 1, 2, 3 and so on."""
    path = tmp_path_factory.mktemp("series") / "s.csv"
    path.write_text("\n".join(["day,price", *(f"{i},{i + 1}" for i in range(rows))]))
    chosen = section(path=str(path), length=length, horizon=horizon, validation=validation, test=test)
    try:
        splits = split(load(chosen), chosen)
    except DataError:  # too few rows for three splits
        reject()
    seen = {}
    for name in ("train", "validation", "test"):
        examples = splits[name].arrays()
        windows, told = examples.inputs["window"][:, :, 0], examples.targets["label"]
        seen[name] = set(windows.ravel().tolist()) | set((windows[:, -1] + told).tolist())
        assert set(examples.targets) == {"label"}, "what parts them is not kept"
    assert max(seen["train"]) < min(seen["validation"])
    assert max(seen["validation"]) < min(seen["test"])


def test_a_network_is_given_the_changes_standardised_by_training_alone(project: Path) -> None:
    written(lines())
    prepare(least.params(SECTION | {"normalize": "standard", "change": "log"}, model={"family": "mlp"}))
    entry = preprocess.read(paths.DATA / "preprocess.json")["inputs"]["window"]
    raw = dataset.load_raw("train").arrays().inputs["window"].astype(np.float64)
    changes = 100 * np.diff(np.log(raw), axis=1)
    assert entry["mean"] == pytest.approx([changes.mean()], abs=1e-6)
    assert entry["scale"] == pytest.approx([changes.std()], rel=1e-5)
    assert dataset.spec().inputs["window"] == dataset.TensorSpec((4, 1), "float32")
    test = dataset.load_raw("test").arrays().inputs["window"].astype(np.float64)
    expected = (100 * np.diff(np.log(test), axis=1) - changes.mean()) / changes.std()
    np.testing.assert_allclose(dataset.load("test").arrays().inputs["window"], expected, atol=1e-3)
    with pytest.raises(ValueError, match="numbers above 0 expected"):
        preprocess.apply(entry, np.zeros((1, 5, 1), np.float32))


@pytest.mark.parametrize(("season", "horizon"), [(1, 1), (3, 1), (2, 3)])
def test_the_seasonal_naive_tells_what_was_a_season_before(project: Path, season: int, horizon: int) -> None:
    written(lines())
    prepare(least.params(SECTION | {"horizon": horizon}, model={"family": "mlp"}))
    judged, known = dataset.load_raw("test").arrays(), values()
    found = YARDSTICKS.load("seasonal-naive").predict(judged, judged, 0, season=season)[:, 0]
    for window, told in zip(judged.inputs["window"][:, :, 0], found, strict=True):
        last = int(np.abs(known - window[-1]).argmin())
        ahead = last + horizon
        while ahead > last:
            ahead -= season
        assert told == pytest.approx(known[ahead] - known[last], abs=1e-4)


def test_the_last_value_tells_no_change_and_a_season_may_be_too_long(project: Path) -> None:
    written(lines())
    prepare(least.params(SECTION, model={"family": "mlp"}))
    judged = dataset.load_raw("test").arrays()
    assert YARDSTICKS.load("last-value").schema is LastValue
    assert not YARDSTICKS.load("last-value").predict(judged, judged, 0).any()
    with pytest.raises(DataError, match="season: at most 5 for windows of 5 rows"):
        YARDSTICKS.load("seasonal-naive").predict(judged, judged, 0, season=6)
    assert SeasonalNaive(method="seasonal-naive", season=6).options == {"season": 6}


def test_a_yardstick_of_series_refuses_a_table(project: Path) -> None:
    Path("t.csv").write_text("\n".join(["a,b", *(f"{2 * i},{i * 1.5}" for i in range(40))]))
    prepare(least.params({"source": "csv", "path": "t.csv", "target": "b", "task": "regression"}))
    judged = dataset.load("test")
    with pytest.raises(DataError, match="last-value: windows of the source series expected; received numbers"):
        YARDSTICKS.load("last-value").predict(judged, judged, 0)


def test_the_embedded_series_is_that_of_arch() -> None:
    """Read by pandas, as arch itself reads it."""
    from importlib.metadata import distribution

    import pandas

    path = distribution("arch").locate_file("arch/data/sp500/sp500.csv.gz")
    known = pandas.read_csv(str(path))["Close"].to_numpy()
    given = Prepare(
        source="series", target="Close", task="regression", change="log", length=30,
        split={"by": "time", "column": "Date"},
    )  # fmt: skip
    source = load(given)
    assert len(source.train) == len(known) - 30 == 5001
    told = source.train.targets["label"]
    np.testing.assert_allclose(told, 100 * np.diff(np.log(known))[29:], atol=1e-4)


GOOD = lines(30)


@pytest.mark.parametrize(
    ("rows", "told", "message"),
    [
        ([], {}, "a header and at least one row expected"),
        ([*GOOD[:9], "2024-03-01,5"], {}, r"line 11: 3 fields as in the header expected; received 2"),
        (GOOD, {"target": "prize"}, r"no column is named 'prize'; .*did you mean 'price'"),
        (GOOD, {"split": {"by": "time", "column": "date"}}, "no column is named 'date'"),
        (GOOD, {"features": {"volum": {"kind": "series"}}}, "no column is named 'volum'"),
        ([*GOOD, GOOD[3]], {}, r"line 32: 'day': a time after 2024-02-28 expected; received 2024-02-02; sort the rows"),
        ([*GOOD, GOOD[-1]], {}, r"line 32: 'day': a time after 2024-02-28 expected; received 2024-02-28"),
        ([*GOOD, "31,5,6"], {}, r"line 32: 'day': a time after .* received 31"),
        ([*GOOD, "2024-02-30,5,6"], {}, r"line 32: 'day': a date such as .* received '2024-02-30'"),
        ([*GOOD, ",5,6"], {}, r"line 32: 'day': a date such as .* received ''"),
        ([*GOOD, "2024-03-01,dear,6"], {}, r"line 32: column 'price': a number expected; received 'dear'"),
        ([*GOOD, "2024-03-01,NaN,6"], {}, r"line 32: column 'price': a number within float32 expected; received 'NaN'"),
        ([*GOOD, "2024-03-01,,6"], {}, r"line 32: column 'price': a number within float32 expected; received ''; fill"),
        ([*GOOD, "2024-03-01,1e50,6"], {}, r"line 32: column 'price': a number within float32 .* received '1e50'"),
        ([*GOOD, "2024-03-01,0,6"], {"change": "log"}, r"line 32: .* a number above 0 \(change: log\) .* '0'"),
        (GOOD[:12], {}, r"12 rows make 7 windows of 5 rows \(prepare.length\) and 1 .* after them; 10"),
        (GOOD[:3], {}, r"3 rows make 0 windows"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_line(project: Path, rows: list[str], told: dict[str, Any], message: str) -> None:
    written(rows)
    with pytest.raises(DataError, match=message) as caught, np.errstate(over="ignore"):
        load(section(**told))
    assert "\n" not in str(caught.value)


def test_dates_of_several_habits_are_ordered_as_dates(project: Path) -> None:
    written([f"{month}/{day}/2023,{month * day},1" for month in (2, 10) for day in (3, 10, 11, 12, 13, 14, 20, 21)])
    assert len(load(section()).train) == 11
    written([f"2023-01-01 {hour:02}:00,{hour},1" for hour in range(20)])
    assert len(load(section()).train) == 15


def test_files_that_are_none_are_told(project: Path) -> None:
    with pytest.raises(DataError, match=r"s\.csv: no such file"):
        load(section())
    Path("s.csv").write_bytes(b"day,price\n1,\xff\n")
    with pytest.raises(DataError, match="UTF-8 expected"):
        load(section())
    Path("s.csv.gz").write_bytes(b"day,price\n1,2\n")
    with pytest.raises(DataError, match=r"s\.csv\.gz: no gzip file"):
        load(section(path="s.csv.gz"))
    Path("s.csv.gz").write_bytes(gzip.compress("\n".join(["day,price,volume", *GOOD]).encode()))
    assert len(load(section(path="s.csv.gz")).train) == 25


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"task": "classification"}, "source 'series' needs the task regression and a split by time"),
        ({"split": {"by": "random"}}, "source 'series' needs the task regression and a split by time"),
        ({"target": ["a", "b"]}, "source 'series' tells of one column; received 2 targets"),
        ({"target": None}, "source 'series' needs the key 'target'"),
        ({"features": {"volume": {"kind": "category"}}}, r"features\.volume: {kind: series or unused} alone expected"),
        ({"features": {"volume": {"normalize": "none"}}}, r"features\.volume: .* received {'normalize': 'none'}"),
        ({"features": {"volume": {"kind": "series", "normalize": "none"}}}, "as `normalize` is of all; received"),
        ({"features": {"price": {"kind": "unused"}}}, r"features\.price: {kind: series} alone expected"),
        ({"source": "csv"}, "horizon and change are of the source 'series'; received source 'csv'"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        section(**({"horizon": 2} | told))
