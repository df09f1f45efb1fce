"""Which variant a budget selects."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.champion import select
from tasks.errors import UnsupportedError
from tasks.params import Budget
from tasks.records import Comparison, Instructions, Memory, Row

MakeRow = Callable[..., Row]


def compare(*rows: Row) -> Comparison:
    return Comparison(name="w", reference="float32", rows=rows)


def test_the_fastest_within_the_allowed_drop_wins(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", latency_ms=1.0, validation_quality=0.98),
        make_row("dynamic", latency_ms=0.5, validation_quality=0.97),  # exactly the limit: 0.98 - 0.97 > 0.01 in floats
        make_row("int8", latency_ms=0.2, validation_quality=0.96),
    ]
    choice = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.01))
    assert (choice.champion, choice.within_budget) == ("dynamic", True)
    assert choice.distances == {"quality_drop": 0.0}
    assert choice.candidates == ("float32", "dynamic", "int8")


def test_the_test_set_chooses_nothing(make_row: MakeRow) -> None:
    rows = [make_row("float32"), make_row("int8", latency_ms=0.2, quality=0.5, quality_low=0.4, quality_high=0.6)]
    assert select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.01)).champion == "int8"


def test_the_nearest_is_named_with_its_distances(make_row: MakeRow) -> None:
    rows = [  # the summed excess is 1.0 + 0, then 0.25 + 0.5, then 0 + 1.2
        make_row("float32", latency_ms=2.0, bytes=1000, validation_quality=0.98),
        make_row("dynamic", latency_ms=1.25, bytes=1500, validation_quality=0.98),
        make_row("int8", latency_ms=0.5, bytes=2200, validation_quality=0.98),
    ]
    choice = select(compare(*rows), "host-cpu", Budget(max_latency_ms=1.0, max_bytes=1000))
    assert (choice.champion, choice.within_budget) == ("dynamic", False)
    assert choice.distances == pytest.approx({"latency_ms": 0.25, "bytes": 0.5})
    assert "nearest" in choice.reason
    assert "latency_ms by 25.0%" in choice.reason


def test_a_drop_counts_as_a_share_of_its_limit_also_where_that_is_0(make_row: MakeRow) -> None:
    rows = [make_row("float32", latency_ms=None), make_row("int8", validation_quality=0.974)]
    choice = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.002))
    assert choice.distances == pytest.approx({"quality_drop": 2.0})
    choice = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0))
    assert choice.distances == pytest.approx({"quality_drop": 6.0})  # in tenths of a point


def test_equals_are_told_apart_by_validation_quality_then_size(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", validation_quality=0.9, bytes=10),
        make_row("dynamic", validation_quality=0.95, bytes=200),
        make_row("int8", validation_quality=0.95, bytes=100),
    ]
    assert select(compare(*rows), "host-cpu", Budget()).champion == "int8"


def test_what_did_not_run_or_lacks_a_figure_is_no_candidate(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", energy_mj=3.0),
        make_row("dynamic", latency_ms=0.1),  # its energy is not known, which is not 0
        make_row("int8", energy_mj=0.1, status="invalid", reason="too few updates of the counter"),
        make_row("fp16", "another", energy_mj=0.1),
    ]
    choice = select(compare(*rows), "host-cpu", Budget(minimize="energy_mj"))
    assert choice.candidates == ("float32",)


def test_figures_of_two_kinds_are_never_compared(make_row: MakeRow) -> None:
    rows = [make_row("float32", energy_mj=3.0), make_row("int8", energy_mj=0.1, energy_kind="estimate_cpu_time")]
    choice = select(compare(*rows), "host-cpu", Budget(minimize="energy_mj"))
    assert choice.champion == "float32"
    assert "not compared" in choice.reason
    assert "int8" in choice.reason
    rows = [make_row("float32"), make_row("int8", latency_ms=0.1, provenance="estimated")]
    assert select(compare(*rows), "host-cpu", Budget()).champion == "float32"
    assert select(compare(*rows), "host-cpu", Budget(minimize="bytes", max_bytes=5000)).candidates == (
        "float32",
        "int8",
    )


@pytest.mark.parametrize(
    ("changes", "budget", "part"),
    [
        ({"status": "unsupported", "reason": "no such op"}, Budget(), "no such op"),
        ({"device": "another"}, Budget(), "holds no variant"),
        ({}, Budget(max_energy_mj=1.0), "every figure that the budget asks for: energy_mj, latency_ms"),
        ({"variant": "int8"}, Budget(max_quality_drop=0.1), "reference 'float32'"),
    ],
)
def test_without_a_candidate_the_reason_is_told(
    make_row: MakeRow, changes: dict[str, Any], budget: Budget, part: str
) -> None:
    with pytest.raises(UnsupportedError, match=part):
        select(compare(make_row(**changes)), "host-cpu", budget)


figures = st.tuples(
    st.floats(0.1, 10), st.floats(0.1, 10), st.integers(1, 10**6), st.integers(0, 100), st.sampled_from(["ok", "error"])
)


@given(st.lists(figures, min_size=1, max_size=6), st.floats(0.1, 10), st.integers(1, 10**6), st.floats(0, 0.5))
def test_no_candidate_beats_the_champion(
    make_row: MakeRow, drawn: list[Any], max_latency_ms: float, max_bytes: int, drop: float
) -> None:
    reference = make_row("float32", validation_quality=0.9, status="error", reason="away")
    rows = [
        make_row(
            f"v{i}", latency_ms=ms, energy_mj=mj, bytes=size, validation_quality=q / 100, status=status, reason="x"
        )
        for i, (ms, mj, size, q, status) in enumerate(drawn)
    ]
    budget = Budget(minimize="energy_mj", max_latency_ms=max_latency_ms, max_bytes=max_bytes, max_quality_drop=drop)
    able = {row.variant: row for row in rows if row.measurement.status == "ok"}
    if not able:
        return
    choice = select(compare(reference, *rows), "host-cpu", budget)

    def fits(row: Row) -> bool:
        assert row.measurement.latency
        return (
            row.measurement.latency.ms_p50 <= max_latency_ms * (1 + 1e-9)
            and row.bytes <= max_bytes
            and 0.9 - row.validation_quality <= drop + 1e-9 * max(drop, 0.001)
        )

    def cost(row: Row) -> float:
        assert row.measurement.energy.mj is not None
        return row.measurement.energy.mj

    champion = able[choice.champion]
    within = [row for row in able.values() if fits(row)]
    assert choice.within_budget == bool(within) == fits(champion)
    assert cost(champion) == min(map(cost, within), default=cost(champion))
    assert choice.within_budget == (not any(choice.distances.values()))


def test_where_no_time_is_known_memory_or_instructions_can_decide(make_row: MakeRow) -> None:
    def memory(kib: float) -> Memory:
        return Memory(provenance="measured", peak_kib=kib, what="arena")

    def counted(n: float) -> Instructions:
        return Instructions(per_inference=n, spread=0.0, cpu="cortex-a72")

    rows = [
        make_row("float32", latency_ms=None, memory=memory(108), instructions=counted(1.1e6)),
        make_row("int8", latency_ms=None, memory=memory(30), instructions=counted(1.4e6)),
    ]
    assert select(compare(*rows), "host-cpu", Budget(minimize="memory_kib")).champion == "int8"
    assert select(compare(*rows), "host-cpu", Budget(minimize="instructions")).champion == "float32"
    nearest = select(compare(*rows), "host-cpu", Budget(minimize="instructions", max_memory_kib=64))
    assert nearest.champion == "int8"
    with pytest.raises(UnsupportedError, match="latency_ms"):
        select(compare(*rows), "host-cpu", Budget())
