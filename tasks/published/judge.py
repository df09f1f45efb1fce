"""How far estimates lie from published figures that they have not seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tasks.records import Judged

LEVEL = 0.95  # of ranges
UNKNOWN = 10.0  # the factor of a range where nothing could be left out


@dataclass(frozen=True)
class Guess:
    """A published figure, and what it would have been estimated at without it; in the same unit, whichever."""

    network: str
    board: str
    estimated: float
    published: float

    @property
    def error(self) -> float:
        """Relative: 0.1 is a tenth too much."""
        return self.estimated / self.published - 1

    @property
    def factor(self) -> float:
        """How many times too much or too little it is, at least 1."""
        return math.exp(abs(math.log(self.estimated / self.published)))


def judged(guesses: Sequence[Guess]) -> Judged | None:
    """Their errors in three numbers; None of no guesses."""
    errors = [abs(guess.error) for guess in guesses]
    if not errors:
        return None
    return Judged(rows=len(errors), mean=fmean(errors), median=median(errors), worst=max(errors))


def factor(guesses: Sequence[Guess]) -> float:
    """The factor, up or down, within which figures of the next network lie: an interval of 95 % by Student's t.

    Networks are its units, as the figures of one are wrong together: the mean square of each one's logarithms counts
    once. There are four of most runtimes; a quantile of their figures would hold three of four new ones at best.
    """
    from scipy.special import stdtrit  # not for every start

    squares: dict[str, list[float]] = {}
    for guess in guesses:
        squares.setdefault(guess.network, []).append(math.log(guess.factor) ** 2)
    if not squares:
        return UNKNOWN
    n, variance = len(squares), fmean(map(fmean, squares.values()))
    return math.exp(stdtrit(n, (1 + LEVEL) / 2) * math.sqrt(variance * (1 + 1 / n)))
