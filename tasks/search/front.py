"""Which trials are best: constrained domination, hypervolume, and how far a figure is from a goal. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.params.search import Goal, Search
from tasks.records import gain
from tasks.records.figures import FIGURES, QUALITY, Figure, judged
from tasks.records.metrics import METRICS
from tasks.search.records import Distance, Trial
from tasks.ship.champion import ROUNDING, least_drop
from tasks.ship.speed import TRUST

Figures = Mapping[str, float]
Point = tuple[float, ...]  # losses: less is better in each
MARGIN = 0.1  # of the box beyond the worst, so that the ends of a front count too


@dataclass(frozen=True)
class Aims:
    """What trials are judged by."""

    search: Search
    reference: str  # the variant that a drop of quality is below
    quality: dict[str, float]  # the reference's validation quality, by the name of the figure
    metric: str  # what quality is

    def figure(self, key: str) -> Figure:
        """The figure that a key of a trial's figures is of."""
        metric = METRICS.load(self.metric)
        return judged(FIGURES[key.partition("@")[0]], self.metric, metric.unit, metric.better)

    def losses(self, figures: Figures) -> Point:
        """The objectives of a trial that has all of them, each so that less is better."""
        return tuple(gain(self.figure(each.key).better, 0.0, figures[each.key]) for each in self.search.objectives)

    def excess(self, goal: Goal, value: float) -> float:
        """The share of the limit by which a figure is beyond it; 0 or less where it keeps to it.

        A quality is held against the reference's: what is short of the limit is counted in the drop that the limit
        allows, and that in no less than tenths of a point.
        """
        limit, figure = self.limit(goal), self.figure(goal.key)
        if goal.of == QUALITY:
            reference = self.quality[goal.key]
            allowed = goal.max_drop if goal.max_drop is not None else abs(reference - limit)
            share = gain(figure.better, limit, value) / max(allowed, least_drop(figure.unit, reference))
        else:
            share = gain(figure.better, 1.0, value / limit)
        return 0.0 if 0 < share <= ROUNDING else share

    def limit(self, goal: Goal) -> float:
        """The worst that keeps to the goal."""
        if goal.max_drop is None:
            return next(each for each in (goal.min, goal.max) if each is not None)
        reference = self.quality[goal.key]
        return reference - goal.max_drop if self.figure(goal.key).better == "higher" else reference + goal.max_drop

    def violation(self, figures: Figures) -> float:
        """By how much the goals are missed, summed over the figures that are known; 0: none is."""
        known = [goal for goal in self.search.goals if goal.key in figures]
        return sum(max(0.0, self.excess(goal, figures[goal.key])) for goal in known)

    def distances(self, figures: Figures) -> tuple[Distance, ...]:
        """How far the figures are from each goal."""
        return tuple(self._distance(goal, figures.get(goal.key)) for goal in self.search.goals)

    def _distance(self, goal: Goal, value: float | None) -> Distance:
        if value is None:
            return Distance(goal=self.words(goal), value=None, beyond=None, share=None)
        share = max(0.0, self.excess(goal, value))
        beyond = gain(self.figure(goal.key).better, self.limit(goal), value)
        return Distance(goal=self.words(goal), value=value, beyond=beyond if share else 0.0, share=share)

    def words(self, goal: Goal) -> str:
        """The goal as a user would say it."""
        if goal.max is not None:
            return f"{goal.key} at most {goal.max:,g}"
        if goal.min is not None:
            return f"{goal.key} at least {goal.min:g}"
        way = "below" if self.figure(goal.key).better == "higher" else "above"
        return f"{goal.key} at most {goal.max_drop:g} {way} {self.reference} ({self.limit(goal):.4f})"

    def comparable(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that came to their end and whose figures are of one source each: the most trusted that there is.

        An estimate is never set against a measurement, of the same figure on the same device.
        """
        whole = [trial for trial in trials if trial.status == "ok"]
        for key in dict.fromkeys(each.key for each in (*self.search.objectives, *self.search.goals)):
            trusted = min((TRUST.index(trial.provenance[key]) for trial in whole if key in trial.provenance), default=0)
            whole = [trial for trial in whole if TRUST.index(trial.provenance.get(key, TRUST[0])) <= trusted]
        return whole

    def front(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that no other one dominates, of those that keep to all goals; where none does, of all.

        Of trials that make the same only the first is kept.
        """
        whole = self.comparable(trials)
        within = [trial for trial in whole if not self.violation(trial.figures)] or whole
        points = [self.losses(trial.figures) for trial in within]
        found = {
            trial.key: trial
            for trial, point in reversed(list(zip(within, points, strict=True)))
            if not any(dominates(other, point) for other in points)
        }
        return sorted(found.values(), key=lambda trial: (self.losses(trial.figures), trial.number))

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The trial nearest to all goals; of equals the one nearest to the best of every objective at once."""
        whole = self.comparable(trials)
        if not whole:
            return None
        scaled = dict(zip((trial.number for trial in whole), self._scaled(whole, whole), strict=True))
        return min(
            whole,
            key=lambda trial: (
                self.violation(trial.figures),
                sum(loss * loss for loss in scaled[trial.number]),
                trial.number,
            ),
        )

    def hypervolume(self, trials: Sequence[Trial], among: Sequence[Trial]) -> float | None:
        """The share of the box of all of `among` that `trials` dominate; null where nothing has all objectives.

        The box reaches, in each objective, from the best of `among` to a tenth of the range beyond the worst.
        """
        whole = self.comparable(among)
        if not whole:
            return None
        given = {trial.number for trial in trials}
        mine = [trial for trial in whole if trial.number in given]
        size = len(self.search.objectives)
        edge = 1 + MARGIN
        return hypervolume(self._scaled(mine, whole), (edge,) * size) / edge**size

    def winners(self, trials: Sequence[Trial]) -> list[Trial]:
        """The new variants worth having: the best, then those of the front that add most hypervolume."""
        first = self.best(trials)
        if first is None:
            return []
        chosen, waiting = [first], [trial for trial in self.front(trials) if trial.key != first.key]
        while waiting:
            more = max(waiting, key=lambda trial: (self.hypervolume([*chosen, trial], trials) or 0.0, -trial.number))
            chosen.append(more)
            waiting.remove(more)
        return [trial for trial in chosen if not trial.handwritten][: self.search.winners]

    def _scaled(self, trials: Sequence[Trial], among: Sequence[Trial]) -> list[Point]:
        """Losses from 0, the best of `among`, to 1, the worst; 0 where all are alike."""
        columns = list(zip(*(self.losses(trial.figures) for trial in among), strict=True))
        low, span = [min(column) for column in columns], [max(column) - min(column) for column in columns]
        return [
            tuple((loss - low[i]) / span[i] if span[i] else 0.0 for i, loss in enumerate(self.losses(trial.figures)))
            for trial in trials
        ]


def dominates(one: Point, other: Point) -> bool:
    """As good in every loss, and better in one."""
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume between `reference` and the points that are below it in every loss; 0 where there is none.

    By slices of the last loss (HSO: L. While et al., "A faster algorithm for calculating hypervolume", 2006).
    """
    inside = sorted({point for point in points if all(p < r for p, r in zip(point, reference, strict=True))}, key=_last)
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    depths = [*(point[-1] for point in inside), reference[-1]]
    return sum(
        (depths[i + 1] - depths[i]) * hypervolume([point[:-1] for point in inside[: i + 1]], reference[:-1])
        for i in range(len(inside))
    )


def _last(point: Point) -> float:
    return point[-1]
