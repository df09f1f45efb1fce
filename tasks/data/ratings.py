"""Who rated what, how, and when: a CSV file with the columns user, item, rating and time, or as `prepare.columns` says.

What a user has rated `prepare.liked` or more is liked. Of each user the item that was liked last is of the test, the
one before of the validation split, all earlier ones are learnt from: X. He et al., "Neural collaborative filtering"
(2017). An example is a user and `prepare.candidates` items, one of which is liked next; the others are drawn from those
that the user has not rated: in training not yet, so what is liked later is among them, and in the other splits never.
Users who liked fewer than three items are only learnt from.

Without a path the ratings are generated, with a structure that is known: `generated` says which. They are no users.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np

from tasks import files
from tasks.data import cells, labels, sizes
from tasks.errors import DataError, suggest
from tasks.examples import Array, Arrays, tables
from tasks.examples.dataset import LABEL, Source
from tasks.members import DataSource
from tasks.params import Prepare
from tasks.params.prepare import Columns
from tasks.scratch import scratch

OWN = Columns()
USERS, ITEMS, TASTES, RATED = 400, 240, 4, 40  # of what is generated
SHOWN = 32  # bytes in memory for each item that an example shows
SPLITS = ("train", "validation", "test")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ratings:
    """Rows in the order of time, of equal times in that of the file; users and items by their numbers."""

    users: tuple[str, ...]
    items: tuple[str, ...]
    user: Array  # int64 [n]
    item: Array
    rating: Array  # float64 [n]


def check(params: Prepare) -> None:
    """Look whether the ratings are there.

    Raises:
        DataError: they are not.
    """
    if params.path is not None and not Path(params.path).is_file():
        told = "prepare.path names a CSV file with the columns user, item, rating and time"
        raise DataError(f"{params.path}: no such file; {told}")


def load(params: Prepare) -> Source:
    """Users, str objects [n, 1], and the items that each may be shown, [n, candidates]; the label is which is liked.

    Raises:
        DataError: the file is missing or broken, a row stands there twice, or a cell is not what it must be; the
            message names the line.
    """
    check(params)
    if params.path is None:
        text = generated()
        log.info("prepare: the ratings are generated, of %d users with %d tastes each: no real ones", USERS, TASTES)
        with scratch("ratings") as folder:
            (folder / "generated.csv").write_text(text, encoding="utf-8")
            found = parsed(folder / "generated.csv")
        origin = {"generated": sha256(text.encode()).hexdigest()}
    else:
        path = Path(params.path)
        found, origin = parsed(path, params.columns), {path.name: files.sha256(path)}
    parts = _parts(found, params)
    return Source(
        kinds={"user": "category", "items": "category"},
        train=parts["train"],
        test=parts["test"],
        classes=tuple(f"place {number}" for number in range(1, params.candidates + 1)),
        origin=origin,
        validation=parts["validation"],
    )


def generated() -> str:
    """Ratings as CSV, the same always: tastes and items are directions, and a rating is how near they are, with noise.

    rating = 3 + 1.5 <taste of the user, item> + liking of the item + noise, rounded to 1 to 5. A user meets items by
    their popularity, which falls with their number, and by whether they suit him.
    """
    rng = np.random.default_rng(0)
    tastes, kinds = rng.normal(size=(USERS, TASTES)) / 2, rng.normal(size=(ITEMS, TASTES))
    liking = rng.normal(0, 0.4, ITEMS)
    lines = [",".join(Columns.model_fields)]
    for user in range(USERS):
        near = kinds @ tastes[user]
        odds = np.exp(near) / np.arange(5, ITEMS + 5)
        for time, item in enumerate(rng.choice(ITEMS, RATED, replace=False, p=odds / odds.sum())):
            rating = int(np.clip(np.rint(3 + 1.5 * near[item] + liking[item] + rng.normal(0, 0.5)), 1, 5))
            lines.append(f"u{user:03},i{item:03},{rating},{time}")
    return "\n".join(lines)


def parsed(where: Path, told: Columns = OWN) -> Ratings:
    """The ratings of a file.

    Args:
        where: the file.
        told: what its columns are called.

    Raises:
        DataError: see `load`.
    """
    table = cells.read(where)
    for key, name in told:
        if name not in table.columns:
            also = f"; prepare.columns.{key} names it"
            raise DataError(f"{where}: no column is named {name!r}; {suggest(name, table.columns)}{also}")
    rating, time = (_numbers(where, table, name) for name in (told.rating, told.time))
    for name in (told.user, told.item):
        for line, cell in zip(table.lines, table.columns[name], strict=True):
            labels.check(f"{where}: line {line}", name, cell)
    pairs = table.columns[told.user], table.columns[told.item]
    _check_once(where, table.lines, *pairs)
    order = np.argsort(time, kind="stable")
    (users, user), (items, item) = (np.unique(column, return_inverse=True) for column in pairs)
    return Ratings(tuple(users.tolist()), tuple(items.tolist()), user[order], item[order], rating[order])


def _numbers(where: Path, table: tables.Table, name: str) -> Array:
    try:
        found = tables.numbers(name, table)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    if (wrong := np.flatnonzero(~np.isfinite(found))).size:
        line, cell = table.lines[wrong[0]], table.columns[name][wrong[0]]
        raise DataError(f"{where}: line {line}: column {name!r}: a number expected; received {cell!r}")
    return found


def _check_once(where: Path, lines: Sequence[int], users: Sequence[str], items: Sequence[str]) -> None:
    """Refuse an item that a user has rated twice: one row might be learnt from and the other one judge."""
    seen: dict[tuple[str, str], int] = {}
    for line, user, item in zip(lines, users, items, strict=True):
        if (first := seen.setdefault((user, item), line)) != line:
            told = f"the user {user!r} has rated the item {item!r} in line {first} too"
            raise DataError(f"{where}: line {line}: {told}: keep one of the rows, or it judges itself")


def _parts(found: Ratings, params: Prepare) -> dict[str, Arrays]:
    """Each split's users, their candidates, and which of these is liked."""
    rng = np.random.default_rng(params.seed)
    chosen: dict[str, list[tuple[int, int]]] = {name: [] for name in SPLITS}
    liked = np.flatnonzero(found.rating >= params.liked)
    by_user = liked[np.argsort(found.user[liked], kind="stable")]  # of each in the order of time
    ends = np.searchsorted(found.user[by_user], np.arange(len(found.users) + 1))
    for user, (start, stop) in enumerate(pairwise(ends.tolist())):
        own = found.item[by_user[start:stop]].tolist()
        held = dict(zip(own[-2:], SPLITS[1:], strict=True)) if len(own) > 2 else {}
        for item in own:
            chosen[held.get(item, "train")].append((user, item))
    for name, pairs in chosen.items():
        if not pairs:
            least = "three items rated so by a user" if name != "train" else "one"
            raise DataError(f"prepare.liked: {params.liked:g}: nobody's next item is known; {least} at least expected")
    parts = {name: np.array(pairs) for name, pairs in chosen.items()}
    count = sum(map(len, parts.values()))
    sizes.check(
        f"prepare.candidates: {params.candidates} for each of {count:,} liked", count * params.candidates * SHOWN
    )
    order = np.argsort(found.user, kind="stable")
    rated = np.split(found.item[order], np.searchsorted(found.user[order], np.arange(1, len(found.users))))
    known = list(rated)  # an item that training never shows a user as one of the others would be told apart by that
    for user, item in np.concatenate([parts[name] for name in SPLITS[1:]]).tolist():
        known[user] = known[user][known[user] != item]
    return {
        name: _examples(found, pairs, known if name == "train" else rated, params, rng) for name, pairs in parts.items()
    }


def _examples(
    found: Ratings, pairs: Array, rated: Sequence[Array], params: Prepare, rng: np.random.Generator
) -> Arrays:
    """Users, each with what was liked in a place among others that are not `rated`, the items of each user."""
    count, every = params.candidates, np.arange(len(found.items), dtype=np.int32)
    shown, label = np.empty((len(pairs), count), np.int32), rng.integers(0, count, len(pairs))
    for row, (user, item) in enumerate(pairs):
        others = np.delete(every, rated[user])
        if len(others) < count - 1:
            raise DataError(
                f"prepare.candidates: {count}: the user {found.users[user]!r} has {len(others)} items not rated yet; "
                f"at most {len(others) + 1} expected"
            )
        shown[row] = np.insert(rng.choice(others, count - 1, replace=False), label[row], item)
    users, items = (np.array(names, object) for names in (found.users, found.items))
    return Arrays({"user": users[pairs[:, :1]], "items": items[shown]}, {LABEL: label})


SOURCE = DataSource(schema=Prepare, check=check, load=load)
