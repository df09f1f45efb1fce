"""Domination, hypervolume and distances against closed forms, another implementation and the champion's arithmetic."""

import random

import numpy as np
import pytest

from flows.views.search import cell
from tasks.search.front import dominates, hypervolume


def test_the_hypervolume_of_boxes_is_their_closed_form():
    assert hypervolume([], (1, 1)) == 0
    assert hypervolume([(0.25,)], (1,)) == 0.75
    assert hypervolume([(0.5, 0.25)], (1, 1)) == 0.5 * 0.75
    assert hypervolume([(0.5, 0.25), (0.25, 0.5)], (1, 1)) == 0.75 * 0.5 + 0.5 * 0.75 - 0.5 * 0.5
    assert hypervolume([(0, 0, 0)], (2, 3, 4)) == 24
    # three boxes of 1 x 1 x 4, 1 x 4 x 1 and 4 x 1 x 1 at one corner share the unit cube
    assert hypervolume([(3, 3, 0), (3, 0, 3), (0, 3, 3)], (4, 4, 4)) == 3 * 4 - 2
    # a staircase of n steps: 1/n of the square's side each
    n = 10
    stairs = [(i / n, 1 - (i + 1) / n) for i in range(n)]
    assert hypervolume(stairs, (1, 1)) == pytest.approx((n + 1) / (2 * n))


def test_points_beyond_the_reference_and_dominated_ones_add_nothing():
    assert hypervolume([(1, 0), (0, 2)], (1, 1)) == 0
    one = hypervolume([(0.5, 0.5)], (1, 1))
    assert hypervolume([(0.5, 0.5), (0.5, 0.5), (0.6, 0.5), (0.9, 0.9)], (1, 1)) == pytest.approx(one)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_hypervolume_is_the_share_of_random_points_that_are_dominated(size):
    rng = np.random.default_rng(size)
    points = rng.random((6, size)) * 0.8
    drawn = rng.random((40_000, size))
    share = np.mean((points[None] <= drawn[:, None]).all(axis=2).any(axis=1))
    assert hypervolume([tuple(point) for point in points.tolist()], (1.0,) * size) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("size", [2, 3])
def test_the_hypervolume_is_optunas(size):
    from optuna._hypervolume import compute_hypervolume

    points = np.random.default_rng(7).random((12, size))
    mine = hypervolume([tuple(point) for point in points.tolist()], (1.1,) * size)
    assert mine == pytest.approx(compute_hypervolume(points, np.full(size, 1.1)))


def test_a_share_is_shown_in_percent_and_another_figure_with_its_mark(trial, aims):
    one = trial(0, 0.97567, 1234)
    assert cell(one, "quality", aims()) == "97.57 %"
    assert cell(one, "gzip_bytes", aims()) == "1,234"
    assert cell(one, "latency_ms@host-cpu", aims()) == "–"


def test_domination_is_strict_somewhere():
    assert dominates((0, 1), (0, 2))
    assert not dominates((0, 1), (0, 1))
    assert not dominates((0, 2), (1, 1))


def test_the_front_is_of_those_within_the_goals_and_else_of_all(trial, aims):
    trials = [trial(0, 0.97, 900), trial(1, 0.98, 2000), trial(2, 0.96, 1000), trial(3, 0.9, 100)]
    assert [each.number for each in aims().front(trials)] == [1, 0, 3]
    kept = aims({"of": "quality", "min": 0.95}, {"of": "gzip_bytes", "max": 1500})
    assert [each.number for each in kept.front(trials)] == [0]
    nobody = aims({"of": "gzip_bytes", "max": 10})
    assert [each.number for each in nobody.front(trials)] == [1, 0, 3]
    stopped = trial(4, 0.99, 50, status="stopped", reason="why")
    assert [each.number for each in aims().front([*trials, stopped])] == [1, 0, 3]


def test_of_trials_that_make_the_same_the_front_has_one(trial, aims):
    again = trial(1, 0.97, 900, key="k0")
    assert [each.number for each in aims().front([trial(0, 0.97, 900), again])] == [0]
    other = trial(1, 0.97, 900)
    assert [each.number for each in aims().front([trial(0, 0.97, 900), other])] == [0, 1]


