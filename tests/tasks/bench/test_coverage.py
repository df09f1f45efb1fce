"""Whether an interval of 95 % holds the truth so often, in every noise that `benchmarks/coverage.py` makes.

Fixed seeds, and a bound that any seed would meet: `TRIALS` measurements whose intervals hold the truth in `GOAL` or
more of all cases hold it in less than `least` once in ten thousand draws.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from tasks.bench import stats
from tasks.bench.timed import PLANS
from tasks.intervals import turned

ROOT = Path(__file__).resolve().parents[3]
TRIALS = 1500
LUCK = 1e-4


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_study", ROOT / "benchmarks" / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study: Any = load()
LEAST = binom.ppf(LUCK, TRIALS, study.GOAL) / TRIALS


def held(name: str, statistic: str, **words: Any) -> float:
    _, low, high = study.ratios(study.SCENARIOS[name], statistic, samples=40, trials=TRIALS, seed=1, **words)
    return float(np.mean((low <= study.TRUE) & (high >= study.TRUE)))


@pytest.mark.parametrize("statistic", ["lowest", "mean"])  # latency's and energy's
@pytest.mark.parametrize("name", study.SCENARIOS)
def test_the_interval_of_a_ratio_holds_the_truth(name: str, statistic: str) -> None:
    pairs = {plan.windows for plan in PLANS.values()}
    assert pairs == {6}  # in both modes
    assert held(name, statistic, pairs=6) >= LEAST


@pytest.mark.parametrize("rounds", study.ROUNDS)
@pytest.mark.parametrize("name", study.SCENARIOS)
def test_it_holds_the_truth_of_what_goes_round_more_often_the_quicker_it_is(name: str, rounds: tuple[int, int]) -> None:
    trials = TRIALS // 5
    _, low, high = study.ratios_of_rounds(study.SCENARIOS[name], rounds, pairs=6, trials=trials, seed=1)
    least = binom.ppf(LUCK, trials, study.GOAL) / trials
    assert np.mean((low <= study.TRUE) & (high >= study.TRUE)) >= least


@pytest.mark.parametrize("pairs", [8, 12])
@pytest.mark.parametrize("name", ["loaded, and drifts by 10 %", "two speeds, switched 50% of windows"])
def test_more_windows_hold_it_too(name: str, pairs: int) -> None:
    assert held(name, "mean", pairs=pairs) >= LEAST


def test_were_the_reference_always_first_a_drift_would_leave_the_truth_outside() -> None:
    """So the simulation can tell a good order from a bad one."""
    assert held("drift +10%", "lowest", pairs=6, turns=False) < 0.05


def test_the_simulation_works_out_what_the_record_is_made_by() -> None:
    rng = np.random.default_rng(2)
    figures = study.levels(study.SCENARIOS["loaded"], 20, 12, 30, rng).min(axis=2) * 1e6
    reference, variant = study.sides(figures)
    values, lows, highs = (np.exp(part) for part in study.intervals(np.log(variant / reference)))
    for trial in range(20):
        order = [figures[trial, 2 * turn : 2 * turn + 2] for turn in range(6)]
        pairs = [pair[::-1] if turned(turn) else pair for turn, pair in enumerate(order)]
        found = stats.paired([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((values[trial], lows[trial], highs[trial]))
        assert found.kind == "interval"


def test_each_side_goes_first_as_often_early_and_late() -> None:
    """What cancels a level that moves on a line: first places add up to nothing, and after four turns their moments."""
    first = np.array([1 if turned(turn) else -1 for turn in range(40)])
    assert first.reshape(-1, 2).sum(axis=1).tolist() == [0] * 20
    assert (first.reshape(-1, 4) * np.arange(4)).sum(axis=1).tolist() == [0] * 10


@pytest.mark.parametrize(
    "name", ["independent", "drift +30%", "each process 3 %, heavy tails", "each process 3 %, skewed"]
)
def test_the_interval_of_a_level_holds_its_median(name: str) -> None:
    """As of energy itself, which is of one side's windows; of a machine that drifts, its level halfway."""
    scenario, rng = study.SCENARIOS[name], np.random.default_rng(3)
    figures = study.levels(scenario, TRIALS, 6, 40, rng).mean(axis=2)
    halfway = study.levels(scenario, 20_000, 3, 40, rng)[:, 1].mean(axis=1)
    _, low, high = study.intervals(figures)
    truth = float(np.median(halfway))
    assert np.mean((low <= truth) & (high >= truth)) >= LEAST
