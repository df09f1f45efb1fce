"""A change of what is answered, or of how fast, is found in the counts; where nothing has changed nothing is told."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasks.errors import DataError
from tasks.serve import drift
from tasks.serve.counts import WINDOW, Counts

SHARES = np.array([0.5, 0.3, 0.15, 0.05])
NAMES = ["a", "b", "c", "d"]
REFERENCE = {"labels": {"a": 500, "b": 300, "c": 150, "d": 50}}
Draw = tuple[np.ndarray, float, float]  # shares of labels, mean score, median latency in seconds


def windows(draws: list[tuple[int, Draw]], seed: int) -> list[dict[str, Any]]:
    """What a server counts of so many answers each, drawn from what is given."""
    rng, counts = np.random.default_rng(seed), Counts()
    for number, (shares, score, latency_s) in draws:
        for label in rng.choice(NAMES, number, p=shares):
            counts.answered(label, rng.beta(score * 8, (1 - score) * 8), latency_s * rng.lognormal(0, 0.3))
    return counts.windows()


STEADY: Draw = (SHARES, 0.8, 3e-4)


def test_nothing_is_told_where_nothing_has_changed() -> None:
    told = [drift.found(windows([(5000, STEADY)], seed), REFERENCE) for seed in range(20)]
    told += [drift.found(windows([(5000, STEADY)], seed), None) for seed in range(20, 30)]
    assert sum(map(bool, told)) == 0, [each for each in told if each]


CHANGES: dict[str, tuple[Draw, str, Callable[[drift.Drift], bool]]] = {
    "slower": ((SHARES, 0.8, 4.5e-4), "latency", lambda d: 0.25 < d.before < 0.38 and d.after > d.before),
    "faster": ((SHARES, 0.8, 2e-4), "latency", lambda d: d.after < d.before),
    "less sure": ((SHARES, 0.6, 3e-4), "score", lambda d: 0.75 < d.before < 0.85 and d.after < d.before),
    "more of one": (
        (np.array([0.35, 0.3, 0.15, 0.2]), 0.8, 3e-4), "label d", lambda d: d.before < 0.08 and d.after > d.before,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_found_soon_and_named(case: str) -> None:
    after, signal, right = CHANGES[case]
    for seed in range(10):
        changes = {each.signal: each for each in drift.found(windows([(3000, STEADY), (2000, after)], seed), None)}
        change = changes[signal]
        assert 2900 <= change.answers <= 4500, "after the change, and soon"
        assert right(change), change
        others = {"latency", "score"} - {signal}
        assert not others & changes.keys()


def test_what_never_was_as_the_bundle_says_is_found() -> None:
    """The first answers are taken for no reference where the bundle has one."""
    shifted = windows([(3000, (SHARES[::-1].copy(), 0.8, 3e-4))], 1)
    assert {each.signal for each in drift.found(shifted, REFERENCE)} >= {"label a", "label d"}
    assert drift.found(shifted, None) == []


def test_few_answers_are_not_judged() -> None:
    with pytest.raises(DataError, match="9 windows of answers are too few to tell; 10 or more are needed"):
        drift.found(windows([(9 * WINDOW, STEADY)], 0), None)


def test_the_lines_say_what_has_changed() -> None:
    told = windows([(1000, STEADY)], 0)
    assert list(drift.lines(told, [])) == ["1,000 answers in 10 windows: no change"]
    change = drift.Drift("latency", 0.31234, 0.5, 3100)
    assert list(drift.lines(told, [change]))[1] == "latency: 0.312 ms → 0.5 ms, seen after 3,100 answers"
