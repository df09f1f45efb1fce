"""Choices as a QUBO: which bits for which layer, and any other choice among few, stated for an annealer.

Each choice of a parameter is a binary variable, x[parameter, choice]; of each parameter exactly one is 1. What the
choices cost, alone and in pairs, is fitted to the trials that have finished (BOCS: R. Baptista and M. Poloczek,
"Bayesian Optimization of Combinatorial Structures", ICML 2018). The sum is minimised by simulated annealing here; the
same `dimod.BinaryQuadraticModel` is what quantum annealers take.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dimod

Floats = NDArray[np.float64]
Space = Mapping[str, Sequence[Any]]  # the choices of each parameter
Answer = dict[str, int]  # the choice of each parameter, by its place
Variable = tuple[str, int]
Linear = dict[Variable, float]
Pairs = dict[tuple[Variable, Variable], float]
READS, SWEEPS = 64, 200
SLACK = 1.1  # of the penalty over the least that makes every optimum valid
PAIR = 0.25  # a pair's share of the variance of a single choice: most is said by each alone
NOISE = 0.05  # of a loss of unit variance: what pairs do not explain


def variables(space: Space) -> list[Variable]:
    """The binary variables of a space, in order."""
    return [(name, i) for name, choices in space.items() for i in range(len(choices))]


def model(space: Space, linear: Mapping[Variable, float], pairs: Pairs) -> "dimod.BinaryQuadraticModel":
    """The QUBO: the costs, and for each parameter a penalty P (sum of x - 1)² that leaves it exactly one choice.

    P is larger than what setting or clearing any one variable of the parameter can win: the sum of the absolute costs
    that it takes part in. So whatever breaks the rule is improved by one flip, and every optimum, even a local one,
    keeps to it.

    Args:
        space: the choices.
        linear: what a choice costs.
        pairs: what two choices of different parameters cost beyond that.
    """
    import dimod

    reach = {variable: abs(linear.get(variable, 0.0)) for variable in variables(space)}
    for pair, cost in pairs.items():
        for variable in pair:
            reach[variable] += abs(cost)
    found = dimod.BinaryQuadraticModel(dimod.BINARY)
    for name, choices in space.items():
        group = [(name, i) for i in range(len(choices))]
        penalty = SLACK * max(reach[variable] for variable in group) or 1.0
        found.offset += penalty
        for variable in group:
            found.add_linear(variable, linear.get(variable, 0.0) - penalty)
        for one, other in combinations(group, 2):
            found.add_quadratic(one, other, 2 * penalty)
    for (one, other), cost in pairs.items():
        found.add_quadratic(one, other, cost)
    return found


def solve(found: "dimod.BinaryQuadraticModel", seed: int) -> list[Answer]:
    """Anneal, then descend to the nearest local optimum: the distinct answers, the best first."""
    from dwave.samplers import SimulatedAnnealingSampler, SteepestDescentSolver

    annealed = SimulatedAnnealingSampler().sample(found, num_reads=READS, num_sweeps=SWEEPS, seed=seed)
    settled = SteepestDescentSolver().sample(found, initial_states=annealed).aggregate()
    rows = settled.data(["sample"], sorted_by="energy")
    return [{name: i for (name, i), chosen in row.sample.items() if chosen} for row in rows]


class Surrogate:
    """A loss as a sum over choices and pairs of choices: Bayesian regression on finished trials."""

    def __init__(self, space: Space, prior: Mapping[Variable, float]) -> None:
        """Expect of a choice what `prior` says that it costs; 0 where it says nothing."""
        self.singles = variables(space)
        self.pairs = [pair for pair in combinations(self.singles, 2) if pair[0][0] != pair[1][0]]
        self._expected = np.array([prior.get(variable, 0.0) for variable in self.singles])
        many = len(space)  # of the variables so many are 1: together they shall vary by 1 beforehand
        share = np.r_[np.ones(len(self.singles)), np.full(len(self.pairs), PAIR)]
        self._variance = share / (many + PAIR * many * (many - 1) / 2)

    def features(self, points: Sequence[Answer]) -> Floats:
        """Which variables and pairs each point has: 0 or 1, [points, variables + pairs]."""
        has = np.array([[float(point[name] == i) for name, i in self.singles] for point in points])
        place = {variable: i for i, variable in enumerate(self.singles)}
        left, right = (np.array([place[pair[side]] for pair in self.pairs], np.intp) for side in (0, 1))
        return np.hstack([has, has[:, left] * has[:, right]])

    def draw(self, points: Sequence[Answer], losses: Floats, rng: np.random.Generator) -> tuple[Linear, Pairs]:
        """Costs drawn from what is believed after the trials (Thompson sampling), in standard deviations of `losses`.

        The draw is exact and takes a system of as many equations as there are points (A. Bhattacharya et al., "Fast
        sampling with Gaussian scale mixture priors in high-dimensional regression", 2016).

        Args:
            points: what was tried.
            losses: what came of each, [points].
            rng: of the draw.
        """
        spread = float(losses.std()) or 1.0
        features, expected = self.features(points), self._expected / spread
        known = features[:, : len(expected)] @ expected
        target = (losses - losses.mean()) / spread - (known - known.mean())
        weights = rng.normal(size=features.shape[1]) * np.sqrt(self._variance)
        noise = rng.normal(size=len(points)) * np.sqrt(NOISE)
        gram = (features * self._variance) @ features.T + NOISE * np.eye(len(points))
        weights += self._variance * (features.T @ np.linalg.solve(gram, target - features @ weights - noise))
        single = weights[: len(expected)] + expected
        double = weights[len(expected) :]
        return dict(zip(self.singles, single.tolist(), strict=True)), dict(
            zip(self.pairs, double.tolist(), strict=True)
        )


def propose(
    space: Space,
    points: Sequence[Answer],
    losses: Floats,
    weights: Floats,
    priors: Sequence[Mapping[Variable, float]],
    rng: np.random.Generator,
) -> list[Answer]:
    """The next points worth trying, the best first.

    Args:
        space: the choices.
        points: what was tried.
        losses: what came of each, [points, losses]; less is better.
        weights: of each loss in the sum that is minimised.
        priors: for each loss, what is known of a choice beforehand; may be empty.
        rng: of the draw and the annealing.
    """
    linear: Linear = {}
    pairs: Pairs = {}
    for weight, column, prior in zip(weights.tolist(), losses.T, priors, strict=True):
        singles, doubles = Surrogate(space, prior).draw(points, column, rng)
        for variable, cost in singles.items():
            linear[variable] = linear.get(variable, 0.0) + weight * cost
        for pair, cost in doubles.items():
            pairs[pair] = pairs.get(pair, 0.0) + weight * cost
    return solve(model(space, linear, pairs), int(rng.integers(2**31)))
