"""One window, as the runner answered it: what it says, and whether it is a measurement."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tasks.bench import meters, stats
from tasks.records import Energy, Memory, Window

STEPS_MS = 0.001  # a median below this is the clock's own cost
STARVED = 0.25  # of one processor: below, the process mostly waited for its turn
CLOCK_SHARE, CLOCK_S = 0.01, 0.05  # of a window, and beside that: how far two clocks may part in it
MEMORY = (
    "growth of the process's peak resident memory, from when the runtime is imported and the inputs are read to when"
    " the model is loaded and has inferred once"
)


@dataclass(frozen=True)
class Shot:
    """One window: what the runner answered, and the nanoseconds of each inference."""

    variant: str
    response: dict[str, Any]
    samples: stats.Nanoseconds

    @property
    def emulated(self) -> bool:
        """Whether an emulator ran it, so that no time of it means anything."""
        return bool(self.response["environment"].get("emulated"))

    @property
    def grown_kib(self) -> int | None:
        """What `MEMORY` says; null where the machine does not tell."""
        before, peak = (self.response["memory"][key] for key in ("before_kib", "peak_kib"))
        return peak - before if before is not None and peak is not None else None

    @property
    def counted(self) -> meters.WindowEnergy | None:
        """What its energy counters said; null where there is none, or a meter missed something."""
        energy = self.response["energy"]
        return meters.window_energy(self.response) if energy["zones"] and not energy["reason"] else None

    def fault(self, *, starved: float) -> str | None:
        """Why the window is no measurement: a process with less than `starved` of a processor makes it none."""
        p50, share = stats.ms(self.samples, 50), self.response["cpu_s"] / self.response["seconds"]
        if p50 < STEPS_MS:
            return f"{self.variant}: {p50 * 1e6:.0f} ns per inference is no more than the clock itself takes"
        if share < starved:
            return (
                f"{self.variant}: the process had a processor for only {share:.0%} of a window; the machine is too busy"
            )
        jump_s = self._jump_s()
        if abs(jump_s) > CLOCK_SHARE * self.response["seconds"] + CLOCK_S:
            seconds = self.response["seconds"]
            return f"{self.variant}: the clock jumped by {jump_s:+.3g} s in a window of {seconds:.3g} s"
        return None

    def _jump_s(self) -> float:
        """What the clock of the epoch went through in the window beyond the one that only rises."""
        start, end = self.response["energy"]["window"]
        return float((end["epoch_ns"] - start["epoch_ns"]) - (end["ns"] - start["ns"])) / 1e9

    def window(self) -> Window:
        """Its record."""
        response, energy = self.response, self.counted
        return Window(
            variant=self.variant,
            **{key: response[key] for key in ("runs", "seconds", "busy_s", "preempted", "load_ms", "first_ms")},
            ms_p10=stats.ms(self.samples, 10),
            ms_p50=stats.ms(self.samples, 50),
            ms_mean=float(self.samples.mean()) / 1e6,
            cpu_ms_mean=meters.busy_cpu_ms(response),
            peak_memory_kib=self.grown_kib,
            energy_mj=energy.clocked.mj if energy else None,
            energy_mj_with_input=energy.with_input_mj if energy else None,
            idle_w=energy.idle_w if energy else None,
            active_w=energy.active_w if energy else None,
        )


def memory(shots: Sequence[Shot]) -> Memory | None:
    """The median over the windows; null where none tells."""
    grown = [shot.grown_kib for shot in shots if shot.grown_kib is not None]
    return Memory(provenance="measured", peak_kib=median(grown), what=MEMORY) if grown else None


def energy(
    shots: Sequence[Shot], reference: Sequence[Shot], watts: tuple[float, float, float], *, offloads: bool
) -> Energy:
    """By the counters that the windows read, else by CPU time, unless another processor did the work."""
    mine, others = ([shot.response for shot in side] for side in (shots, reference))
    if all(response["energy"]["zones"] for response in mine):
        return meters.counted(mine, others)
    if offloads:
        return Energy(kind="none", reason=mine[-1]["energy"]["reason"])
    return meters.cpu_time_estimate(mine, watts, others)


def details(shots: Sequence[Shot]) -> dict[str, Any]:
    """What else was seen: the levels of memory that the growth is between, the energy counters, clock and heat."""
    counted = [(found, shot) for shot in shots if (found := shot.counted)]
    used = {
        "zones_mj": [found.zones_mj for found, _ in counted],
        "notes": list(dict.fromkeys(note for _, shot in counted for note in meters.notes(shot.response))),
        "safe_window_s": min((found.safe_s for found, _ in counted if found.safe_s), default=None),
    }
    return {
        "memory_kib": [shot.response["memory"] for shot in shots],
        "energy": shots[-1].response["energy"]["reason"] or used,
        "state": [shot.response["state"] for shot in shots],
        **shots[-1].response["facts"],
        "ratio_of": "lowest sample of each window",
    }