def test_distances_are_in_the_figures_unit_and_in_shares_of_the_limit(trial, aims):
    goals = aims({"of": "gzip_bytes", "max": 1000}, {"of": "quality", "max_drop": 0.01}, {"of": "quality", "min": 0.96})
    found = goals.distances({"gzip_bytes": 1250, "quality": 0.955})
    assert [each.beyond for each in found] == pytest.approx([250, 0.015, 0.005])
    assert [each.share for each in found] == pytest.approx([0.25, 1.5, 0.25])  # of 1000, of 0.01, of 0.98 - 0.96
    assert goals.violation({"gzip_bytes": 1250, "quality": 0.955}) == pytest.approx(2.0)
    assert [each.share for each in goals.distances({"gzip_bytes": 1000, "quality": 0.97})] == [0, 0, 0]
    assert goals.distances({"quality": 0.97})[0].share is None
    assert goals.violation({"quality": 0.97}) == 0


def test_a_drop_of_nothing_is_counted_in_tenths_of_a_point(aims):
    goals = aims({"of": "quality", "max_drop": 0}, {"of": "quality", "min": 0.98})
    assert [each.share for each in goals.distances({"quality": 0.979})] == pytest.approx([1, 1])


def test_a_drop_is_the_champions(aims):
    from tasks.records import Row
    from tasks.ship.champion import _drop_goal

    row = Row.model_construct(unit="share", better="higher", validation_quality=0.955)
    goals = aims({"of": "quality", "max_drop": 0.02})
    assert goals.distances({"quality": 0.955})[0].share == pytest.approx(_drop_goal(0.98, 0.02)(row))


def test_the_best_is_nearest_to_the_goals_then_to_the_best_of_everything(trial, aims):
    trials = [trial(0, 1.0, 1000), trial(1, 0.9, 100), trial(2, 0.97, 200), trial(3, 0.5, 90)]
    assert aims().best(trials).number == 2
    assert aims({"of": "quality", "min": 0.99}).best(trials).number == 0
    nobody = aims({"of": "quality", "min": 0.99}, {"of": "gzip_bytes", "max": 50})
    shares = {each.number: nobody.violation(each.figures) for each in trials}
    assert nobody.best(trials).number == min(shares, key=shares.get)
    assert aims().best([trial(0, status="refused", reason="no")]) is None


def test_the_whole_front_has_no_less_hypervolume_than_any_part_of_it(trial, aims):
    rng = random.Random(3)
    trials = [trial(i, rng.random(), rng.random(), rng.random()) for i in range(12)]
    three = aims(objectives=3)
    whole = three.hypervolume(three.front(trials), trials)
    assert whole == three.hypervolume(trials, trials)
    assert 0 < three.hypervolume(trials[:4], trials) <= whole < 1
    assert three.hypervolume([], trials) == 0
    assert three.hypervolume([], []) is None


def test_the_winners_are_new_and_add_most(trial, aims):
    trials = [trial(0, 1.0, 1000, handwritten=True), trial(1, 0.5, 100), trial(2, 0.95, 200), trial(3, 0.94, 199)]
    assert [each.number for each in aims(winners=2).winners(trials)] == [2, 1]
    assert aims(winners=0).winners(trials) == []


def test_an_estimate_is_never_set_against_a_measurement(aims, trial):
    """One trial's latency could only be estimated, and is the least of all."""
    judged = aims(objectives=3)
    measured = [trial(0, 0.98, 100, 2.0), trial(1, 0.97, 90, 1.0)]
    told = {"quality": "measured", "gzip_bytes": "measured", "latency_ms@host-cpu": "estimated"}
    guessed = trial(2, 0.99, 80, 0.1, provenance=told)
    for trials in ([*measured, guessed], [guessed, *measured]):
        assert {each.number for each in judged.front(trials)} == {0, 1}
        assert judged.best(trials).number != 2
        assert judged.hypervolume(trials, trials) == judged.hypervolume(measured, measured)
        assert {each.number for each in judged.winners(trials)} <= {0, 1}
    assert [each.number for each in judged.front([guessed])] == [2]  # nothing better is known
