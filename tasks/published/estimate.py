"""Latency from published figures of a board, its core and its runtime: of microcontrollers and application processors.

What a runtime has published at one kind of numbers and one count of threads is fitted by itself: time by kinds of work,
whose rates all its boards share, and a factor for each board. So a figure of another runtime changes nothing, but where
a core has none by this one: then the ratio of the two cores comes from the runtimes that both have figures by.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tasks.published import judge, networks, table
from tasks.published.fit import PROCESSORS, Figure, Fit, fitted
from tasks.published.judge import Guess
from tasks.published.runtimes import RUNTIMES
from tasks.published.table import INTEGERS, Row
from tasks.published.work import Vector, work
from tasks.records import Judged

LEAST = 3  # networks without which nothing is fitted


@dataclass(frozen=True)
class Kernels:
    """What is fitted together."""

    runtime: str  # of `RUNTIMES`
    numeric: str = INTEGERS  # or floats
    threads: str = "1"  # as the table has them


@dataclass(frozen=True)
class Estimate:
    """What a network takes on a board, in milliseconds."""

    ms: float
    low: float  # of an interval of 95 %, by the networks that were left out
    high: float
    judged: Judged | None  # None: nothing could be left out


def rows(kernels: Kernels, known: Sequence[Row] | None = None) -> list[Row]:
    """The figures that are fitted together.

    Args:
        kernels: which.
        known: of these; None: of the table.
    """
    runtime = RUNTIMES[kernels.runtime]
    return [
        row
        for row in (table.rows() if known is None else known)
        if row.numeric == kernels.numeric and runtime.has(row, kernels.threads)
    ]


def estimate(
    kernels: Kernels, asked: Vector, board: str | None, core: str | None = None, clock_mhz: float | None = None
) -> Estimate | str:
    """What so much work takes; or, in words, why that is not known.

    Args:
        kernels: that do it.
        asked: `work` of a network's products.
        board: of the table; None: none of these.
        core: as the table calls it: what counts where the board has no figure.
        clock_mhz: of the core; None: the one that the board's figures are of.
    """
    found = rows(kernels)
    if len({row.network for row in found}) < LEAST:
        threads = "" if kernels.threads == "1" else f" on {kernels.threads} threads"
        return f"fewer than {LEAST} networks are published of {kernels.runtime} in {kernels.numeric}{threads}"
    if not asked.any():
        return "the network has no products, so there is nothing to estimate"
    fit = fitted(figures(found), RUNTIMES[kernels.runtime].styles)
    own = next((row for row in found if row.board == board), None)
    if own:
        clock = (clock_mhz or own.clock_mhz or 1.0) if own.clock_mhz else 1.0
        return _within(fit.cycles(asked, fit.bases[own.board]) / clock / 1e3, guesses(kernels), 1.0)
    if core is None or clock_mhz is None:
        return (
            f"nothing is published of {board or 'its board'} by {kernels.runtime}, and its core and clock are not told"
        )
    return _by_core(kernels, fit, asked / clock_mhz / 1e3, core)


def _by_core(kernels: Kernels, fit: Fit, asked: Vector, core: str) -> Estimate | str:
    """The mean of the boards of a core, or where there is none what other runtimes' figures make of another core's.

    Its error is known where a runtime has several boards of a core, so that one could be left out. Else there is only
    the interval of the networks, widened by how far boards of one core lie apart.
    """
    found = [row for row in rows(kernels) if row.clock_mhz is not None]
    alike = sorted({row.board for row in found if row.core == core})
    bases = [fit.bases[each] for each in alike] or _transferred(fit, core, found, kernels)
    if not bases:
        return (
            f"no figure of the core {core} is published by {kernels.runtime}, or beside a core that it has figures of"
        )
    ms = fit.cycles(asked, float(np.mean(bases)))
    if alike and (judged := guesses(kernels, boards=True)):
        return _within(ms, judged, 1.0)
    apart = between_boards(RUNTIMES[kernels.runtime].cores) * (1.0 if alike else math.exp(max(bases) - min(bases)))
    return replace(_within(ms, guesses(kernels), apart), judged=None)


def core_of(said: str) -> str:
    """A core as the table calls it, from what a datasheet calls it: Arm Cortex-M4F is cortex-m4."""
    arm = re.search(r"cortex-([amr]\d+\+?)", said.lower())
    return f"cortex-{arm[1]}" if arm else said.lower().replace(" ", "-")


def rests_on(kernels: Kernels, board: str | None) -> list[Row]:
    """The figures that an estimate is made from: these kernels', or where they have none of the board all kernels'."""
    own = rows(kernels)
    return own if board in {row.board for row in own} else [row for each in _others(kernels) for row in rows(each)]


def _others(kernels: Kernels) -> list[Kernels]:
    """Kernels of every runtime of cores of their kind, at the same kind of numbers and threads."""
    cores = RUNTIMES[kernels.runtime].cores
    return [replace(kernels, runtime=name) for name, runtime in RUNTIMES.items() if runtime.cores == cores]


def figures(found: Iterable[Row]) -> list[Figure]:
    """Rows as cycles, or where a clock is not told as microseconds: a board then counts for itself alone."""
    return [
        Figure(row.board, row.network, _work(row.network), row.latency_ms * 1e3 * (row.clock_mhz or 1.0))
        for row in found
        if row.network and row.latency_ms
    ]


@cache
def _work(network: str) -> Vector:
    return work(networks.structure(network))


@cache
def guesses(kernels: Kernels, *, boards: bool = False) -> list[Guess]:
    """What each of these kernels' figures would have been estimated at, had it not been there."""
    return left_out(rows(kernels), RUNTIMES[kernels.runtime].styles, boards=boards)


