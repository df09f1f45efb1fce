"""From the runner's raw readings to energy per inference: a counter where there is one, else an estimate that says so.

None is never 0: a counter that cannot be read, or that did not move, gives no figure but a reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from tasks.bench import stats
from tasks.bench.answers import Counter, Span, Window
from tasks.bench.runner import counters
from tasks.intervals import of_median
from tasks.records import Energy, EnergyKind, Ratio

UPDATES_NEEDED = 100  # of the counter, in one window: fewer, and its steps show in the figure
IDLE_UPDATES = 8  # likewise in each idle time: fewer, and what ran before and after it shows
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
BUSY = 0.9  # of a window: below, what the gaps used shows in the figure


@dataclass(frozen=True)
class Bounded:
    """A figure that lies somewhere between two bounds: their middle."""

    low: float
    high: float

    @property
    def mj(self) -> float:
        """The middle, which is off by half their distance at most."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class WindowEnergy:
    """What the counters said of one window, all zones together and each; millijoules are per inference."""

    clocked: Bounded  # of the clocked part alone
    net: Bounded  # likewise, less idle power
    with_input_mj: float  # of the whole window
    busy: float  # share of the window that the clock ran
    idle_w: float  # of both idle times
    idle_each_w: tuple[float, ...]  # before and after
    active_w: float
    zones_mj: dict[str, float]  # of the whole window
    safe_s: float | None  # at this power no counter wraps twice in a window so long, which would not show


@dataclass(frozen=True)
class Metered:
    """A window, with what its energy counter says worked out once."""

    window: Window

    @cached_property
    def energy(self) -> WindowEnergy | None:
        """The counter's figures; null where there is none, or a meter missed something."""
        counter = self.window.energy
        return window_energy(self.window) if counter.zones and not counter.reason else None

    @cached_property
    def fault(self) -> str | None:
        """Why the counter's readings are no measurement."""
        return _fault(self.window.energy, self.window.seconds, self.energy)

    @property
    def coarse(self) -> str | None:
        """Why idle power is not known, though a window's is: of so few updates what ran beside makes the most."""
        counter = self.window.energy
        least_s = min(((end.ns - start.ns) / 1e9 for start, end in filter(None, counter.idle)), default=0.0)
        if not counter.update_s or least_s / counter.update_s >= IDLE_UPDATES:
            return None
        return (
            f"{least_s / counter.update_s:.1f} counter updates in an idle time of {least_s:.3g} s; at least "
            f"{IDLE_UPDATES} needed, one every {least_s / IDLE_UPDATES:.3g} s"
        )

    @property
    def missed(self) -> str | None:
        """What a meter beside the device did not see of it, whatever ran there; null of a counter of the device."""
        counter = self.window.energy
        return counter.reason if counter.zones else None

    @property
    def busy_cpu_ms(self) -> float:
        """CPU time of all threads per run, of the clocked part alone."""
        return self.window.busy_cpu_s * 1e3 / self.window.runs

    @property
    def cpu_ms(self) -> float:
        """Likewise of the whole window."""
        return self.window.cpu_s * 1e3 / self.window.runs


def cpu_time_estimate(
    windows: Sequence[Metered], watts: tuple[float, float, float], reference: Sequence[Metered] = ()
) -> Energy:
    """Energy from CPU time alone: milliseconds of all threads per run, times watts per busy core.

    Args:
        windows: of one phase of the variant.
        watts: what a busy core may draw: low, nominal, high.
        reference: likewise of the reference, one for each of `windows`.

    Returns:
        None of it, with the reason, where placing the input seems to have taken all of the time: that is no 0.
    """
    low, nominal, high = watts
    cpu_ms = median(window.busy_cpu_ms for window in windows)
    with_input_ms = median(window.cpu_ms for window in windows)
    if not cpu_ms:
        reason = f"of {with_input_ms:.3g} ms of CPU time none is left without what placing the input took"
        return Energy(kind="none", reason=reason)
    pairs = [[window.busy_cpu_ms for window in side] for side in (reference, windows)]
    return Energy(
        kind="estimate_cpu_time",
        mj=cpu_ms * nominal,
        low_mj=cpu_ms * low,
        high_mj=cpu_ms * high,
        mj_with_input=with_input_ms * nominal,
        ratio=stats.paired(*pairs) if reference else None,
        scope="CPU time of the process; between variants of one device it says nothing beyond CPU time",
        formula=f"{cpu_ms:.6g} ms of CPU time per {windows[0].window.run} x {nominal:g} W per core"
        f" (low {low:g}, high {high:g})",
    )


def counted(windows: Sequence[Metered], reference: Sequence[Metered] = ()) -> Energy:
    """Energy per run by the device's own counters: the median over the windows, and its interval.

    Gross is what all zones used while the clock ran; net is less by what they used while idle, before and after.

    Args:
        windows: of one phase of the variant, all with readable zones.
        reference: likewise of the reference, one for each of `windows`.
    """
    counter = windows[0].window.energy
    kind, scope = KINDS[counter.source or ""], SCOPES.get(counter.source or "", "all that ran on them")
    fault = next((window.fault for window in windows if window.fault), None)
    missed = next((window.missed for window in (*windows, *reference) if window.missed), None)
    if fault:
        return Energy(kind=kind, reason=f"invalid: {fault}", passing=missed is not None)
    found = [window.energy for window in windows if window.energy]
    coarse = next((window.coarse for window in windows if window.coarse), None)
    clocked, net = (_spread([getattr(one, part) for one in found]) for part in ("clocked", "net"))
    return Energy(
        kind=kind,
        mj=median(one.clocked.mj for one in found),
        low_mj=clocked.low,
        high_mj=clocked.high,
        mj_with_input=median(one.with_input_mj for one in found),
        net_mj=median(one.net.mj for one in found) if net.low > 0 and not coarse else None,
        net_low_mj=None if coarse else net.low,
        net_high_mj=None if coarse else net.high,
        ratio=_ratio(reference, found),
        scope=f"{' + '.join(zone.name for zone in counter.zones)}: {scope}",
        formula=f"of the counter's energy in {len(found)} windows, {median(one.busy for one in found):.0%} of whose"
        " time is inference; the rest of the time at between idle power and the window's own",
        reason="; ".join(_lacking(net, coarse, missed)) or None,
        passing=missed is not None,
    )


