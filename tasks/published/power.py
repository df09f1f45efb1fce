"""A board's power from published energies: watts that a time turns into joules."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tasks.published import judge, table
from tasks.published.estimate import Kernels, rows
from tasks.published.judge import Guess
from tasks.published.table import Row
from tasks.records import Judged

SAME_CLOCK = 0.01  # relative


@dataclass(frozen=True)
class Power:
    """What a board takes while it infers, in watts: gross, as its rail was measured."""

    watts: float
    low: float
    high: float
    judged: Judged | None  # of the energy, given the time; None: nothing could be left out
    scope: str


def of_board(kernels: Kernels, board: str | None, clock_mhz: float) -> Power | str:
    """A board's power by a runtime, or by others where this one's is not published; in words, why it is not known.

    By others it is a range alone: how a runtime uses a core, and how its submitter set the board up, changes it.
    """
    known = [row for row in (table.of_board(board) if board else []) if row.energy_mj and row.latency_ms]
    at_clock = [row for row in known if row.clock_mhz and abs(clock_mhz / row.clock_mhz - 1) <= SAME_CLOCK]
    if not at_clock:
        return f"no energy of {board or 'this board'} at {clock_mhz:g} MHz is published"
    own = rows(kernels, at_clock)
    watts = [_watts(row) for row in own or at_clock]
    scope = at_clock[0].energy_scope
    guesses = left_out(own)
    if not guesses:
        return Power(fmean(watts), min(watts), max(watts), None, scope)
    factor, mean = judge.factor(guesses), fmean(watts)
    return Power(mean, mean / factor, mean * factor, judge.judged(guesses), scope)


def left_out(known: Sequence[Row]) -> list[Guess]:
    """Each energy of a board's rows as the mean power of its other networks has it, given the time."""
    result = []
    for row in known:
        others = [_watts(each) for each in known if each.network != row.network]
        if others and row.latency_ms and row.energy_mj:
            result.append(Guess(row.network or "", row.board, fmean(others) * row.latency_ms, row.energy_mj))
    return result


def _watts(row: Row) -> float:
    assert row.energy_mj is not None  # as of all that were picked
    assert row.latency_ms is not None
    return row.energy_mj / row.latency_ms  # millijoules a millisecond