def left_out(found: Sequence[Row], styles: Sequence[str] = PROCESSORS, *, boards: bool = False) -> list[Guess]:
    """Each figure as it is estimated without all figures of its network, and of its board too if `boards`.

    A figure whose board, or core, has no other is left out of this.
    """
    known = figures(found)
    cores = {row.board: row.core for row in found if row.clock_mhz is not None}
    made: dict[tuple[str, str], Fit | None] = {}
    result = []
    for figure in known:
        key = (figure.network, figure.processor if boards else "")
        if key not in made:
            rest = [each for each in known if each.network != key[0] and each.processor != key[1]]
            made[key] = fitted(rest, styles) if len({each.network for each in rest}) >= LEAST - 1 else None
        fit = made[key]
        bases = _bases(fit, figure.processor, cores if boards else {}) if fit else []
        if fit and bases:
            result.append(
                Guess(figure.network, figure.processor, fit.cycles(figure.work, float(np.mean(bases))), figure.cycles)
            )
    return result


def _bases(fit: Fit, board: str, cores: dict[str, str]) -> list[float]:
    """Those of a board; with `cores`, of other boards of its core."""
    if not cores:
        return [fit.bases[board]] if board in fit.bases else []
    return [base for other, base in fit.bases.items() if board in cores and cores.get(other) == cores[board]]


def naive(found: Sequence[Row]) -> list[Guess]:
    """Likewise by products times one constant for each board: what an estimate has to beat."""
    known = figures(found)
    result = []
    for figure in known:
        own = [each for each in known if each.processor == figure.processor and each.network != figure.network]
        if own:
            rate = float(np.mean([each.cycles / _macs(each) for each in own]))
            result.append(Guess(figure.network, figure.processor, rate * _macs(figure), figure.cycles))
    return result


def _macs(figure: Figure) -> float:
    return float(figure.work[:-2].sum())


def _transferred(fit: Fit, core: str, found: Sequence[Row], kernels: Kernels) -> list[float]:
    """The base of a core from those that a runtime has, by the ratio of both in each other runtime that has both."""
    bases: list[float] = []
    for other in sorted({row.core for row in found if row.clock_mhz is not None}):
        known = float(np.mean([fit.bases[board] for board in {row.board for row in found if row.core == other}]))
        for each in _others(kernels):
            target, source = _cycles(each, core), _cycles(each, other)
            common = target.keys() & source.keys()
            if each != kernels and common:
                bases.append(known + float(np.mean([target[network] - source[network] for network in common])))
    return bases


@cache
def between_boards(cores: tuple[str, ...]) -> float:
    """The factor within which a board lies from the mean of others of its core and runtime, of cores of this kind."""
    found = []
    for name in (name for name, runtime in RUNTIMES.items() if runtime.cores == cores):
        known = rows(Kernels(name))
        for core in {row.core for row in known}:
            own = figures(row for row in known if row.core == core and row.clock_mhz is not None)
            for figure in own:
                others = [
                    each.cycles for each in own if each.network == figure.network and each.processor != figure.processor
                ]
                if others:
                    found.append(Guess(figure.network, figure.processor, float(np.mean(others)), figure.cycles))
    return judge.factor(found)


def _cycles(kernels: Kernels, core: str) -> dict[str, float]:
    """The mean logarithm of the cycles that each network takes on a core."""
    own = [row for row in rows(kernels) if row.core == core and row.clock_mhz is not None]
    known: dict[str, list[float]] = {}
    for figure in figures(own):
        known.setdefault(figure.network, []).append(math.log(figure.cycles))
    return {network: float(np.mean(logs)) for network, logs in known.items()}


def _within(ms: float, guessed: Sequence[Guess], apart: float) -> Estimate:
    """An estimate with its range: the factor that the guesses tell, times that of what else is not sure."""
    factor = judge.factor(guessed) * apart
    return Estimate(ms, ms / factor, ms * factor, judge.judged(guessed))
