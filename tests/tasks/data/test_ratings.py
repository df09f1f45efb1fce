"""Ratings: who is shown what, what each split may know, what is refused by its line; and what a network must beat."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import ndcg_score
from sklearn.metrics.pairwise import cosine_similarity

from tasks import paths
from tasks.data.ratings import generated, load
from tasks.errors import DataError
from tasks.examples import Arrays, dataset, preprocess
from tasks.examples.dataset import LABEL
from tasks.members import YARDSTICKS
from tasks.params import Prepare
from tasks.quality.kept import ndcg_10, recall_10
from tasks.stages.prepare import prepare
from tests import least

SECTION = {"source": "ratings", "path": "r.csv", "candidates": 4}
HEADER = "user,item,rating,time"


def section(**more: Any) -> Prepare:
    return Prepare.model_validate(SECTION | more)


def rows(users: int = 30, items: int = 14, each: int = 7) -> list[str]:
    """Each user likes the items from his own on, one after the other, and dislikes one."""
    found = [f"ann{u},x{(u + k) % items:02},{5 - k % 2},{100 * u + k}" for u in range(users) for k in range(each)]
    return [*found, *(f"ann{u},x{(u + each) % items:02},1,{100 * u + each}" for u in range(users))]


def written(lines: list[str], header: str = HEADER) -> None:
    Path("r.csv").write_text("\n".join([header, *lines]))


def liked(examples: Any) -> list[tuple[str, str]]:
    arrays = examples.arrays()
    shown = arrays.inputs["items"][np.arange(len(arrays)), arrays.targets[LABEL]]
    return list(zip(arrays.inputs["user"][:, 0].tolist(), shown.tolist(), strict=True))


def test_the_last_item_that_each_user_liked_judges_and_the_one_before_validates(project: Path) -> None:
    written(rows()[::-1])  # the order of the file is not that of time
    source = load(section())
    assert source.validation is not None
    assert source.test is not None
    for u, (user, item) in enumerate(sorted(liked(source.test), key=lambda pair: int(pair[0][3:]))):
        assert (user, item) == (f"ann{u}", f"x{(u + 6) % 14:02}")
    assert ("ann3", "x08") in liked(source.validation)
    assert Counter(user for user, _ in liked(source.train)) == {f"ann{u}": 5 for u in range(30)}
    parts = [set(liked(part)) for part in (source.train, source.validation, source.test)]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


def test_what_else_is_shown_was_not_rated_and_no_place_tells(project: Path) -> None:
    written(rows())
    source = load(section())
    for part, until in ((source.train, 5), (source.validation, 7), (source.test, 7)):
        assert part is not None
        arrays = part.arrays()
        for user, shown, place in zip(
            arrays.inputs["user"][:, 0], arrays.inputs["items"], arrays.targets[LABEL], strict=True
        ):
            assert len(set(shown)) == 4
            known = {f"x{(int(user[3:]) + k) % 14:02}" for k in [*range(until), 7]}  # the last is disliked
            assert not known & set(np.delete(shown, place))
    places = np.bincount(source.train.targets[LABEL], minlength=4)
    assert places.min() > 20, "of 150"


def test_what_training_shows_as_not_liked_does_not_tell_what_is_liked_later(project: Path) -> None:
    """Where chance alone says who likes what, it helps nobody to count how often a user was shown an item in vain."""
    rng, users, items, each = np.random.default_rng(0), 200, 120, 30
    chosen = [rng.choice(items, each, replace=False) for _ in range(users)]
    written([f"u{user},x{item:03},5,{time}" for user in range(users) for time, item in enumerate(chosen[user])])
    source = load(section(candidates=50))
    assert source.test is not None
    train, test = source.train.arrays(), source.test.arrays()
    vain = Counter[tuple[str, str]]()
    for user, shown in zip(train.inputs["user"][:, 0], train.inputs["items"], strict=True):
        vain.update((user, item) for item in shown)
    scores = [
        [-vain[user, item] for item in shown]
        for user, shown in zip(test.inputs["user"][:, 0], test.inputs["items"], strict=True)
    ]
    recall = recall_10(np.array(scores, np.float32), {"label": test.targets[LABEL]}).mean()
    assert recall == pytest.approx(10 / 50, abs=4 * np.sqrt(0.2 * 0.8 / users)), "chance"


def test_a_user_with_two_likes_is_only_learnt_from(project: Path) -> None:
    written([*rows(), "few,x00,5,1", "few,x01,5,2", "few,x02,2,3"])
    source = load(section())
    assert [item for user, item in liked(source.train) if user == "few"] == ["x00", "x01"]
    assert source.test is not None
    assert "few" not in dict(liked(source.test))


def test_users_and_items_are_numbered_by_training_and_new_ones_have_a_number(project: Path) -> None:
    written(rows())
    prepare(least.params(SECTION, model={"family": "two_tower"}))
    entries = preprocess.read(paths.DATA / "preprocess.json")["inputs"]
    assert dataset.spec().inputs == {
        "user": dataset.TensorSpec((1,), "int32", 31),
        "items": dataset.TensorSpec((4,), "int32", 15),
    }
    raw = np.array([["x03", "never seen", "x00", "x03"]], object)
    names = entries["items"]["values"][0]
    assert preprocess.apply(entries["items"], raw).tolist() == [
        [1 + names.index(n) if n in names else 0 for n in raw[0]]
    ]
    with pytest.raises(ValueError, match=r"str \[n, 4\] expected"):
        preprocess.apply(entries["items"], raw[:, :3])
    first, again = dataset.load_raw("test").arrays(), load(section()).test
    assert again is not None
    np.testing.assert_array_equal(first.inputs["items"], again.arrays().inputs["items"])


def test_the_yardsticks_are_what_they_say(project: Path) -> None:
    written(rows())
    prepare(least.params(SECTION, model={"family": "two_tower"}))
    train, test = dataset.load("train").arrays(), dataset.load("test").arrays()
    matrix = np.zeros((31, 15))
    for user, shown, place in zip(train.inputs["user"][:, 0], train.inputs["items"], train.targets[LABEL], strict=True):
        matrix[user, shown[place]] = 1
    popular = YARDSTICKS.load("popularity").predict(train, test, 0)
    np.testing.assert_array_equal(popular, matrix.sum(axis=0)[test.inputs["items"]])
    near = cosine_similarity(matrix.T)
    np.fill_diagonal(near, 0)
    found = YARDSTICKS.load("item-knn").predict(train, test, 0, neighbours=99)
    expected = (matrix[test.inputs["user"][:, 0]] @ near)[np.arange(len(test))[:, None], test.inputs["items"]]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    few = YARDSTICKS.load("item-knn").predict(train, test, 0, neighbours=1)
    assert 0 < (few > 0).sum() < (found > 0).sum()
    blind = Arrays(test.inputs, {})
    np.testing.assert_array_equal(YARDSTICKS.load("popularity").predict(train, blind, 0), popular)
    with pytest.raises(DataError, match="popularity: users and items of the source ratings expected; received x"):
        YARDSTICKS.load("popularity").predict(Arrays({"x": np.zeros((2, 1))}, {}), test, 0)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 5), min_size=14, max_size=14), st.integers(0, 13)), min_size=1, max_size=9
    )
)
def test_the_gain_is_that_of_scikit_learn_whatever_is_tied(drawn: list[tuple[list[int], int]]) -> None:
    scores, truth = (np.array(each) for each in zip(*drawn, strict=True))
    relevant = np.eye(14)[truth]
    found = ndcg_10(scores.astype(np.float32), {"label": truth})
    assert found == pytest.approx([ndcg_score([r], [s], k=10) for r, s in zip(relevant, scores, strict=True)])
    shuffled = np.random.default_rng(0)
    tried = [
        np.mean([t in np.lexsort((shuffled.random(14), -row))[:10] for _ in range(400)])
        for row, t in zip(scores, truth, strict=True)
    ]
    np.testing.assert_allclose(recall_10(scores.astype(np.float32), {"label": truth}), tried, atol=0.13)


def test_the_generated_ratings_are_the_same_always_and_have_the_tastes_that_they_say() -> None:
    assert generated() == generated()
    source = load(Prepare(source="ratings"))
    assert (len(source.train), source.origin.keys()) == (9302, {"generated"})
    assert source.test is not None
    assert len(source.test) == 400
    matrix: dict[str, dict[str, float]] = {}
    for line in generated().splitlines()[1:]:
        user, item, rating, _ = line.split(",")
        matrix.setdefault(user, {})[item] = float(rating)
    items = sorted({item for own in matrix.values() for item in own})
    table = np.array([[own.get(item, 3.0) - 3 for item in items] for own in matrix.values()])
    strength = np.linalg.svd(table - table.mean(axis=0), compute_uv=False)
    assert strength[3] > 1.3 * strength[4], "four directions stand out"
    assert strength[4] < 1.15 * strength[5]


GOOD = rows(12)


@pytest.mark.parametrize(
    ("lines", "header", "told", "message"),
    [
        ([], HEADER, {}, "a header and at least one row expected"),
        (GOOD, "user,item,stars,time", {}, "no column is named 'rating'"),
        ([*GOOD, "ann1,x1,5"], HEADER, {}, r"line 98: 4 fields as in the header expected; received 3"),
        ([*GOOD, GOOD[2]], HEADER, {}, r"line 98: the user 'ann0' has rated the item 'x02' in line 4 too: keep one"),
        ([*GOOD, "ann1,x13,good,1"], HEADER, {}, r"line 98: column 'rating': a number expected; received 'good'"),
        ([*GOOD, "ann1,x13,NaN,1"], HEADER, {}, r"line 98: column 'rating': a number expected; received 'NaN'"),
        ([*GOOD, "ann1,x13,5,"], HEADER, {}, r"line 98: column 'time': a number expected; received ''"),
        ([*GOOD, ",x13,5,1"], HEADER, {}, r"line 98: 'user' is empty"),
        (GOOD, HEADER, {"candidates": 8}, "candidates: 8: the user 'ann0' has 6 items not rated yet; at most 7"),
        (GOOD, HEADER, {"liked": 6}, "prepare.liked: 6: nobody's next item is known"),
        (["a,x,5,1", "a,y,5,2", *(f"b,{i},1,{i}" for i in "123456")], HEADER, {}, "three items rated so by a user"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_line(
    project: Path, lines: list[str], header: str, told: dict[str, Any], message: str
) -> None:
    written(lines, header)
    with pytest.raises(DataError, match=message) as caught:
        load(section(**told))
    assert "\n" not in str(caught.value)


def test_columns_of_other_names_are_told(project: Path) -> None:
    written(rows())
    expected = load(section())
    written(rows(), "userId,movieId,rating,timestamp")
    with pytest.raises(DataError, match=r"no column is named 'user'; .*userId.*; prepare\.columns\.user names it"):
        load(section())
    columns = {"user": "userId", "item": "movieId", "time": "timestamp"}
    found = load(section(columns=columns))
    assert liked(found.train) == liked(expected.train)
    assert liked(found.test) == liked(expected.test)
    written([*rows(), "ann1,x13,5,late"], "userId,movieId,rating,timestamp")
    with pytest.raises(DataError, match="line 242: column 'timestamp': a number expected; received 'late'"):
        load(section(columns=columns))
    with pytest.raises(ValidationError, match="columns is of the sources ratings; received source 'csv'"):
        Prepare.model_validate({"source": "csv", "path": "r.csv", "target": "rating", "columns": columns})


def test_a_file_that_is_none_and_a_section_that_does_not_fit_are_told(project: Path) -> None:
    with pytest.raises(DataError, match=r"r\.csv: no such file"):
        load(section())
    Path("r.csv").write_bytes(b"user,item,rating,time\n\xff,1,2,3\n")
    with pytest.raises(DataError, match="UTF-8 expected"):
        load(section())
    with pytest.raises(ValueError, match="source 'ratings' needs the task classification"):
        section(task="regression")
    with pytest.raises(ValueError, match="liked and candidates are of the source 'ratings'"):
        section(source="digits", path=None)
