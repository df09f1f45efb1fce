"""What a token of a language model takes: a start, and the bytes that it reads by a bandwidth; as published of both.

Of one runtime on one board, by least squares of relative errors, neither below 0. A runtime's figures tell no other's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tasks.published import judge, table
from tasks.published.estimate import Estimate
from tasks.published.judge import Guess
from tasks.published.power import Power
from tasks.published.table import Row

FAR = 2.0  # times outside of what was published, from which on nothing is said
LEAST = 3  # figures without which nothing is fitted
FILE = re.compile(r"([\d.]+) GB file")
RATE = re.compile(r"([\d.]+) tok/s; ([\d.]+) GB/s")
BATCH = re.compile(r"batch (\d+)$")


@dataclass(frozen=True)
class Runtime:
    """How its rows call it, and what its tokens differ in."""

    called: str  # with which the name of its rows begins
    board: str
    size: str = "GB"  # that a token reads; or texts that are written at once


RUNTIMES = {
    "llama-cpp": Runtime("llama.cpp", "raspberry-pi-5"),
    "gpt-fast": Runtime("gpt-fast", "a100-80gb"),
    "vllm": Runtime("vLLM", "h100", "texts"),
}


@dataclass(frozen=True)
class Token:
    """One published figure: what a token takes, of every text that is written at once."""

    model: str
    size: float
    ms: float
    mj: float | None


@dataclass(frozen=True)
class Line:
    """What was fitted."""

    start_ms: float
    ms_of_each: float  # of the size

    def ms(self, size: float) -> float:
        """What a token of such a size takes."""
        return self.start_ms + self.ms_of_each * size


def rows(name: str) -> list[Row]:
    """The figures of a runtime on its board, of which the size is told."""
    runtime = RUNTIMES[name]
    own = [row for row in table.of_board(runtime.board) if row.runtime.startswith(runtime.called)]
    return [row for row in own if row.latency_ms and _size(row, runtime) is not None]


def tokens(found: Sequence[Row], name: str) -> list[Token]:
    """Rows by what their tokens read."""
    runtime, made = RUNTIMES[name], []
    for row in found:
        size = _size(row, runtime)
        assert size is not None  # as of all of `rows`
        assert row.latency_ms is not None
        at_once = size if runtime.size == "texts" else 1.0  # energy is told of a token, not of the step that makes all
        mj = row.energy_mj * at_once if row.energy_mj else None
        made.append(Token(f"{row.model}, {row.precision}, {row.threads}", size, row.latency_ms, mj))
    return made


def _size(row: Row, runtime: Runtime) -> float | None:
    """What its source tells: texts at once; the size of the file; or the bytes a second with the tokens a second."""
    if runtime.size == "texts":
        batch = BATCH.match(row.threads)
        return float(batch[1]) if batch else None
    if file := FILE.search(row.model):
        return float(file[1])
    rate = RATE.match(row.note)
    return float(rate[2]) / float(rate[1]) if rate else None


def fitted(known: Sequence[Token]) -> Line:
    """The line whose relative errors have the least squares."""
    from scipy.optimize import nnls  # not for every start

    sides = np.array([[1 / token.ms, token.size / token.ms] for token in known])
    (start, each), _ = nnls(sides, np.ones(len(known)))
    return Line(float(start), float(each))


def left_out(known: Sequence[Token]) -> list[Guess]:
    """Each figure as the others have it."""
    found = []
    for token in known:
        rest = [other for other in known if other is not token]
        if len(rest) >= LEAST - 1:
            found.append(Guess(token.model, "", fitted(rest).ms(token.size), token.ms))
    return found


def estimate(name: str, size: float) -> Estimate | str:
    """What a token takes by a runtime of `RUNTIMES` on its board; in words, why the figures do not tell it.

    Args:
        name: the runtime's.
        size: what its `size` says: GB that a token reads, weights and cache.
    """
    known = tokens(rows(name), name)
    least, most = (pick(token.size for token in known) for pick in (min, max))
    if not least / FAR <= size <= most * FAR:
        unit = RUNTIMES[name].size
        return f"a token reads {size:.3g} {unit}, those that are published of {name} {least:.3g} to {most:.3g}"
    guesses = left_out(known)
    ms, factor = fitted(known).ms(size), judge.factor(guesses)
    return Estimate(ms, ms / factor, ms * factor, judge.judged(guesses))


def power(name: str) -> Power | str:
    """What the board takes meanwhile, as the mean of its figures; in words, why that is not known."""
    known = rows(name)
    watts = energies(tokens(known, name))
    if not watts:
        return f"no energy of a token by {name} is published"
    guesses = energies_left_out(tokens(known, name))
    mean, factor = fmean(watts), judge.factor(guesses)
    return Power(mean, mean / factor, mean * factor, judge.judged(guesses), known[0].energy_scope)


def energies(known: Sequence[Token]) -> list[float]:
    """Watts of each that tells its energy: millijoules a millisecond."""
    return [token.mj / token.ms for token in known if token.mj]


def energies_left_out(known: Sequence[Token]) -> list[Guess]:
    """Each energy by the mean power of the others, given the time."""
    told = [token for token in known if token.mj]
    found = []
    for token in told:
        others = energies([other for other in told if other is not token])
        if others and token.mj:
            found.append(Guess(token.model, "", fmean(others) * token.ms, token.mj))
    return found
