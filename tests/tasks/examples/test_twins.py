"""How examples are parted: by time, by whole groups, and that what is the same in two splits is told."""

import json
import re

import numpy as np
import pytest

from tasks.data import npz, table
from tasks.errors import DataError
from tasks.examples import Arrays, dataset, twins
from tasks.examples.split import split
from tasks.params import Params, Prepare
from tasks.stages.prepare import prepare

N = 60
RNG = np.random.default_rng(0)
DAYS = [f"2026-{1 + i // 20:02}-{1 + i % 20:02}" for i in RNG.permutation(N)]
USERS = [f"user{i % 7}" for i in range(N)]


def write(path, days=DAYS, users=USERS, header="x,color,day,user,kind", seed=1):
    x = np.random.default_rng(seed).normal(size=len(days))
    lines = [f"{x[i]:.5f},{'rg'[i % 2]},{days[i]},{users[i]},{i % 3}" for i in range(len(days))]
    path.write_text("\n".join([header, *lines]))


def section(**more):
    return Prepare.model_validate({"source": "csv", "path": "rows.csv", "target": "kind", "validation": 0.2} | more)


def x_of(examples):
    return set(examples.inputs["numbers"][:, 0].tolist())


@pytest.mark.parametrize("days", [DAYS, [str(1.7e9 + int(day[5:7]) * 100 + int(day[8:])) for day in DAYS]])
def test_what_is_latest_judges_what_is_earlier(project, days):
    write(project / "rows.csv", days)
    source = table.load(section(split={"by": "time", "column": "day"}))
    assert source.columns == {"numbers": ("x",), "categories": ("color", "user")}  # a day of its own each is no input
    when = dict(zip(source.train.inputs["numbers"][:, 0].tolist(), DAYS, strict=True))
    splits = split(source, section(split={"by": "time", "column": "day"}))
    times = {name: [when[x] for x in x_of(part)] for name, part in splits.items()}
    assert max(times["train"]) < min(times["validation"]) <= max(times["validation"]) < min(times["test"])
    assert {name: len(part) for name, part in splits.items() if name != "calibration"} == {
        "train": 38, "validation": 10, "test": 12,
    }  # fmt: skip
    assert set(splits["train"].targets) == {"label"}


def test_a_user_is_on_one_side_alone(project):
    write(project / "rows.csv")
    params = section(split={"by": "group", "column": "user"})
    source = table.load(params)
    who = dict(zip(source.train.inputs["numbers"][:, 0].tolist(), USERS, strict=True))
    splits = split(source, params)
    users = {name: {who[x] for x in x_of(splits[name])} for name in ("train", "validation", "test")}
    assert sum(map(len, users.values())) == len(set().union(*users.values())) == 7
    assert all(users.values())


def test_arrays_have_groups_too_and_none_is_written(project):
    rows = {"inputs.x": RNG.normal(size=(N, 2)), "targets.label": np.arange(N) % 2, "columns.user": np.array(USERS)}
    np.savez("train.npz", **rows)
    told = {"source": "npz", "path": ".", "split": {"by": "group", "column": "user"}}
    prepare(
        Params.model_validate({
            "name": "x", "prepare": told, "model": {"family": "mlp"}, "train": {"epochs": 1},
            "compress": {}, "bundle": {}, "quantize": {"fp32": {"model": "baseline", "scheme": "float32"}},
            "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
        })
    )  # fmt: skip
    assert set(dataset.targets("test")) == {"label"}
    assert set(json.loads((dataset.paths.DATA / "preprocess.json").read_text())["targets"]) == {"label"}
    taken = {split: {tuple(row) for row in dataset.load(split).inputs["x"].tolist()} for split in ("train", "test")}
    who = {tuple(row): user for row, user in zip(rows["inputs.x"].astype(np.float32).tolist(), USERS, strict=True)}
    assert not {who[row] for row in taken["train"]} & {who[row] for row in taken["test"]}


@pytest.mark.parametrize(
    ("by", "days", "users", "message"),
    [
        ("time", DAYS[:9], USERS[:9], r"the test begins at the day 2026-\d\d-\d\d, before training ends at 2026-03"),
        ("group", ["2026-09-01"] * 9, USERS[:9], r"the user user\d is in training and in test: it judges itself"),
    ],
)
def test_a_test_file_that_is_not_apart_is_refused(project, by, days, users, message):
    write(project / "train.csv")
    write(project / "test.csv", days, users, seed=2)
    params = section(path=".", split={"by": by, "column": {"time": "day", "group": "user"}[by]})
    with pytest.raises(DataError, match=message):
        split(table.load(params), params)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"by": "time", "column": "user"}, r"rows\.csv: line 2: 'user': a date such as 2026-01-31 .*received 'user0'"),
        ({"by": "time", "column": "daz"}, "no column is named 'daz'"),
    ],
)
def test_a_column_that_has_no_times_is_told(project, told, message):
    write(project / "rows.csv")
    with pytest.raises(DataError, match=message):
        table.load(section(split=told))
    np.savez("train.npz", **{"inputs.x": np.zeros((4, 1)), "targets.label": np.arange(4) % 2})
    with pytest.raises(DataError, match=r"no array columns\.daz, which prepare\.split names"):
        npz.load(section(source="npz", path=".", target=None, split={"by": "time", "column": "daz"}))


