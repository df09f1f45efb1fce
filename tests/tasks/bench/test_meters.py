import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bench import meters
from tasks.bench.meters import Metered, WindowEnergy
from tests.phases import window_of

RANGE_UJ = 50_000_000


def response(
    used_uj: Sequence[int],
    *,
    runs: int = 100,
    seconds: float = 2.0,
    busy_s: float | None = None,
    start_uj: int = 0,
    update_s: float | None = 0.001,
) -> Metered:
    """A window of a package and its memory, with 1 s idle on either side at 3 W and 1 W; no gaps unless said."""
    zones = [{"zone": f"z{i}", "name": name, "range_uj": RANGE_UJ} for i, name in enumerate(["package-0", "dram"])]

    def readings(uj: Sequence[int], s: float) -> list[dict[str, Any]]:
        ends = [(start_uj + u) % RANGE_UJ for u in uj]
        return [{"uj": [start_uj, start_uj], "ns": 10**9}, {"uj": ends, "ns": 10**9 + int(s * 1e9)}]

    idle = readings([3_000_000, 1_000_000], 1.0)
    about = {"source": "powercap", "zones": zones, "reason": None, "update_s": update_s}
    energy = {**about, "idle": [idle, idle], "window": readings(used_uj, seconds)}
    return Metered(window_of(runs=runs, seconds=seconds, busy_s=seconds if busy_s is None else busy_s, energy=energy))


def cpu(busy_cpu_s: float, cpu_s: float, *, runs: int = 1000) -> Metered:
    return Metered(window_of(runs=runs, busy_cpu_s=busy_cpu_s, cpu_s=cpu_s))


def figures(metered: Metered) -> WindowEnergy:
    assert metered.energy
    return metered.energy


def test_gross_is_what_was_used_and_net_is_less_by_idle() -> None:
    energy = meters.counted([response([20_000_000, 4_000_000])])
    assert energy.kind == "counter_rapl"
    assert energy.mj == pytest.approx(24_000 / 100)  # 24 J over 100 inferences
    assert energy.mj_with_input == pytest.approx(24_000 / 100)
    assert energy.net_mj == pytest.approx((24_000 - 4_000 * 2) / 100)  # idle: 4 W for 2 s
    assert energy.scope is not None
    assert energy.scope.startswith("package-0 + dram")
    assert energy.reason is None
    assert energy.ratio is None


@given(gap=st.floats(0.0, 0.6), gap_w=st.floats(4.0, 20.0), inference_w=st.floats(4.0, 20.0))
def test_what_the_gaps_used_is_no_inferences(gap: float, gap_w: float, inference_w: float) -> None:
    """Idle takes 4 W. Whatever the gaps take between that and an inference, the truth is between the two bounds."""
    gap_w, seconds, runs = min(gap_w, inference_w), 2.0, 100
    busy_s = seconds * (1 - gap)
    used_uj = round((inference_w * busy_s + gap_w * (seconds - busy_s)) * 1e6)
    found = figures(response([used_uj, 0], busy_s=busy_s, runs=runs))
    true_mj, idle_mj = (watts * busy_s * 1e3 / runs for watts in (inference_w, 4.0))
    assert found.clocked.low - 1e-3 <= true_mj <= found.clocked.high + 1e-3
    assert found.net.low - 1e-3 <= true_mj - idle_mj <= found.net.high + 1e-3
    assert found.clocked.low <= found.clocked.mj <= found.clocked.high


def test_a_gap_at_idle_power_gives_the_upper_bound_and_one_as_busy_as_the_window_the_lower() -> None:
    waits = meters.window_energy(
        response([20_000_000 + 4_000_000, 0], busy_s=1.0).window
    )  # 20 W for 1 s, idle for another
    assert waits.clocked.high == pytest.approx(20_000 / 100)
    copies = figures(response([40_000_000, 0], busy_s=1.0))  # 20 W all the time
    assert copies.clocked.low == pytest.approx(20_000 / 100)
    assert copies.with_input_mj == pytest.approx(2 * 20_000 / 100)


def test_a_window_that_is_half_gaps_is_noted() -> None:
    assert meters.notes(figures(response([24_000_000, 0], busy_s=1.9))) == []
    (note,) = meters.notes(figures(response([24_000_000, 0], busy_s=1.0)))
    assert note == ("only 50% of the window is inference, the rest placing inputs: each took between 120 and 200 mJ")


def test_a_counter_that_wraps_counts_on() -> None:
    plain, wrapped = response([20_000_000, 4_000_000]), response([20_000_000, 4_000_000], start_uj=49_000_000)
    assert figures(wrapped) == figures(plain)


