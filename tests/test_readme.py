"""The table "to add, touch" is true: every place it names is there, and is where the members are."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tasks.bench.kinds import KINDS
from tasks.formats.schemes import SCHEMES
from tasks.members import FAMILIES, METHODS, SOURCES, YARDSTICKS
from tasks.records.figures import TABLE
from tasks.records.metrics import METRICS
from tasks.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "infra" / "docs" / "extending.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| an? ([\w ]+) \| (.*) \|$", PAGE.partition("| to add | touch |")[2], re.MULTILINE))
TABLES = {
    "model family": FAMILIES,
    "compression method": METHODS,
    "data source": SOURCES,
    "kind of device": KINDS,
    "metric of quality": METRICS,
    "yardstick": YARDSTICKS,
}


@pytest.mark.parametrize("row", ROWS)
def test_every_place_that_a_row_names_is_there(row: str) -> None:
    places = re.findall(r"`((?:tasks|infra)/[\w/<>.]+)`", ROWS[row])
    assert places
    for place in places:
        found = list(ROOT.glob(re.sub(r"<\w+>", "*", place)))
        assert found, place
    for name, place in re.findall(r"`([A-Z]\w*)` \(`([\w/.]+)`\)", ROWS[row]):
        assert re.search(rf"^(class )?{name}\b", (ROOT / place).read_text(encoding="utf-8"), re.MULTILINE), (
            name,
            place,
        )


@pytest.mark.parametrize("row", TABLES)
def test_each_member_stands_where_its_row_says(row: str) -> None:
    folder, name = re.findall(r"`(tasks/[\w/]+)/<\w+>\.py` with a `([A-Z]+)`", ROWS[row])[0]
    table: Registry[object] = TABLES[row]  # type: ignore[assignment]  # of whatever they hold
    for target in table.members.values():
        module, _, attribute = target.partition(":")
        assert module.rpartition(".")[0] == folder.replace("/", "."), target
        shared = (
            "MACRO",
            "MAE",
            "RMSE",
            "BITS",
            "PERPLEXITY",
            "DIVERGENCE",
            "SAME_TOP",
            "RECALL_10",
            "NDCG_10",
        )  # metrics that share a file
        assert attribute in (name, *shared), target
    assert re.search(rf"`{_named(table)}` \(`", ROWS[row])


def _named(table: Registry[object]) -> str:
    """The name that a table is bound to."""
    places = [import_module(name) for name in ("tasks.members", "tasks.bench.kinds", "tasks.records.metrics")]
    return next(name for place in places for name, each in vars(place).items() if each is table)


def test_the_groups_of_entry_points_are_those_of_the_tables() -> None:
    told = set(re.findall(r"`(tercet\.[a-z]+)`", PAGE))
    assert told == {table.group for table in (*TABLES.values(), SCHEMES, TABLE)}


def test_every_defence_names_tests_that_are_there() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|(?! what|-).*\|$", page, re.MULTILINE)
    assert rows
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named, row
        assert all((ROOT / place).is_file() for place in named), row