@pytest.mark.parametrize("told", [{"by": "time"}, {"column": "day"}, {"by": "week", "column": "day"}])
def test_a_split_that_says_half_is_refused(told):
    with pytest.raises(ValueError):
        section(split=told)
    with pytest.raises(ValueError, match="split by time is of the sources csv and npz"):
        Prepare(source="digits", split={"by": "time", "column": "day"})


def parted_by_somebody(project):
    """Training, and a test of four rows of which two are rows of training."""
    write(project / "train.csv")
    header, *rows = (project / "train.csv").read_text().splitlines()
    new = [f"{9 + i},r,2026-05-01,user1,0" for i in range(4)]
    (project / "test.csv").write_text("\n".join([header, new[0], rows[5], new[1], rows[7]]))
    return f"split: {float(rows[5].split(',')[0])}, g, user5"


def test_rows_of_training_in_the_test_are_an_error_that_names_the_first(project):
    shown = parted_by_somebody(project)
    params = section(path=".", features={"day": {"kind": "unused"}})
    told = r"2 of 4 examples of the test split .* number 1, the same as number \d+ of the (train|validation) "
    with pytest.raises(DataError, match=told + re.escape(shown) + ".*prepare.split.repeats: allowed"):
        split(table.load(params), params)


def test_rows_that_may_repeat_are_counted_and_the_first_is_named(project, caplog):
    shown = parted_by_somebody(project)
    params = section(path=".", features={"day": {"kind": "unused"}}, split={"repeats": "allowed"})
    assert len(split(table.load(params), params)["test"]) == 4
    assert "2 of 4 examples of the test split are in an earlier one too" in caplog.text
    assert shown in caplog.text


def test_splits_without_such_rows_say_nothing(project, caplog):
    write(project / "rows.csv")
    split(table.load(section()), section())
    assert not caplog.text


def few(path, kinds):
    """90 rows of as many kinds, each with a class, a moment and a user."""
    rows = [
        f"{i % kinds},{'rgb'[i % kinds % 3]},2026-{1 + i // 28:02}-{1 + i % 28:02},u{i % 8},{i % 2}" for i in range(90)
    ]
    path.write_text("\n".join(["x,color,day,user,kind", *rows]))


FEW = {"features": {"user": {"kind": "unused"}, "day": {"kind": "unused"}}}


def sides(splits):
    """Of each row the splits that it is in."""
    found = {}
    for name in ("train", "validation", "test"):
        for row in zip(*(array[:, 0].tolist() for array in splits[name].inputs.values()), strict=True):
            found.setdefault(row, set()).add(name)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_equal_rows_are_on_one_side_unless_they_may_repeat(project, seed):
    few(project / "rows.csv", 30)
    apart = sides(split(table.load(section(**FEW)), section(**FEW, seed=seed)))
    assert {len(each) for each in apart.values()} == {1}
    assert len(apart) == 30
    params = section(**FEW, seed=seed, split={"repeats": "allowed"})
    splits = split(table.load(params), params)
    assert max(len(each) for each in sides(splits).values()) > 1
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [58, 14, 18]


def test_so_many_repeats_that_shares_may_be_missed_are_told(project, caplog):
    few(project / "rows.csv", 30)
    split(table.load(section(**FEW)), section(**FEW))
    assert "60 of 90 examples repeat another" in caplog.text
    assert "prepare.split.repeats: allowed" in caplog.text


def test_an_equal_row_of_another_time_is_another_row_and_of_another_user_is_not(project):
    few(project / "rows.csv", 6)
    by_time, by_user = (section(**FEW, split={"by": by, "column": c}) for by, c in (("time", "day"), ("group", "user")))
    assert max(len(each) for each in sides(split(table.load(by_time), by_time)).values()) > 1
    with pytest.raises(DataError, match=r"examples of the (validation|test) split are in an earlier one too"):
        split(table.load(by_user), by_user)


@pytest.mark.parametrize(
    ("known", "same"),
    [
        (np.arange(2.0 * N).reshape(N, 2), np.array([[-0.0, 1.0]])),
        (np.arange(2 * N).reshape(N, 2).astype(np.int64), np.array([[4, 5]], np.int32)),
        (np.arange(2 * N).reshape(N, 2).astype(np.int16), np.array([[0, 1]], np.uint8)),
        (np.arange(2.0 * N).reshape(N, 2) * 200, np.array([[400, 600]], np.float32)),
    ],
)
def test_equal_numbers_are_equal_whatever_they_are_written_as(project, known, same):
    new = same + 130
    for name, x in (("train", known), ("test", np.concatenate([same, new.astype(same.dtype)]))):
        np.savez(f"{name}.npz", **{"inputs.x": x, "targets.label": np.arange(len(x)) % 2})
    params = section(source="npz", path=".", target=None)
    with pytest.raises(DataError, match="1 of 2 examples of the test split are in an earlier one too"):
        split(npz.load(params), params)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.uint32, np.float32, np.float64])
def test_examples_are_alike_where_numpy_finds_their_numbers_equal(kind):
    x = RNG.integers(0, 3, (90, 3)).astype(kind)
    x = x * RNG.choice([-1, 1], x.shape).astype(kind) if x.dtype.kind == "f" else x
    equal = (x[:, None] == x).all(axis=2)
    assert twins.alike(Arrays({"x": x}, {})).tolist() == equal.argmax(axis=1).tolist()


def test_texts_are_alike_where_they_are_equal():
    assert twins.alike(Arrays({"text": np.array(["a", "ab", "a", ""])}, {})).tolist() == [0, 1, 0, 3]
