"""When a trial is not worth its next step. Each rule looks at what is known so far, and says why."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.errors import TercetError
from tasks.formats.schemes import SCHEMES
from tasks.members import METHODS
from tasks.records import gain
from tasks.records.figures import QUALITY
from tasks.search.front import Aims, Figures
from tasks.search.records import Trial
from tasks.search.space import Plan

HOPE = 0.1  # of quality: so much further steps may still win back
FAR = 0.05  # of the range of all trials: a nearer point may be better in what is not known yet
ENOUGH = 4  # trials, before their range says anything


class PoorTrialError(TercetError):
    """A trial is not worth its next step."""


@dataclass(frozen=True)
class Judge:
    """Stops trials that cannot, or will hardly, be better than those that have finished."""

    aims: Aims
    finished: Sequence[Trial]
    parameters: int  # of the baseline

    def before(self, plan: Plan) -> None:
        """Before anything is made: what the weights take at least, where no method makes them fewer.

        Raises:
            PoorTrialError: no training can mend it.
        """
        if plan.entry.sparse or any(METHODS.load(entry.method).reshapes for _, entry in plan.models):
            return
        bits = min([SCHEMES.load(plan.entry.scheme).weights or 0, *plan.entry.bits.values()])
        least = {"bytes": self.parameters * bits / 8}
        if nearer := self._nearest(least):
            raise PoorTrialError(f"{self._miss(least)} whatever is trained; {nearer.variant} is nearer to the goals")

    def known(self, figures: Figures) -> None:
        """After each step: whether the trial misses a goal while another keeps to all, or another is far better.

        While none keeps to all goals, those that miss them are made whole: samplers learn from them.

        Raises:
            PoorTrialError: the trial is surely dominated, or very likely.
        """
        nearest = self._nearest(figures)
        if nearest and not self.aims.violation(nearest.figures):
            raise PoorTrialError(f"{self._miss(figures)}; {nearest.variant} keeps to all goals")
        for trial in self._whole():
            if not self.aims.violation(trial.figures) and self._far_better(trial, figures):
                raise PoorTrialError(f"{trial.variant} is far better in all that is known of it so far")

    def trained(self, quality: float, share: float) -> None:
        """After an epoch, when `share` of a model's epochs are done.

        Raises:
            PoorTrialError: from half of the epochs on, the quality is far below every trial's on the front.
        """
        front = [trial.figures[QUALITY] for trial in self.aims.front(self._whole()) if QUALITY in trial.figures]
        if share >= 0.5 and len(front) >= ENOUGH and quality < min(front) - HOPE:
            raise PoorTrialError(
                f"quality {quality:.3f} after {share:.0%} of the epochs; the poorest of the front has {min(front):.3f}"
            )

    def _whole(self) -> list[Trial]:
        return self.aims.comparable(self.finished)

    def _nearest(self, figures: Figures) -> Trial | None:
        """The finished trial that misses the goals least, if these figures alone miss them by more."""
        nearest = min(self._whole(), key=lambda trial: self.aims.violation(trial.figures), default=None)
        missed = self.aims.violation(figures)
        return nearest if nearest and self.aims.violation(nearest.figures) < missed else None

    def _miss(self, figures: Figures) -> str:
        known = [each for each in self.aims.distances(figures) if each.share]
        over = max(known, key=lambda each: each.share or 0.0)
        return f"{over.goal}: {over.value:,.4g} is beyond it by {over.share:.0%}"

    def _far_better(self, trial: Trial, figures: Figures) -> bool:
        known = [each.key for each in self.aims.search.objectives if each.key in figures]
        whole = self._whole()
        if len(known) < 2 or len(whole) < ENOUGH:
            return False
        return all(self._ahead(trial.figures[key], figures[key], key, whole) >= FAR for key in known)

    def _ahead(self, its: float, mine: float, key: str, whole: Sequence[Trial]) -> float:
        """By how much of the range of all trials the other one is better."""
        values = [trial.figures[key] for trial in whole]
        span = max(values) - min(values)
        return gain(self.aims.figure(key).better, its, mine) / span if span else 0.0
