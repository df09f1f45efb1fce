"""A row of a table is the same to a server, to MLflow and to the bundle's script, whatever has carried it there."""

import io
import json
import warnings
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.examples import preprocess
from tasks.serve import inputs

FEW = range(4)
STYLES: dict[str, Sequence[str]] = {  # how a file may write a column's cells
    "whole": [str(k) for k in FEW],
    "zeros": [f"{k:03}" for k in FEW],
    "one place": [f"{k}.0" for k in FEW],
    "money": [f"{k / 4:.2f}" for k in FEW],
    "science": [f"{k}e-3" for k in FEW],
    "signed": [f"{k:+}" for k in FEW],
    "truths": ["true", "false"],
    "loud truths": ["TRUE", "FALSE"],
    "Python's truths": ["True", "False"],
    "words": ["yes", "no", "Bern"],
}


def spec(words: dict[str, Sequence[str]]) -> dict[str, Any]:
    """preprocess.json's entries: each column as a category of these words and of one that is empty."""
    values = [[*some, ""] for some in words.values()]
    size = sum(len(each) + 1 for each in values)
    entry = {"kind": "category", "shape": [len(words)], "columns": list(words), "values": values, "vocabulary": size}
    return {"c": entry}


def ready(entries: dict[str, Any], raw: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: preprocess.apply(entry, raw[name]).tolist() for name, entry in entries.items()}


def by_script(path: Path, content: str, entries: dict[str, Any]) -> dict[str, list[Any]]:
    """What a bundle's script makes of a file."""
    path.write_text(content)
    table = preprocess.cells(path)
    return ready(entries, {name: preprocess.pick(entry, table) for name, entry in entries.items()})


def by_value(rows: list[Any], entries: dict[str, Any]) -> dict[str, list[Any]]:
    return ready(entries, inputs.arrays(rows, entries, preprocess))


def tables() -> st.SearchStrategy[tuple[dict[str, Sequence[str]], list[list[str]]]]:
    """Columns with the words they know, and rows of cells, some of which are missing or of no known number."""

    def rows(names: list[str]) -> st.SearchStrategy[Any]:
        words = {name: STYLES[name] for name in names}
        cells = [st.sampled_from([*some, "", *(["77"] if some[0][-1].isdigit() else [])]) for some in words.values()]
        return st.tuples(st.just(words), st.lists(st.tuples(*cells).map(list), min_size=1, max_size=5))

    return st.lists(st.sampled_from(list(STYLES)), min_size=2, max_size=4, unique=True).flatmap(rows)


@pytest.fixture(scope="module")
def listed() -> Callable[[Any], list[Any]]:
    with warnings.catch_warnings():  # MLflow warns of hints that a model lacks
        warnings.simplefilter("ignore")
        from tasks.track.served import _listed
    return _listed


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "t.csv"


CARRIERS: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda frame: frame,
    "pandas' own types": lambda frame: frame.convert_dtypes(),
    "columns of arrays": lambda frame: {name: frame[name].to_numpy() for name in frame},
}


@pytest.mark.parametrize("carrier", CARRIERS)
@given(drawn=tables())
def test_what_pandas_reads_of_a_file_is_what_the_script_reads(
    file: Path, listed: Any, carrier: str, drawn: Any
) -> None:
    words, rows = drawn
    content = "".join(",".join(row) + "\n" for row in [list(words), *rows])
    expected = by_script(file, content, spec(words))
    frame = pd.read_csv(io.StringIO(content), skip_blank_lines=False)
    assert by_value(listed(CARRIERS[carrier](frame)), spec(words)) == expected


@given(drawn=tables())
def test_json_of_the_same_values_is_what_the_script_reads(file: Path, drawn: Any) -> None:
    words, rows = drawn
    expected = by_script(file, "".join(",".join(row) + "\n" for row in [list(words), *rows]), spec(words))

    def value(cell: str) -> Any:
        if cell.lower() in ("true", "false"):
            return cell.lower() == "true"
        if cell and cell[-1].isdigit():
            return int(cell) if cell.lstrip("+-").isdigit() else float(cell)
        return cell or None

    told = [{name: value(cell) for name, cell in zip(words, row, strict=True)} for row in rows]
    assert by_value(json.loads(json.dumps(told)), spec(words)) == expected


