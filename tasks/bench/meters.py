"""From the runner's raw readings to energy per inference: a counter where there is one, else an estimate that says so.

None is never 0: a counter that cannot be read, or that did not move, gives no figure but a reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tasks.bench.runner import counters
from tasks.records import Energy, EnergyKind

UPDATES_NEEDED = 100  # of the counter, in one window: fewer, and its steps show in the figure
AGREES = 0.05  # how far energy over time may be from the power that was read meanwhile
IDLE_SETTLED = 0.1  # how far two idle times may be apart before it is worth a word
HOST = {"powercap": counters.POWERCAP, "hwmon": counters.HWMON}  # what a processor's energy is read from
EXTERNAL = {"external": ""}  # likewise, where its device file says `meter: external`
KINDS: dict[str, EnergyKind] = {  # by the source that the runner read
    "powercap": "counter_rapl",
    "nvml": "counter_nvml",
    "hwmon": "rail_hwmon",
    "external": "meter_external",
}
GPU = {"nvml": ""}  # what an NVIDIA GPU's energy is read from
SCOPES = {
    "nvml": "the whole card, not the machine around it",
    "hwmon": "all that they feed",
    "external": "all that it feeds",
}
Reading = dict[str, Any]  # {"uj": [per zone], "ns": when, "epoch_ns": likewise}


@dataclass(frozen=True)
class WindowEnergy:
    """What the counters said of one window: all zones together, and each."""

    gross_mj: float  # per inference
    idle_w: float  # of both idle times
    idle_each_w: tuple[float, ...]  # before and after
    active_w: float
    zones_mj: dict[str, float]
    safe_s: float | None  # at this power no counter wraps twice in a window so long, which would not show


def cpu_time_estimate(cpu_ms: float, watts: tuple[float, float, float]) -> Energy:
    """Energy from CPU time alone: milliseconds of all threads per inference, times watts per busy core.

    Args:
        cpu_ms: CPU time per inference.
        watts: what a busy core may draw: low, nominal, high.
    """
    low, nominal, high = watts
    return Energy(
        kind="estimate_cpu_time",
        mj=cpu_ms * nominal,
        low_mj=cpu_ms * low,
        high_mj=cpu_ms * high,
        scope="CPU time of the process; between variants of one device it says nothing beyond CPU time",
        formula=f"{cpu_ms:.6g} ms of CPU time per inference x {nominal:g} W per core (low {low:g}, high {high:g})",
    )


def counted(windows: Sequence[dict[str, Any]]) -> Energy:
    """Energy per inference by the device's own counters: the median over the windows.

    Gross is what all zones used while the window ran; net is less by what they used while idle, before and after.

    Args:
        windows: the runner's responses to `time`, all with readable zones.
    """
    zones, source = [zone["name"] for zone in windows[0]["energy"]["zones"]], windows[0]["energy"]["source"]
    kind, scope = KINDS[source], SCOPES.get(source, "all that ran on them")
    for window in windows:
        fault = _fault(window)
        if fault:
            return Energy(kind=kind, reason=f"invalid: {fault}")
    figures = [window_energy(window) for window in windows]
    gross_mj = median(figure.gross_mj for figure in figures)
    net_mj = median(
        figure.gross_mj - figure.idle_w * window["seconds"] * 1e3 / window["runs"]
        for figure, window in zip(figures, windows, strict=True)
    )
    return Energy(
        kind=kind,
        mj=gross_mj,
        net_mj=net_mj if net_mj > 0 else None,
        scope=f"{' + '.join(zones)}: {scope}",
        reason=None if net_mj > 0 else "no net figure: the windows used no more than idle",
    )


def _fault(window: dict[str, Any]) -> str | None:
    """Why the counters' readings of a window are no measurement."""
    energy, seconds = window["energy"], window["seconds"]
    update_s, power_w = energy["update_s"], energy.get("power_w")
    if energy["reason"]:
        return str(energy["reason"])
    if update_s is None:
        return "the counter did not move while it was watched"
    if seconds / update_s < UPDATES_NEEDED:
        needed = UPDATES_NEEDED * update_s
        return (
            f"{seconds / update_s:.0f} counter updates in a window of {seconds:.3g} s; at least {needed:.3g} s needed"
        )
    if energy.get("changes") == 0:
        return "the sensor gave one and the same reading all the time"
    figures = window_energy(window)
    if figures.gross_mj <= 0:
        return "the counter did not move in a window"
    if power_w and abs(figures.active_w / power_w - 1) > AGREES:
        return f"the counter's {figures.active_w:.4g} W are not the {power_w:.4g} W that were read meanwhile"
    return None


def notes(window: dict[str, Any]) -> list[str]:
    """What a reader of the window's energy must know, though it is a measurement."""
    before, after = window_energy(window).idle_each_w
    if abs(after - before) <= IDLE_SETTLED * max(before, after):
        return []
    return [f"idle took {before:.3g} W before the window and {after:.3g} W after it, so the net figure is a rough one"]


def window_energy(window: dict[str, Any]) -> WindowEnergy:
    """One window's figures from its raw readings."""
    energy = window["energy"]
    ranges = [zone["range_uj"] for zone in energy["zones"]]
    used_uj, seconds = _used(energy["window"], ranges)
    idle = [_used(pair, ranges) for pair in energy["idle"]]
    per_mj = [uj / 1e3 / window["runs"] for uj in used_uj]
    wraps_s = [wrap / uj * seconds for wrap, uj in zip(ranges, used_uj, strict=True) if wrap and uj > 0]
    return WindowEnergy(
        gross_mj=sum(per_mj),
        idle_w=sum(sum(uj) for uj, _ in idle) / 1e6 / sum(s for _, s in idle),
        idle_each_w=tuple(sum(uj) / 1e6 / s for uj, s in idle),
        active_w=sum(used_uj) / 1e6 / seconds,
        zones_mj={zone["zone"] + " " + zone["name"]: mj for zone, mj in zip(energy["zones"], per_mj, strict=True)},
        safe_s=min(wraps_s, default=None),
    )


def _used(readings: Sequence[Reading], ranges: list[int | None]) -> tuple[list[int], float]:
    """Microjoules of each zone between two readings, and the seconds.

    A counter that has a range may have wrapped once between.
    """
    start, end = readings
    pairs = zip(start["uj"], end["uj"], ranges, strict=True)
    return [b - a + wrap if b < a and wrap else b - a for a, b, wrap in pairs], (end["ns"] - start["ns"]) / 1e9