def test_the_median_window_counts_and_all_of_six_are_its_interval() -> None:
    windows = [response([mj * 100_000, 0]) for mj in (100, 300, 110, 120, 90, 130)]
    energy = meters.counted(windows)
    assert energy.mj == pytest.approx(115)
    assert (energy.low_mj, energy.high_mj) == pytest.approx((90, 300))


def test_the_ratio_is_paired_with_the_references_windows() -> None:
    """A level that triples on the way touches both of a pair."""
    levels = (100, 120, 150, 200, 250, 300)
    mine, others = ([response([mj * share, 0]) for mj in levels] for share in (50_000, 100_000))
    found = meters.counted(mine, others).ratio
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (found.pairs, found.kind) == (6, "interval")
    others[3] = response([0, 0])
    assert meters.counted(mine, others).ratio is None
    assert meters.counted(mine, others).mj is not None


def test_a_net_figure_whose_interval_holds_nothing_is_none() -> None:
    """Windows of 8 J would be idle alone: five used more, one less."""
    windows = [response([uj, 0]) for uj in (8_100_000, 8_700_000, 8_200_000, 8_600_000, 7_500_000, 8_400_000)]
    energy = meters.counted(windows)
    assert energy.mj == pytest.approx(83)
    assert energy.net_mj is None
    assert (energy.net_low_mj, energy.net_high_mj) == pytest.approx((-5, 7))
    assert energy.reason == "no net figure: -5 to 7 mJ over idle may be nothing"
    surely = meters.counted([response([20_000_000, 0]), *windows[:4], windows[5]])
    assert surely.net_mj == pytest.approx(5)
    assert surely.reason is None


def test_power_is_energy_over_time() -> None:
    energy = figures(response([20_000_000, 4_000_000], busy_s=1.5))
    assert energy.active_w == pytest.approx(12)
    assert energy.idle_w == pytest.approx(4)
    assert energy.busy == pytest.approx(0.75)
    assert energy.zones_mj == {"z0 package-0": 200, "z1 dram": 40}


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        (response([20_000_000, 0], update_s=0.021), "95 counter updates .* at least 2.1 s needed"),
        (response([20_000_000, 0], update_s=None), "did not move while it was watched"),
        (response([0, 0]), "did not move in a window"),
    ],
)
def test_a_counter_that_says_too_little_gives_a_reason_and_never_zero(window: Metered, reason: str) -> None:
    energy = meters.counted([response([20_000_000, 0]), window])
    assert energy.kind == "counter_rapl"
    assert energy.mj is None
    assert energy.reason is not None
    assert re.search(reason, energy.reason)


def test_a_busy_machine_may_have_gross_but_no_net() -> None:
    energy = meters.counted([response([5_000_000, 0])])  # idle alone would have used 8 J
    assert energy.mj == pytest.approx(50)
    assert energy.net_mj is None
    assert energy.reason is not None


def test_the_estimate_is_cpu_time_times_watts_and_says_so() -> None:
    energy = meters.cpu_time_estimate([cpu(0.5, 0.7)], (1, 4, 12))
    assert (energy.low_mj, energy.mj, energy.high_mj) == (0.5, 2, 6)
    assert energy.mj_with_input == pytest.approx(2.8)
    assert energy.kind == "estimate_cpu_time"
    assert energy.formula == "0.5 ms of CPU time per inference x 4 W per core (low 1, high 12)"
    assert energy.scope is not None
    assert "nothing beyond CPU time" in energy.scope


def test_the_estimates_ratio_is_that_of_cpu_time_in_the_clock() -> None:
    mine, others = [cpu(0.2, 0.6), cpu(0.3, 0.7)], [cpu(0.4, 0.8), cpu(0.6, 1.0)]
    ratio = meters.cpu_time_estimate(mine, (1, 4, 12), others).ratio
    assert ratio is not None
    assert (ratio.value, ratio.kind) == (pytest.approx(0.5), "range")
    assert meters.cpu_time_estimate([cpu(0, 0), cpu(0, 0)], (1, 4, 12), others).ratio is None


def test_cpu_time_that_placing_took_whole_is_no_energy_of_0():
    energy = meters.cpu_time_estimate([cpu(0, 0.7), cpu(0, 0.7)], (1, 4, 12))
    assert (energy.kind, energy.mj, energy.ratio) == ("none", None, None)
    assert energy.reason == "of 0.7 ms of CPU time none is left without what placing the input took"
