"""What a million inferences or tokens cost, and that choices go by it as by any other figure."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ParamsError
from tasks.params import Budget, Params, Prices, check
from tasks.records import Comparison, Energy, Latency, Phase, Rates, Ratio, Row
from tasks.records.figures import FIGURES, known
from tasks.records.notation import heading
from tasks.report import gather
from tasks.ship.champion import select
from tasks.ship.speed import cost

MakeRow = Callable[..., Row]
BOTH = Rates(currency="EUR", per_hour=0.36, per_kwh=0.72)


def test_hours_and_energy_are_paid_each_at_its_price(make_row: MakeRow) -> None:
    row = make_row(latency_ms=2.0, energy_mj=5.0, rates=BOTH)
    found = FIGURES["cost_per_million"].of(row)
    assert found
    # 2,000 s of 0.36 an hour; 5,000 J are 1/720 kWh
    assert found.value == pytest.approx(0.2 + 0.001)
    assert (found.source, found.low, found.note) == ("measured", None, "EUR, hours and energy")
    hours = FIGURES["cost_per_million"].of(row.model_copy(update={"rates": Rates(currency="EUR", per_hour=0.36)}))
    assert hours
    assert (hours.value, hours.note) == (pytest.approx(0.2), "EUR, hours")


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"energy_mj": 5.0}, "measured"),
        ({"energy_mj": 5.0, "energy_kind": "estimate_cpu_time"}, "estimated"),
        ({"energy_mj": 5.0, "provenance": "estimated"}, "estimated"),
        ({"energy_mj": 5.0, "provenance": "estimated", "energy_kind": "estimate_datasheet"}, "estimated"),
        ({}, None),
        ({"latency_ms": None, "energy_mj": 5.0}, None),
        ({"energy_mj": 5.0, "rates": None}, None),
        ({"energy_mj": 5.0, "status": "invalid", "reason": "busy"}, None),
    ],
)
def test_it_is_measured_where_both_factors_are_and_unknown_where_one_is(
    make_row: MakeRow, changes: dict[str, Any], source: str | None
) -> None:
    found = FIGURES["cost_per_million"].of(make_row(**{"rates": BOTH, **changes}))
    assert (found and found.source) == source


def test_why_there_is_none_is_told_where_there_is_a_price(make_row: MakeRow) -> None:
    lacks = FIGURES["cost_per_million"].lacks
    assert lacks(make_row(rates=BOTH)) == "hours and energy have a price, and not all of that is known"
    assert lacks(make_row()) is None


def test_a_million_tokens_cost_what_their_decoding_takes(make_row: MakeRow) -> None:
    def phase(ms: float, mj: float, volume: int) -> Phase:
        energy = Energy(kind="counter_rapl", mj=mj)
        return Phase(unit="token", volume=volume, latency=Latency(provenance="measured", ms_p50=ms), energy=energy)

    row = make_row(rates=BOTH)
    phases = {"prefill": phase(100.0, 900.0, 64), "decode": phase(18.0, 50.0, 1)}
    row = row.model_copy(update={"measurement": row.measurement.model_copy(update={"phases": phases})})
    found = FIGURES["cost_per_million"].of(row)
    assert found
    assert found.value == pytest.approx(18e6 / 3.6e6 * 0.36 + 50e6 / 3.6e9 * 0.72)


@given(
    st.floats(1e-3, 1e6), st.floats(1e-3, 1e6), st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 0.9),
)  # fmt: skip
def test_bounds_add_and_hold_the_cost(ms: float, mj: float, hour: float, kwh: float, apart: float) -> None:
    from tasks.records import costs
    from tasks.records.values import Value

    time = Value(ms, ms * (1 - apart), ms * (1 + apart), "bounds", "estimated")
    energy = Value(mj, source="counter_rapl")
    row = type("Priced", (), {"rates": Rates(currency="USD", per_hour=hour, per_kwh=kwh)})
    found = costs.per_million(row, {"latency_ms": time, "energy_mj": energy}.get)  # type: ignore[arg-type]  # its rates
    assert found
    assert found.bounds == "bounds"
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)
    spread = ms * apart * 1e6 / 3.6e6 * hour
    assert found.high - found.low == pytest.approx(2 * spread, rel=1e-6, abs=1e-9 * (1 + found.value))


def test_choices_go_by_the_paired_cost_and_its_limit(make_row: MakeRow) -> None:
    rates = Rates(currency="EUR", per_hour=3.6)
    ratio = Ratio(value=0.5, low=0.48, high=0.52, pairs=6)
    rows = [
        make_row("float32", latency_ms=2.0, rates=rates),
        # its median fell into a slow hour: in turns it takes half as long
        make_row("int8", latency_ms=9.0, ratio=ratio, reference="float32", rates=rates),
    ]
    found = cost(rows[1], rows, FIGURES["cost_per_million"])
    assert found
    assert (found.value, *found.ends) == pytest.approx((1.0, 0.96, 1.04))
    comparison = Comparison(name="w", reference="float32", rows=tuple(rows))
    choice = select(comparison, "host-cpu", Budget(minimize="cost_per_million", max_cost_per_million=1.5))
    assert (choice.champion, choice.within_budget) == ("int8", True)
    assert choice.nearest_beyond
    assert choice.nearest_beyond.variant == "float32"
    assert choice.nearest_beyond.distances == pytest.approx({"cost_per_million": 2 / 1.5 - 1})


def test_the_fastest_and_the_most_frugal_are_named_apart(make_row: MakeRow) -> None:
    def chosen(**budget: Any) -> Any:
        return select(Comparison(name="w", reference="float32", rows=tuple(rows)), "host-cpu", Budget(**budget))

    rows = [
        make_row("float32", latency_ms=2.0, energy_mj=4.0),
        make_row("int8", latency_ms=0.5, energy_mj=3.0, gzip_bytes=300),
        make_row("sparse", latency_ms=1.0, energy_mj=1.0, gzip_bytes=500),
    ]
    choice = chosen(max_gzip_bytes=800)
    assert (choice.champion, choice.fastest, choice.most_frugal) == ("int8", "int8", "sparse")
    assert choice.nearest_beyond.variant == "float32"
    assert choice.nearest_beyond.distances == pytest.approx({"gzip_bytes": 0.125})
    assert chosen(max_gzip_bytes=400).most_frugal == "int8", "of those that keep to the budget alone"
    none = chosen(max_gzip_bytes=100)
    assert (none.fastest, none.most_frugal, none.nearest_beyond.variant) == ("int8", "sparse", none.champion)
    assert chosen().nearest_beyond is None
    rows = [make_row("float32", latency_ms=2.0), make_row("int8", latency_ms=0.5)]
    assert (chosen().fastest, chosen().most_frugal) == ("int8", None), "nobody told an energy"


PRICES = {
    "currency": "EUR",
    "kwh": {"value": 0.3, "source": "the contract"},
    "hour": {"host-cpu": {"value": 0.05, "source": "a list"}},
}


def test_the_report_gives_each_row_its_rates_and_names_their_sources(make_row: MakeRow) -> None:
    prices = Prices.model_validate(PRICES)
    rows = (make_row("float32"), make_row("float32", "ethos-u55-128"))
    priced = gather._priced(Comparison(name="w", reference="float32", rows=rows), prices).rows
    assert [row.rates for row in priced] == [
        Rates(currency="EUR", per_hour=0.05, per_kwh=0.3), Rates(currency="EUR", per_kwh=0.3),
    ]  # fmt: skip
    assert gather._prices(prices) == [
        "Costs count an hour of host-cpu at 0.05 EUR (a list), a kilowatt-hour at 0.3 EUR (the contract)"
    ]
    assert "cost_per_million" not in known(priced[0]), "no energy is known"
    assert heading(FIGURES["cost_per_million"]) == ("cost", "per million")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"currency": "euros"}, "currency"),
        ({"kwh": {"value": -1, "source": "s"}}, "value"),
        ({"kwh": {"value": 1}}, "source"),
        ({"hour": {"nowhere": {"value": 1, "source": "s"}}}, "benchmark.prices.hour"),
    ],
)
def test_a_wrong_price_is_refused(params: Params, change: dict[str, Any], said: str, tmp_path: Any) -> None:
    told = params.model_dump(mode="json", exclude_none=True)
    told["benchmark"]["prices"] = PRICES
    assert check(Params, told, tmp_path / "params.yaml").benchmark.prices
    told["benchmark"]["prices"] = PRICES | change
    with pytest.raises(ParamsError, match=said):
        check(Params, told, tmp_path / "params.yaml")
