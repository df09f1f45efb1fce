"""One window, as the runner answered it: what it says, and whether it is a measurement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Self

from tasks.bench import answers, meters, stats
from tasks.bench.answers import Answer, Timing
from tasks.bench.meters import Metered
from tasks.records import Energy, Memory, Window

CLOCKS = 10  # times what the clock counts of nothing: a run that takes less is a measurement of the clock
STARVED = 0.25  # of one processor: below, the process mostly waited for its turn
AGAIN = "tercet run --remeasure invalid"
CLOCK_SHARE, CLOCK_S = 0.01, 0.05  # of a window, and beside that: how far two clocks may part in it
MEMORY = (
    "growth of the process's peak resident memory, from when the runtime is imported and the inputs are read to when"
    " the model is loaded and has inferred once"
)


@dataclass(frozen=True)
class Fault:
    """Why a window is no measurement."""

    said: str
    passing: bool  # of the machine in that moment: another measurement may have none, and the variant is not to blame


@dataclass(frozen=True)
class Stretch:
    """One phase of one process: its window, and the nanoseconds of each run."""

    variant: str
    timing: Timing  # of the process
    metered: Metered
    samples: stats.Nanoseconds

    def fault(self, *, starved: float, again: str = AGAIN) -> Fault | None:
        """Why the window is no measurement: a process with less than `starved` of a processor makes it none.

        Args:
            starved: see above.
            again: the command that measures once more.
        """
        window = self.metered.window
        p50, share = stats.ms(self.samples, 50), window.cpu_s / window.seconds
        if p50 * 1e6 < CLOCKS * window.empty_ns:
            told = f"{p50 * 1e6:.0f} ns per {window.run}, of which the clock itself takes {window.empty_ns:.0f}"
            return Fault(f"{self.variant}: {told}: too few to tell", passing=False)
        if share < starved:
            told = (
                f"{self.variant}: the process had a processor for only {share:.0%} of a window; the machine is too busy"
            )
            return Fault(f"{told}: once it is quiet, `{again}` measures again", passing=True)
        jump_s = self._jump_s()
        if abs(jump_s) > CLOCK_SHARE * window.seconds + CLOCK_S:
            told = f"{self.variant}: the clock jumped by {jump_s:+.3g} s in a window of {window.seconds:.3g} s"
            return Fault(f"{told}; `{again}` measures again", passing=True)
        return None

    def _jump_s(self) -> float:
        """What the clock of the epoch went through in the window beyond the one that only rises."""
        start, end = self.metered.window.energy.window
        return ((end.epoch_ns - start.epoch_ns) - (end.ns - start.ns)) / 1e9

    def with_window(self, window: answers.Window) -> Self:
        """The same by another window."""
        return replace(self, metered=Metered(window))

    def window(self) -> Window:
        """Its record."""
        window, energy = self.metered.window, self.metered.energy
        start, end = window.energy.window
        return Window(
            variant=self.variant,
            runs=window.runs,
            seconds=window.seconds,
            began_ns=start.epoch_ns,
            ended_ns=end.epoch_ns,
            busy_s=window.busy_s,
            preempted=window.preempted,
            load_ms=self.timing.load_ms,
            first_ms=self.timing.first_ms,
            ms_p10=stats.ms(self.samples, 10),
            ms_p50=stats.ms(self.samples, 50),
            ms_mean=float(self.samples.mean()) / 1e6,
            cpu_ms_mean=self.metered.busy_cpu_ms,
            peak_memory_kib=grown_kib(self.timing),
            energy_mj=energy.clocked.mj if energy else None,
            energy_mj_with_input=energy.with_input_mj if energy else None,
            idle_w=energy.idle_w if energy else None,
            active_w=energy.active_w if energy else None,
        )


@dataclass(frozen=True)
class Shot:
    """What a fresh process answered of a variant: a window of each phase."""

    variant: str
    answer: Answer
    timing: Timing
    phases: Mapping[str, Stretch]  # in their order, by name

    @property
    def last(self) -> Stretch:
        """The phase that variants are told apart by."""
        return [*self.phases.values()][-1]

    @property
    def emulated(self) -> bool:
        """Whether an emulator ran it, so that no time of it means anything."""
        return bool(self.answer.environment.get("emulated"))


def taken(variant: str, answer: Answer, samples: Mapping[str, stats.Nanoseconds]) -> Shot:
    """The shot of an answer to `time`, and the samples that came with it, by phase."""
    timing = answer.timing
    assert timing  # of an answer that is ok
    phases = {name: Stretch(variant, timing, Metered(window), samples[name]) for name, window in timing.phases.items()}
    return Shot(variant, answer, timing, phases)


def fault(taken: Sequence[Shot], *, starved: float, again: str = AGAIN) -> Fault | None:
    """The first fault of any window; one that lasts goes before one that may pass. See `Stretch.fault`."""
    stretches = (stretch for shot in taken for stretch in shot.phases.values())
    found = [each for stretch in stretches if (each := stretch.fault(starved=starved, again=again))]
    return min(found, key=lambda each: each.passing, default=None)


def refilled(shots: Sequence[Shot], fill: Callable[[list[answers.Window]], list[answers.Window]]) -> list[Shot]:
    """The same shots with their windows as `fill` gives them, which is asked for all windows at once."""
    windows = iter(fill([stretch.metered.window for shot in shots for stretch in shot.phases.values()]))
    return [
        replace(shot, phases={name: each.with_window(next(windows)) for name, each in shot.phases.items()})
        for shot in shots
    ]


def grown_kib(timing: Timing) -> int | None:
    """What `MEMORY` says; null where the machine does not tell."""
    before, peak = timing.memory.before_kib, timing.memory.peak_kib
    return peak - before if before is not None and peak is not None else None


def memory(shots: Sequence[Shot]) -> Memory | None:
    """The median over the windows; null where none tells."""
    grown = [kib for shot in shots if (kib := grown_kib(shot.timing)) is not None]
    return Memory(provenance="measured", peak_kib=median(grown), what=MEMORY) if grown else None


def energy(
    mine: Sequence[Stretch], reference: Sequence[Stretch], watts: tuple[float, float, float], *, offloads: bool
) -> Energy:
    """By the counters that the windows read, else by CPU time, unless another processor did the work."""
    own, others = ([stretch.metered for stretch in side] for side in (mine, reference))
    if all(metered.window.energy.zones for metered in own):
        return meters.counted(own, others)
    if offloads:
        return Energy(kind="none", reason=own[-1].window.energy.reason)
    return meters.cpu_time_estimate(own, watts, others)


def memory_levels(shots: Sequence[Shot]) -> list[dict[str, int | None]]:
    """The levels that the growth of the memory is between."""
    return [vars(shot.timing.memory) for shot in shots]


def details(stretches: Sequence[Stretch]) -> dict[str, Any]:
    """What else was seen in a phase: its energy counters, clock and heat."""
    found = [figures for stretch in stretches if (figures := stretch.metered.energy)]
    run = stretches[-1].metered.window.run
    used = {
        "zones_mj": [figures.zones_mj for figures in found],
        "notes": list(dict.fromkeys(note for figures in found for note in meters.notes(figures, run))),
        "safe_window_s": min((figures.safe_s for figures in found if figures.safe_s), default=None),
    }
    return {
        "energy": stretches[-1].metered.window.energy.reason or used,
        "state": [list(stretch.metered.window.state) for stretch in stretches],
    }
