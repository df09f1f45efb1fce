"""Which variant a budget selects."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import UnsupportedError
from tasks.intervals import paired_drop_bound
from tasks.params import Budget
from tasks.records import Comparison, Energy, Instructions, Memory, Paired, Ratio, Row, Window
from tasks.records.figures import FIGURES, Value
from tasks.ship.champion import Choice, select, undecided
from tasks.ship.speed import cost, tied
from tests.phases import changed

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


def test_a_percentile_of_latency_may_be_limited(make_row: MakeRow) -> None:
    rows = []
    for variant, median, p99 in (("float32", 1.0, 1.2), ("int8", 0.5, 3.0), ("dynamic", 0.8, 1.5), ("few", 0.1, None)):
        row = make_row(variant, latency_ms=median)
        assert row.measurement.latency
        latency = row.measurement.latency.model_copy(update={"ms_p99": p99})
        rows.append(row.model_copy(update={"measurement": changed(row.measurement, latency=latency)}))
    choice = select(compare(*rows), "host-cpu", Budget(max_latency_ms_p99=2.0))
    assert (choice.champion, choice.within_budget) == ("dynamic", True)
    assert "few" not in choice.candidates  # too few inferences a window to tell
    choice = select(compare(*rows), "host-cpu", Budget(max_latency_ms_p99=1.0))
    assert (choice.champion, choice.within_budget) == ("float32", False)
    assert choice.distances == pytest.approx({"latency_ms_p99": 0.2})


def test_a_drop_counts_as_a_share_of_its_limit_also_where_that_is_0(make_row: MakeRow) -> None:
    rows = [make_row("float32", latency_ms=None), make_row("int8", validation_quality=0.974)]
    choice = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.002))
    assert choice.distances == pytest.approx({"quality_drop": 2.0})
    choice = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0))
    assert choice.distances == pytest.approx({"quality_drop": 6.0})  # in tenths of a point


def paired(make_row: MakeRow, variant: str, value: float, low: float, high: float, **changes: Any) -> Row:
    """A row that took turns with float32."""
    ratio = Ratio(value=value, low=low, high=high, pairs=3)
    return make_row(variant, reference="float32", ratio=ratio, **changes)


def test_paired_ratios_choose_and_no_medians_of_two_times(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", latency_ms=0.1),
        paired(make_row, "dynamic", 0.5, 0.49, 0.51, latency_ms=0.05),
        paired(make_row, "int8", 0.6, 0.59, 0.61, latency_ms=0.04),  # the machine was fast in its minute
    ]
    choice = select(compare(*rows), "host-cpu", Budget(max_latency_ms=0.052))
    assert choice.champion == "dynamic"
    assert choice.within_budget
    assert "latency_ms 0.0500 [0.0490–0.0510]" in choice.reason
    assert not choice.doubts
    (doubt,) = select(compare(*rows), "host-cpu", Budget(max_latency_ms=0.0505)).doubts
    assert doubt == "latency_ms may be beyond 0.0505: its interval ends at 0.0510"


def test_of_those_that_cannot_be_told_apart_the_smallest_wins_that_is_not_noisy(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", latency_ms=1.0, gzip_bytes=10),
        paired(make_row, "dynamic", 0.50, 0.48, 0.52, gzip_bytes=900),
        paired(make_row, "int8", 0.51, 0.49, 0.53, gzip_bytes=300),
        paired(make_row, "pruned", 0.60, 0.58, 0.62, gzip_bytes=100),  # slower beyond doubt
        paired(make_row, "wild", 0.70, 0.30, 1.60, gzip_bytes=200, flags=["noisy"]),  # which says nothing
    ]
    choice = select(compare(*rows), "host-cpu", Budget())
    assert (choice.champion, choice.tied) == ("int8", ("dynamic", "wild"))
    assert "the smallest under gzip that is not noisy of the 3" in choice.reason
    assert "dynamic, wild cannot be told apart from it" in choice.reason
    noisy = select(compare(rows[0], rows[4]), "host-cpu", Budget())
    assert noisy.champion == "float32"  # it is the larger here only by what it is not: noisy
    alone = select(compare(rows[0], rows[4]), "host-cpu", Budget(max_latency_ms=0.8))
    assert (alone.champion, alone.doubts[-1]) == ("wild", "its measurement is flagged noisy")


@given(st.floats(0.01, 100), st.floats(1.0, 3.0), st.floats(1.0, 3.0), st.floats(1.0, 3.0))
def test_costs_are_tied_as_their_intervals_together_reach(value: float, apart: float, up: float, down: float) -> None:
    less, more = (Value(middle, middle / half, middle * half) for middle, half in ((value, up), (value * apart, down)))
    together = math.hypot(math.log(up), math.log(down))
    if not math.isclose(math.log(apart), together, rel_tol=1e-6, abs_tol=1e-9):
        assert tied(less, more) == tied(more, less) == (math.log(apart) < together or more.value == less.value)
    assert tied(less, less)


def test_the_reference_that_did_not_run_is_as_it_was_in_its_turns(make_row: MakeRow) -> None:
    def window(variant: str, ms: float) -> Window:
        return Window(
            variant=variant, runs=9, seconds=1, busy_s=1, ms_p10=ms, ms_p50=ms, ms_mean=ms, cpu_ms_mean=ms,
            load_ms=1, first_ms=1, peak_memory_kib=None,
        )  # fmt: skip

    busy = make_row("float32", status="invalid", reason="the machine is too busy", latency_ms=9.0)
    windows = [window("float32", 0.1), window("int8", 0.5), window("float32", 0.3), window("float32", 0.2)]
    row = paired(make_row, "int8", 0.5, 0.4, 0.6, latency_ms=7.0, windows=windows)
    found = cost(row, [busy, row], FIGURES["latency_ms"])
    assert found
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.08, 0.12))
    assert select(compare(busy, row), "host-cpu", Budget()).candidates == ("int8",)


def test_energy_is_chosen_by_its_own_paired_ratio_and_a_range_is_called_one(make_row: MakeRow) -> None:
    def drew(variant: str, mj: float, value: float | None) -> Row:
        ratio = Ratio(value=value, low=0.9 * value, high=1.1 * value, pairs=3, kind="range") if value else None
        energy = Energy(kind="counter_rapl", mj=mj, ratio=ratio)
        return make_row(variant, energy=energy, reference="float32" if value else None)

    budget = Budget(minimize="energy_mj")
    rows = [drew("float32", 10.0, None), drew("dynamic", 9.0, 0.5), drew("int8", 4.0, 0.8)]
    choice = select(compare(*rows), "host-cpu", budget)
    assert (choice.champion, choice.tied) == ("dynamic", ())  # however much smaller the file of another is
    assert "its energy_mj is of few pairs, whose range claims nothing: measure in more windows" in choice.doubts
    near = [rows[0], rows[1], drew("int8", 4.0, 0.55)]  # 0.495 to 0.605, which 0.45 to 0.55 meets
    alike = [row.model_copy(update={"gzip_bytes": 9 - i}) for i, row in enumerate(near)]
    assert select(compare(*alike), "host-cpu", budget).champion == "int8"
    smallest = [rows[0], rows[1].model_copy(update={"gzip_bytes": 1})]
    choice = select(compare(*smallest), "host-cpu", budget)
    assert choice.champion == "dynamic"
    assert "energy_mj 5.00 [4.50–5.50, the range of few pairs], counter rapl" in choice.reason
    alone = select(compare(rows[0], drew("int8", 4.0, None)), "host-cpu", budget)
    assert alone.champion == "int8"
    assert "unpaired counter rapl" in alone.reason


def test_what_took_no_turns_is_not_set_against_what_did(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", latency_ms=1.0),
        paired(make_row, "dynamic", 0.5, 0.4, 0.6),
        make_row("int8", latency_ms=0.1),
    ]
    choice = select(compare(*rows), "host-cpu", Budget())
    assert choice.champion == "dynamic"
    assert choice.reason.endswith("not compared, because their figures are of a less trusted kind: int8")
    medians = select(compare(rows[0], rows[2]), "host-cpu", Budget())
    assert medians.champion == "int8"
    assert "unpaired measured" in medians.reason


def test_equals_go_by_their_size_then_by_validation_quality(make_row: MakeRow) -> None:
    rows = [
        make_row("float32", validation_quality=0.9, gzip_bytes=100),
        make_row("dynamic", validation_quality=0.95, gzip_bytes=100),
        make_row("int8", validation_quality=0.99, gzip_bytes=200),
    ]
    assert select(compare(*rows), "host-cpu", Budget()).champion == "dynamic"


def test_a_limit_that_the_examples_cannot_show_is_kept_by_the_point_and_doubted(make_row: MakeRow) -> None:
    def tested(better: int, worse: int, n: int) -> Choice:
        told = Paired(better=better, worse=worse, p_value=1.0, drop_bound=paired_drop_bound(better, worse, n))
        drop = {"validation_quality": 0.98 - (worse - better) / n, "validation_n": n, "validation_paired": told}
        rows = [make_row("float32"), make_row("int8", latency_ms=0.2, **drop)]
        return select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.01))

    few, many = tested(0, 1, 144), tested(5, 10, 5000)
    assert few.champion == many.champion == "int8"
    (doubt,) = few.doubts
    assert "not distinguishable from one beyond it: 144 validation examples only show that it is below 0.03" in doubt
    assert not many.doubts
    small = {"metric": "mae", "unit": "", "better": "lower", "validation_n": 144}
    told = Paired(p_value=1.0, drop_bound=0.00042)
    rows = [
        make_row("float32", validation_quality=0.003, **small),
        make_row("int8", latency_ms=0.2, validation_quality=0.0031, validation_paired=told, **small),
    ]
    (doubt,) = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.0002)).doubts
    assert doubt.endswith("144 validation examples only show that it is below 0.00042")
    told = Paired(p_value=1.0, drop_bound=0.01004)
    rows = [make_row("float32"), make_row("int8", latency_ms=0.2, validation_n=144, validation_paired=told)]
    (doubt,) = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.01)).doubts
    assert doubt.endswith("only show that it is below 0.01004"), "and not 0.010, which is within the limit"
    assert tested(0, 2, 144).champion == "float32"  # 2 of 144 is more than 0.01
    rows = [make_row("float32"), make_row("int8", latency_ms=0.2)]
    (doubt,) = select(compare(*rows), "host-cpu", Budget(max_quality_drop=0.01)).doubts
    assert doubt.endswith("no paired test")


def test_a_pair_that_failed_or_a_variant_that_was_not_made_leaves_its_devices_undecided(make_row: MakeRow) -> None:
    away = make_row("int8", status="error", reason="the board does not answer", latency_ms=None)
    whole = compare(make_row("float32"), away, make_row("float32", "another"))
    assert undecided(whole, "another", Budget()) is None
    assert undecided(whole, "host-cpu", Budget()) == "not every variant is known here; int8: the board does not answer"
    unmade = compare(make_row("float32"), make_row("int8")).model_copy(update={"failures": ("fp16: refused", "x: y")})
    assert undecided(unmade, "host-cpu", Budget()) == "not every variant is known here; fp16: refused (and 1 more)"


@pytest.mark.parametrize(
    ("status", "passing", "known"),
    [("invalid", True, False), ("invalid", False, True), ("unsupported", False, True), ("ok", False, True)],
)
def test_what_a_busy_machine_has_spoilt_leaves_its_device_undecided_and_what_lasts_does_not(
    make_row: MakeRow, status: str, passing: bool, known: bool
) -> None:
    other = make_row("int8", status=status, passing=passing, reason=None if status == "ok" else "the clock jumped")
    found = undecided(compare(make_row("float32"), other), "host-cpu", Budget())
    assert found == (None if known else "not every variant is known here; int8: the clock jumped")


def test_what_a_meter_missed_leaves_a_device_undecided_whose_budget_asks_for_energy(make_row: MakeRow) -> None:
    turns = Ratio(value=0.5, low=0.4, high=0.6, pairs=6)

    def metered(variant: str, mj: float | None, ratio: Ratio | None, missed: str | None = None) -> Row:
        energy = Energy(kind="meter_external", mj=mj, ratio=ratio, reason=missed, passing=missed is not None)
        return make_row(variant, energy=energy, reference="float32", ratio=turns)

    alone = make_row("float32", energy=Energy(kind="meter_external", mj=2.0))
    whole, own, beside = (
        metered("fp16", 1.0, turns),
        metered("int8", None, None, "a gap"),
        metered("int8", 1, None, "b"),
    )
    for budget in (Budget(max_energy_mj=9.0), Budget(minimize="energy_mj")):
        for torn, said in ((own, "a gap"), (beside, "b")):  # missed of its own windows, and of the reference's
            found = undecided(compare(alone, whole, torn), "host-cpu", budget)
            assert found == f"not every variant is known here; int8: {said}"
        assert undecided(compare(alone, whole, metered("int8", 1, turns)), "host-cpu", budget) is None
    assert undecided(compare(alone, own, beside), "host-cpu", Budget()) is None, "the latencies are known"


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
        (
            {},
            Budget(max_energy_mj=1.0),
            "every figure that the budget asks for: energy_mj, latency_ms; those that ran have .*latency_ms",
        ),
        ({"variant": "int8"}, Budget(max_quality_drop=0.1), "reference 'float32'"),
    ],
)
def test_without_a_candidate_the_reason_is_told(
    make_row: MakeRow, changes: dict[str, Any], budget: Budget, part: str
) -> None:
    with pytest.raises(UnsupportedError, match=part):
        select(compare(make_row(**changes)), "host-cpu", budget)


def test_of_variants_none_of_which_ran_the_nearest_to_a_result_is_told(make_row: MakeRow) -> None:
    """Not what can never run, though it comes first: what it would tell to try may be what came nearest."""
    rows = [
        make_row("float32", status="unsupported", reason="an NPU takes int8"),
        make_row("dynamic", status="error", reason="it crashed"),
        make_row("int8", status="invalid", reason="1 of 38 operators falls back: GATHER"),
    ]
    told = r"^host-cpu: no variant ran; {} \(and {} more\)$"
    for count, first in ((3, "int8: 1 of 38 operators falls back: GATHER"), (2, "dynamic: it crashed")):
        with pytest.raises(UnsupportedError, match=told.format(first, count - 1)):
            select(compare(*rows[:count]), "host-cpu", Budget())
    with pytest.raises(UnsupportedError, match=r"no variant ran; float32: an NPU takes int8$"):
        select(compare(rows[0]), "host-cpu", Budget())


figures = st.tuples(
    st.floats(0.1, 10),
    st.floats(0.1, 10),
    st.integers(1, 10**6),
    st.integers(0, 100),
    st.sampled_from(["ok", "invalid"]),
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

    def spent(row: Row) -> float:
        assert row.measurement.energy.mj is not None
        return row.measurement.energy.mj

    champion = able[choice.champion]
    within = [row for row in able.values() if fits(row)]
    assert choice.within_budget == bool(within) == fits(champion)
    assert spent(champion) == min(map(spent, within), default=spent(champion))  # without intervals none is tied
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
