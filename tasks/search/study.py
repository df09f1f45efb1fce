"""What to try next: optuna's studies, kept in a file that survives a kill."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.params.search import Interval, Range, Search
from tasks.search import qubo
from tasks.search.front import Aims
from tasks.search.records import Trial
from tasks.search.space import levels

LOG = "study.log"
LEVELS = 6  # at which the QUBO tries an interval
Priors = Sequence[Mapping[qubo.Variable, float]]  # for each objective: what a choice is known to cost


class Study:
    """Asks for points of a space, and is told what came of them. One process at a time has its file."""

    def __init__(
        self,
        folder: Path,
        aims: Aims,
        space: Mapping[str, Range],
        first: Sequence[dict[str, Any]],
        priors: Priors,
        again: Collection[int] = (),
    ) -> None:
        """Open the study in `folder`, or begin it with the points of `first`.

        Points that a killed process was working on count as failed and are asked for again, and so are those of the
        trials whose numbers are in `again`.
        """
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        mend(folder / LOG)
        search = aims.search
        self._aims, self._asked = aims, dict[int, Any]()
        self._space = {name: distribution(found) for name, found in space.items()}
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(folder / LOG))),
            study_name="search",
            directions=[
                "maximize" if aims.figure(each.key).better == "higher" else "minimize" for each in search.objectives
            ],
            load_if_exists=True,
        )
        done = self._study.get_trials(deepcopy=False)
        # a seed of its own for each start: the same numbers once more would ask for the same points
        self._study.sampler = sampler(search, space, self._space, priors, seed=search.seed + len(done))
        for trial in done:
            if trial.state == optuna.trial.TrialState.RUNNING:
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                self._study.enqueue_trial(trial.params)
            elif trial.number in again:
                self._study.enqueue_trial(trial.params)
        for point in [] if done else first:
            self._study.enqueue_trial(point)

    def ask(self) -> tuple[int, dict[str, Any]]:
        """A number for a new trial, and its point."""
        trial = self._study.ask(self._space)
        self._asked[trial.number] = trial
        return trial.number, dict(trial.params)

    def tell(self, number: int, trial: Trial) -> None:
        """What came of the point that was asked for as `number`; the trial may be another one that made the same."""
        from optuna.trial import TrialState

        asked = self._asked.pop(number)
        asked.set_user_attr("trial", trial.number)
        asked.set_user_attr("variant", trial.variant)
        for goal in self._aims.search.goals:
            if goal.key in trial.figures:
                asked.set_constraint(self._aims.words(goal), self._aims.excess(goal, trial.figures[goal.key]))
        if trial.status == "ok":
            self._study.tell(asked, [trial.figures[each.key] for each in self._aims.search.objectives])
        else:
            self._study.tell(asked, state=TrialState.PRUNED)


def mend(log: Path) -> None:
    """Take away what a killed process left: a lock, and the half of a last line. Nobody else has the file open."""
    log.with_name(f"{log.name}.lock").unlink(missing_ok=True)
    if log.exists() and not (content := log.read_bytes()).endswith(b"\n"):
        log.write_bytes(content[: content.rfind(b"\n") + 1])


def distribution(found: Range) -> Any:
    """A range as optuna's distribution."""
    from optuna import distributions as known

    if not isinstance(found, Interval):
        return known.CategoricalDistribution(found)
    if isinstance(found.low, int) and isinstance(found.high, int):
        return known.IntDistribution(found.low, found.high, log=found.log)
    return known.FloatDistribution(found.low, found.high, log=found.log)


def sampler(
    search: Search, space: Mapping[str, Range], distributions: Mapping[str, Any], priors: Priors, seed: int
) -> Any:
    """The sampler that params.yaml names.

    A quarter of the trials is a generation of NSGA-II, or what TPE and the QUBO draw at random before they model.
    """
    from optuna.samplers import NSGAIISampler, TPESampler

    quarter = max(4, search.trials // 4)
    match search.sampler:
        case "nsga2":
            return NSGAIISampler(population_size=min(50, quarter), seed=seed)
        case "tpe":
            return TPESampler(n_startup_trials=quarter, seed=seed)
        case "qubo":
            return qubo_sampler(
                {name: levels(found, LEVELS) for name, found in space.items()}, distributions, priors, quarter, seed
            )


def qubo_sampler(space: qubo.Space, distributions: Mapping[str, Any], priors: Priors, startup: int, seed: int) -> Any:
    """An optuna sampler of the best point of the annealed QUBO that was not tried yet, after `startup` random ones.

    Each objective weighs at random, so that trial by trial the front is covered; goals that are missed always weigh.
    """
    from optuna.samplers import BaseSampler, RandomSampler
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    random, rng = RandomSampler(seed=seed), np.random.default_rng(seed)

    class Qubo(BaseSampler):
        """Choices by annealing."""

        def infer_relative_search_space(self, _study: Any, _trial: Any) -> dict[str, Any]:
            return dict(distributions)

        def sample_relative(self, study: Any, _trial: Any, _space: Any) -> dict[str, Any]:
            trials = study.get_trials(deepcopy=False)
            whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
            if len(whole) < startup:
                return {}
            signs = [-1.0 if each == StudyDirection.MAXIMIZE else 1.0 for each in study.directions]
            missed = [sum(max(0.0, value) for value in trial.constraints.values()) for trial in whole]
            losses = np.column_stack([np.array([trial.values for trial in whole]) * signs, missed])
            weights = np.r_[rng.dirichlet(np.ones(len(signs))), 1.0 if any(missed) else 0.0]
            points = [place(space, trial.params) for trial in whole]
            answers = qubo.propose(space, points, losses, weights, [*priors, {}], rng)
            # the trial that is asked for has some parameters already where it is one of those given
            tried = [place(space, trial.params) for trial in trials if len(trial.params) == len(space)]
            best = next((answer for answer in answers if answer not in tried), None)
            return {} if best is None else {name: space[name][i] for name, i in best.items()}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            return random.sample_independent(study, trial, param_name, param_distribution)

    return Qubo()


def place(space: qubo.Space, point: Mapping[str, Any]) -> qubo.Answer:
    """The choice of each parameter that is a point's own, or of numbers the nearest."""
    return {
        name: choices.index(point[name])
        if point[name] in choices
        else min(range(len(choices)), key=lambda i: abs(choices[i] - point[name]))
        for name, choices in space.items()
    }
