"""The QUBO by brute force: its optima keep to the rule and cost least, annealed or not."""

import itertools

import dimod
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.search import qubo

COSTS = st.floats(-10, 10, allow_nan=False, width=32)
quick = settings(max_examples=25, derandomize=True, deadline=None)


@st.composite
def problems(draw, most=12):
    """A space of at most so many variables, with a cost for each choice and for each pair."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5).filter(lambda found: sum(found) <= most))
    space = {f"p{i}": tuple(range(size)) for i, size in enumerate(sizes)}
    singles = qubo.variables(space)
    linear = {variable: draw(COSTS) for variable in singles}
    apart = [pair for pair in itertools.combinations(singles, 2) if pair[0][0] != pair[1][0]]
    return space, linear, {pair: draw(COSTS) for pair in apart}


def cost(answer, linear, pairs):
    chosen = {(name, i) for name, i in answer.items()}
    single = sum(value for variable, value in linear.items() if variable in chosen)
    return single + sum(value for (one, other), value in pairs.items() if {one, other} <= chosen)


def answers(space):
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*map(range, map(len, space.values())))]


@quick
@given(problems())
def test_every_optimum_has_one_choice_of_each_parameter_and_costs_least(problem):
    space, linear, pairs = problem
    every = dimod.ExactSolver().sample(qubo.model(space, linear, pairs))
    least = min(cost(answer, linear, pairs) for answer in answers(space))
    assert every.first.energy == pytest.approx(least, abs=1e-6)
    for row in every.data(["sample", "energy"]):
        if row.energy > every.first.energy + 1e-9:
            break
        for name in space:
            assert sum(on for (parameter, _), on in row.sample.items() if parameter == name) == 1


@quick
@given(problems(most=7))
def test_whatever_breaks_the_rule_is_improved_by_one_flip(problem):
    space, linear, pairs = problem
    model, singles = qubo.model(space, linear, pairs), qubo.variables(space)
    for bits in itertools.product((0, 1), repeat=len(singles)):
        point = dict(zip(singles, bits, strict=True))
        if all(sum(point[name, i] for i in range(len(choices))) == 1 for name, choices in space.items()):
            continue
        energy = model.energy(point)
        assert min(model.energy({**point, each: 1 - point[each]}) for each in singles) < energy


@quick
@given(problems(), st.integers(0, 5))
def test_annealing_finds_what_brute_force_finds(problem, seed):
    space, linear, pairs = problem
    found = qubo.solve(qubo.model(space, linear, pairs), seed)
    costs = [cost(answer, linear, pairs) for answer in found]
    assert costs[0] == pytest.approx(min(cost(answer, linear, pairs) for answer in answers(space)), abs=1e-6)
    assert costs == pytest.approx(sorted(costs), abs=1e-6)
    assert all(set(answer) == set(space) for answer in found)
    assert found == qubo.solve(qubo.model(space, linear, pairs), seed)


def test_the_surrogate_learns_a_pairwise_cost():
    space = {f"p{i}": (4, 8) for i in range(5)}
    rng = np.random.default_rng(0)
    every = answers(space)
    weights = rng.normal(size=5)

    def loss(answer):
        on = np.array([answer[f"p{i}"] for i in range(5)])
        return float(weights @ on + 2.0 * on[0] * on[1])

    points = [every[i] for i in rng.permutation(len(every))[:24]]
    losses = np.array([loss(point) for point in points])
    drawn = [qubo.Surrogate(space, {}).draw(points, losses, np.random.default_rng(seed)) for seed in range(20)]
    told = np.mean([[cost(point, *each) for point in every] for each in drawn], axis=0)
    assert np.corrcoef(told, [loss(point) for point in every])[0, 1] > 0.97


def test_the_draws_are_of_the_posterior():
    """Against the textbook's mean and covariance of Bayesian linear regression."""
    space = {"a": (0, 1), "b": (0, 1)}
    points = [{"a": 0, "b": 0}, {"a": 0, "b": 1}, {"a": 1, "b": 1}]
    losses = np.array([0.0, 1.0, 5.0])
    surrogate = qubo.Surrogate(space, {})
    features, prior = surrogate.features(points), np.diag(surrogate._variance)
    precision = np.linalg.inv(prior) + features.T @ features / qubo.NOISE
    target = (losses - losses.mean()) / losses.std()
    mean = np.linalg.solve(precision, features.T @ target / qubo.NOISE)
    rng = np.random.default_rng(1)
    drawn = [surrogate.draw(points, losses, rng) for _ in range(4000)]
    values = np.array([[*single.values(), *double.values()] for single, double in drawn])
    assert values.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert np.cov(values.T) == pytest.approx(np.linalg.inv(precision), abs=0.02)


def test_what_is_known_beforehand_decides_where_nothing_was_tried():
    space = {"bits.a": (4, 8), "bits.b": (4, 8)}
    prior = {("bits.a", 0): 50.0, ("bits.a", 1): 100.0, ("bits.b", 0): 5.0, ("bits.b", 1): 10.0}
    points, losses = [{"bits.a": 1, "bits.b": 0}, {"bits.a": 1, "bits.b": 1}], np.array([[105.0], [110.0]])

    def share(known):
        drawn = [qubo.propose(space, points, losses, np.ones(1), [known], np.random.default_rng(i)) for i in range(40)]
        return np.mean([answers[0]["bits.a"] == 0 for answers in drawn])

    assert share(prior) == 1  # ten spreads less, and an uncertainty of one
    assert 0.2 < share({}) < 0.8