def _lacking(net: Bounded, coarse: str | None, missed: str | None) -> Iterator[str]:
    """What there is no figure of beside the energy, and why."""
    if coarse:
        yield f"no net figure: {coarse}"
    elif net.low <= 0:
        yield f"no net figure: {net.low:.3g} to {net.high:.3g} mJ over idle may be nothing"
    if missed:
        yield f"no ratio: beside the reference {missed}"


def _spread(figures: Sequence[Bounded]) -> Bounded:
    """From the lower end of the lower bounds' interval to the upper end of the upper bounds'."""
    return Bounded(of_median([one.low for one in figures])[0], of_median([one.high for one in figures])[1])


def _ratio(reference: Sequence[Metered], found: Sequence[WindowEnergy]) -> Ratio | None:
    """Energy of the clocked part over the reference's, window by window; null where a counter failed there."""
    others = [window.energy.clocked.mj for window in reference if window.energy and not window.fault]
    if not reference or len(others) < len(reference):
        return None
    return stats.paired(others, [one.clocked.mj for one in found])


def _fault(counter: Counter, seconds: float, figures: WindowEnergy | None) -> str | None:
    update_s, power_w = counter.update_s, counter.power_w
    if counter.reason or figures is None:
        return counter.reason or "no counter can be read"
    if update_s is None:
        return "the counter did not move while it was watched"
    if seconds / update_s < UPDATES_NEEDED:
        needed = UPDATES_NEEDED * update_s
        return (
            f"{seconds / update_s:.0f} counter updates in a window of {seconds:.3g} s; at least {needed:.3g} s needed"
        )
    if counter.changes == 0:
        return "the sensor gave one and the same reading all the time"
    if figures.active_w <= 0:
        return "the counter did not move in a window"
    if power_w and abs(figures.active_w / power_w - 1) > AGREES:
        return f"the counter's {figures.active_w:.4g} W are not the {power_w:.4g} W that were read meanwhile"
    return None


def notes(found: WindowEnergy, run: str = "inference") -> list[str]:
    """What a reader of a window's energy must know, though it is a measurement; `run` is what each run does."""
    before, after = found.idle_each_w
    told = []
    if abs(after - before) > IDLE_SETTLED * max(before, after):
        told.append(
            f"idle took {before:.3g} W before the window and {after:.3g} W after it, so the net figure is a rough one"
        )
    if found.busy < BUSY:
        told.append(
            f"only {found.busy:.0%} of the window is {run}, the rest placing inputs: each took between"
            f" {found.clocked.low:.3g} and {found.clocked.high:.3g} mJ"
        )
    return told


def window_energy(window: Window) -> WindowEnergy:
    """One window's figures from its raw readings.

    The counters cannot be read around each inference, and between two inferences stands a gap in which the next input
    is placed. Its power is not idle power, nor that of an inference. It is taken to lie between idle power (a GPU that
    waits for its next input) and the mean of the window (a processor that copies it as busily as it infers), so the
    clocked part has two bounds, which meet where the gaps are short or the device is no busier than idle.
    """
    counter, runs = window.energy, window.runs
    ranges = [zone.range_uj for zone in counter.zones]
    used_uj, seconds = _used(counter.window, ranges)
    idle = [_used(span, ranges) for span in counter.idle if span]
    idle_w, active_w = sum(sum(uj) for uj, _ in idle) / 1e6 / sum(s for _, s in idle), sum(used_uj) / 1e6 / seconds
    busy_s = window.busy_s
    net = sorted((active_w - idle_w) * s * 1e3 / runs for s in (busy_s, seconds))
    idle_mj = idle_w * busy_s * 1e3 / runs
    wraps_s = [wrap / uj * seconds for wrap, uj in zip(ranges, used_uj, strict=True) if wrap and uj > 0]
    per_mj = [uj / 1e3 / runs for uj in used_uj]
    return WindowEnergy(
        clocked=Bounded(idle_mj + net[0], idle_mj + net[1]),
        net=Bounded(net[0], net[1]),
        with_input_mj=sum(per_mj),
        busy=busy_s / seconds,
        idle_w=idle_w,
        idle_each_w=tuple(sum(uj) / 1e6 / s for uj, s in idle),
        active_w=active_w,
        zones_mj={f"{zone.zone} {zone.name}": mj for zone, mj in zip(counter.zones, per_mj, strict=True)},
        safe_s=min(wraps_s, default=None),
    )


def _used(span: Span, ranges: list[int | None]) -> tuple[list[int], float]:
    """Microjoules of each zone between two readings, and the seconds.

    A counter that has a range may have wrapped once between.
    """
    start, end = span
    pairs = zip(start.uj, end.uj, ranges, strict=True)
    return [b - a + wrap if b < a and wrap else b - a for a, b, wrap in pairs], (end.ns - start.ns) / 1e9
