"""The study's file: what a kill leaves in it, and that each sampler asks within the space and not twice alike."""

import pytest

from tasks.params.search import Interval
from tasks.search.study import LOG, Study, mend, place

SPACE = {"chain": ("baseline", "prune"), "scheme": ("int8", "dynamic"), "prune.sparsity": (0.5, 0.7, 0.9)}


def cost(point):
    return {"quality": 0.9 - (point["chain"] == "prune") * point["prune.sparsity"] / 10, "gzip_bytes": 100.0}


@pytest.fixture
def study(tmp_path, aims):
    def open_it(first=(), space=SPACE, **fields):
        aim = aims(**fields)
        return Study(tmp_path, aim, space, list(first), [{}] * len(aim.search.objectives))

    return open_it


def run(study, trial, count):
    """Ask and tell; the points that were asked for."""
    points = []
    for _ in range(count):
        number, point = study.ask()
        points.append(point)
        study.tell(number, trial(number, figures=cost(point)))
    return points


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "qubo"])
def test_each_sampler_stays_within_the_space_and_begins_with_what_it_is_given(study, trial, sampler):
    first = [{"chain": "prune", "scheme": "dynamic"}, {"chain": "baseline", "scheme": "int8"}]
    points = run(study(first, sampler=sampler, trials=12), trial, 16)
    assert [{key: point[key] for key in ("chain", "scheme")} for point in points[:2]] == first
    assert all(point[key] in choices for point in points for key, choices in SPACE.items())
    assert all(set(point) == set(SPACE) for point in points)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "qubo"])
def test_a_search_that_goes_on_asks_for_other_points(study, trial, sampler):
    space = {**SPACE, "slim.keep": Interval(low=0.1, high=0.9)}
    before = run(study(space=space, sampler=sampler), trial, 5)
    after = run(study(space=space, sampler=sampler), trial, 2)
    assert not {point["slim.keep"] for point in before} & {point["slim.keep"] for point in after}


def test_the_same_seed_asks_for_the_same_points(study, trial, tmp_path):
    before = run(study(sampler="qubo", trials=8), trial, 10)
    (tmp_path / LOG).unlink()
    assert run(study(sampler="qubo", trials=8), trial, 10) == before
    (tmp_path / LOG).unlink()
    assert run(study(sampler="qubo", trials=8, seed=5), trial, 10) != before


def test_what_a_killed_process_was_working_on_is_asked_for_again(study, trial):
    killed = study([{"chain": "prune", "scheme": "dynamic"}])
    _, lost = killed.ask()
    number, point = killed.ask()
    killed.tell(number, trial(number, figures=cost(point)))
    again = study([{"chain": "baseline", "scheme": "dynamic"}])  # what it begins with was asked for already
    assert again.ask()[1] == lost


def test_half_a_line_and_a_lock_are_taken_away(study, trial, tmp_path):
    run(study(), trial, 3)
    whole = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(whole + whole.splitlines()[-1][:20])
    (tmp_path / f"{LOG}.lock").symlink_to(tmp_path / LOG)
    mend(tmp_path / LOG)
    assert (tmp_path / LOG).read_bytes() == whole
    assert not (tmp_path / f"{LOG}.lock").is_symlink()
    assert len(run(study(), trial, 2)) == 2
    mend(tmp_path / "nothing")


def test_a_number_between_two_levels_is_the_nearer_one():
    assert place({"a": (0.1, 0.5, 0.9), "b": ("x", "y")}, {"a": 0.75, "b": "y"}) == {"a": 2, "b": 1}
