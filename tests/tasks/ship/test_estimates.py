"""What is chosen by estimates: beside a limit all that they may be counts, beside each other what errs apart."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.bench.candidates import Span
from tasks.params import Budget
from tasks.records import Comparison, Energy, Latency, Ratio, Row
from tasks.records.figures import FIGURES
from tasks.ship.champion import Choice, select
from tasks.ship.speed import compared, cost, tied, word

MakeRow = Callable[..., Row]
SIZES = st.floats(1e-3, 1e3)
WIDER = st.floats(1.0, 4.0)


def estimated(
    make_row: MakeRow, variant: str, ms: tuple[float, float, float], fitted_to: str | None, **more: Any
) -> Row:
    value, low, high = ms
    latency = Latency(provenance="estimated", ms_p50=value, ms_low=low, ms_high=high, fitted_to=fitted_to)
    return make_row(variant, latency=latency, **more)


def chosen(*rows: Row, **budget: Any) -> Choice:
    return select(Comparison(name="w", reference="float32", rows=rows), "host-cpu", Budget.model_validate(budget))


@pytest.mark.parametrize("fitted_to", [None, "64 figures of X-CUBE-AI"])
@given(value=SIZES, down=WIDER, up=WIDER, limit=SIZES)
def test_a_limit_is_doubted_where_advice_says_perhaps(
    make_row: MakeRow, fitted_to: str | None, value: float, down: float, up: float, limit: float
) -> None:
    """Two ways to one answer: a champion of a budget, and a device of the catalog that is asked for by it."""
    span = Span(value, value / down, value * up)
    choice = chosen(estimated(make_row, "int8", (span.value, span.low, span.high), fitted_to), max_latency_ms=limit)
    expected = "no" if not choice.within_budget else "perhaps" if choice.doubts else "yes"
    assert span.within(limit) == expected


def test_a_doubt_says_what_the_bounds_are_of(make_row: MakeRow) -> None:
    row = estimated(make_row, "int8", (0.00866, 0.0034, 0.022), None)
    choice = chosen(row, max_latency_ms=0.012)
    assert choice.within_budget
    assert choice.doubts == ("latency_ms may be beyond 0.012: its bounds (estimated) end at 0.0220",)
    assert "latency_ms 0.00866 (0.00340–0.0220), estimated" in choice.reason


@pytest.mark.parametrize("kind", ["estimate_compiler", "estimate_datasheet", "estimate_published", "estimate_cpu_time"])
def test_energy_that_is_estimated_may_be_beyond_its_limit(make_row: MakeRow, kind: str) -> None:
    spent = Energy(kind=kind, mj=0.0015, low_mj=0.00092, high_mj=0.0025)
    (doubt,) = chosen(make_row("int8", energy=spent), max_energy_mj=0.002).doubts
    assert doubt == f"energy_mj may be beyond 0.002: its bounds ({kind.replace('_', ' ')}) end at 0.00250"
    assert not chosen(make_row("int8", energy=spent), max_energy_mj=0.0026).doubts


def test_turns_make_cpu_time_sure_and_not_what_a_second_of_it_draws(make_row: MakeRow) -> None:
    def drew(variant: str, mj: float, ratio: float | None) -> Row:
        told = Ratio(value=ratio, low=0.99 * ratio, high=1.01 * ratio, pairs=6) if ratio else None
        energy = Energy(kind="estimate_cpu_time", mj=mj, low_mj=mj / 3, high_mj=mj * 3, ratio=told)
        return make_row(variant, energy=energy, reference="float32" if ratio else None)

    rows = [drew("float32", 10.0, None), drew("dynamic", 5.0, 0.5), drew("int8", 4.0, 0.4)]
    choice = chosen(*rows, minimize="energy_mj", max_energy_mj=8.0)
    assert (choice.champion, choice.tied) == ("int8", ()), "the watts are the same of all"
    assert choice.doubts == ("energy_mj may be beyond 8: its bounds (estimate cpu time) end at 12.0",)
    (doubt,) = chosen(rows[0], minimize="energy_mj", max_energy_mj=20.0).doubts
    assert doubt.endswith("end at 30.0"), "the reference is on the scale as it is"


def test_what_took_no_turns_may_be_beyond_a_limit_as_far_as_its_own_interval(make_row: MakeRow) -> None:
    drawn = Energy(kind="counter_rapl", mj=5.0, low_mj=4.5, high_mj=5.5)
    (doubt,) = chosen(make_row("int8", energy=drawn), max_energy_mj=5.2).doubts
    assert doubt.startswith("energy_mj may be beyond 5.2: its range ends at 5.50")


def test_a_cost_may_be_beyond_its_limit_as_what_it_is_made_of(make_row: MakeRow) -> None:
    from tasks.records import Rates

    rates = Rates(currency="EUR", per_hour=3.6)  # 1e-6 of it a millisecond: a million inferences of 1 ms cost 1
    row = estimated(make_row, "int8", (1.0, 0.5, 2.0), None, rates=rates)
    (doubt,) = chosen(row, max_cost_per_million=1.5).doubts
    assert doubt == "cost_per_million may be beyond 1.5: its bounds (estimated) end at 2.00"


bounded = st.tuples(SIZES, WIDER, WIDER).map(lambda drawn: (drawn[0], drawn[0] / drawn[1], drawn[0] * drawn[2]))


@example(one=(3.0, 3.0, 6.0), other=(4.0, 2.0, 4.0), alike=True)  # either end says less, the figures more
@given(bounded, bounded, st.booleans())
def test_two_estimates_are_tied_where_their_verdict_leaves_both_ways_open(
    make_row: MakeRow, one: tuple[float, float, float], other: tuple[float, float, float], alike: bool
) -> None:
    rows = [
        estimated(make_row, "float32", one, "16 figures of TFLM"),
        estimated(make_row, "int8", other, "16 figures of TFLM" if alike else "64 figures of X-CUBE-AI"),
    ]
    found = compared(rows[1], rows[0])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    costs = [cost(row, rows, FIGURES["latency_ms"]) for row in rows]
    assert costs[0] is not None
    assert costs[1] is not None
    if found.low != 1 != found.high:  # on the very edge rounding decides
        assert tied(costs[0], costs[1]) == tied(costs[1], costs[0])
        assert tied(costs[0], costs[1]) == (found.low < 1 < found.high or one[0] == other[0])


def test_estimates_that_err_apart_choose_the_smallest_and_those_of_one_unknown_the_least(make_row: MakeRow) -> None:
    float32 = estimated(make_row, "float32", (1.0, 0.4, 2.5), "figures in float32", gzip_bytes=900)
    slower = estimated(make_row, "int8", (1.9, 0.8, 4.5), "figures in int8", gzip_bytes=300)
    found = compared(slower, float32)
    assert found is not None
    assert word(found) == "inconclusive"
    apart = chosen(float32, slower)
    assert (apart.champion, apart.tied) == ("int8", ("float32",))
    assert apart.fastest == "int8"
    alike = estimated(make_row, "int8", (1.9, 0.8, 4.5), "figures in float32", gzip_bytes=300)
    together = chosen(float32, alike)
    assert (together.champion, together.tied) == ("float32", ())