@pytest.mark.parametrize("missing", ["NA", "N/A", "nan", "NULL", "None", "<NA>", ""])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_word_for_what_is_missing_is_that_word_though_pandas_reads_nothing(
    file: Path, listed: Any, carrier: str, missing: str
) -> None:
    entries = spec({"port": ["S", "C"]})
    entries["c"]["values"] = [["S", missing, "C"]]
    content = f"port,n\n{missing},1\nC,2\n?,3\n"
    frame = pd.read_csv(io.StringIO(content))
    assert frame["port"].isna().tolist() == [True, False, False]
    expected = by_script(file, content, entries)
    assert expected["c"] == [[2], [3], [0]]
    assert by_value(listed(CARRIERS[carrier](frame[["port"]])), entries) == expected
    assert by_value([{"port": None}, {"port": "C"}, {"port": "?"}], entries) == expected


def test_nothing_is_an_empty_cell_where_no_word_says_so_and_refused_where_two_do() -> None:
    entries = spec({"port": ["S", "none", "?"]})
    assert by_value([{"port": None}], entries) == by_value([{"port": ""}], entries)
    with pytest.raises(
        ValueError, match=r"port: a text, .* expected; received null, which may be NA or an empty text$"
    ):
        by_value([{"port": None}], spec({"port": ["S", "NA"]}))


WORDS = {"member": ["false", "true"], "code": ["1", "2", "02.50", "2.5", "x"], "sex": ["m", "f"]}
REFUSED = {
    "a list": ({"code": ["2"]}, "code: a text, a number or null expected; received ['2']"),
    "an object": ({"member": {"a": [1]}}, "member: a text, a number or null expected; received {'a': [1]}"),
    "a truth of no word": (
        {"sex": True},
        "sex: a text, as a CSV file has it, expected; received True, which is none of",
    ),
    "a number of two words": ({"code": Decimal("2.500")}, "received 2.500, which may be 02.50 or 2.5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_file_could_say_is_refused(case: str) -> None:
    changes, said = REFUSED[case]
    row = {"member": "true", "code": "2", "sex": "m"} | changes
    with pytest.raises(ValueError, match="expected") as caught:
        by_value([row], spec(WORDS))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_two_words_of_a_number_the_one_that_is_written_as_it_is_counts() -> None:
    told = [by_value([{"member": "true", "code": code, "sex": "m"}], spec(WORDS)) for code in (2.5, "2.5", 2.0, "2")]
    assert told[0] == told[1] != told[2] == told[3]


def test_a_truth_is_no_number_and_what_is_missing_is_no_text() -> None:
    entries = {"n": {"kind": "number", "shape": [1], "columns": ["x"], "missing": [7.0], "mean": [0.0], "scale": [1.0]}}
    assert by_value([{"x": value} for value in (2, 2.5, None, np.nan, np.float32(3), "na")], entries)["n"] == [
        [2.0], [2.5], [7.0], [7.0], [3.0], [7.0],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="x: a text, as a CSV file has it, expected; received True, which is none"):
        by_value([{"x": True}], entries)


def test_dates_of_pandas_are_dates(file: Path, listed: Any) -> None:
    entries = {"d": {"kind": "date", "shape": [1], "columns": ["day"], "mean": [0.0], "scale": [1.0]}}
    content = "day,n\n2026-01-31,1\n,2\n2025-07-01 12:30:00,3\n"
    frame = pd.read_csv(io.StringIO(content), parse_dates=["day"], date_format="ISO8601")
    assert frame["day"].dtype.kind == "M"
    assert by_value(listed(frame[["day"]]), entries) == by_script(file, content, entries)
