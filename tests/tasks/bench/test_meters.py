import re
from typing import Any

import pytest

from tasks.bench import meters


def response(
    used_uj: list[int], *, runs: int = 100, seconds: float = 2.0, start_uj: int = 0, update_s: float | None = 0.001
) -> dict[str, Any]:
    """A window of a package and its memory, with 1 s idle on either side at 3 W and 1 W."""
    range_uj = 50_000_000
    zones = [{"zone": f"z{i}", "name": name, "range_uj": range_uj} for i, name in enumerate(["package-0", "dram"])]

    def readings(uj: list[int], s: float) -> list[dict[str, Any]]:
        ends = [(start_uj + u) % range_uj for u in uj]
        return [{"uj": [start_uj, start_uj], "ns": 10**9}, {"uj": ends, "ns": 10**9 + int(s * 1e9)}]

    idle = readings([3_000_000, 1_000_000], 1.0)
    about = {"source": "powercap", "zones": zones, "reason": None, "update_s": update_s}
    return {
        "runs": runs,
        "seconds": seconds,
        "energy": {**about, "idle": [idle, idle], "window": readings(used_uj, seconds)},
    }


def test_gross_is_what_was_used_and_net_is_less_by_idle() -> None:
    energy = meters.counted([response([20_000_000, 4_000_000])])
    assert energy.kind == "counter_rapl"
    assert energy.mj == pytest.approx(24_000 / 100)  # 24 J over 100 inferences
    assert energy.net_mj == pytest.approx((24_000 - 4_000 * 2) / 100)  # idle: 4 W for 2 s
    assert energy.scope is not None
    assert energy.scope.startswith("package-0 + dram")
    assert energy.reason is None


def test_a_counter_that_wraps_counts_on() -> None:
    plain, wrapped = response([20_000_000, 4_000_000]), response([20_000_000, 4_000_000], start_uj=49_000_000)
    assert meters.window_energy(wrapped) == meters.window_energy(plain)


def test_the_median_window_counts() -> None:
    windows = [response([10_000_000, 0]), response([30_000_000, 0]), response([11_000_000, 0])]
    assert meters.counted(windows).mj == pytest.approx(110)


def test_power_is_energy_over_time() -> None:
    energy = meters.window_energy(response([20_000_000, 4_000_000]))
    assert energy.active_w == pytest.approx(12)
    assert energy.idle_w == pytest.approx(4)
    assert energy.zones_mj == {"z0 package-0": 200, "z1 dram": 40}


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        (response([20_000_000, 0], update_s=0.021), "95 counter updates .* at least 2.1 s needed"),
        (response([20_000_000, 0], update_s=None), "did not move while it was watched"),
        (response([0, 0]), "did not move in a window"),
    ],
)
def test_a_counter_that_says_too_little_gives_a_reason_and_never_zero(window: dict[str, Any], reason: str) -> None:
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
    energy = meters.cpu_time_estimate(0.5, (1, 4, 12))
    assert (energy.low_mj, energy.mj, energy.high_mj) == (0.5, 2, 6)
    assert energy.kind == "estimate_cpu_time"
    assert energy.formula == "0.5 ms of CPU time per inference x 4 W per core (low 1, high 12)"
    assert energy.scope is not None
    assert "nothing beyond CPU time" in energy.scope
