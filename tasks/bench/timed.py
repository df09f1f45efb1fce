"""The measuring protocol for every device that the runner reaches: windows, interleaved, each in a fresh process."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tasks.bench import bound, judging, levels, meter_csv, meters, shots, stats, transport
from tasks.bench.device import Device, Processor
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.setup import Setup, accepted
from tasks.bench.shots import Shot
from tasks.bench.transport import Session
from tasks.errors import DeviceError
from tasks.intervals import turned
from tasks.records import Energy, Flag, Measurement, Operator, Phase, Split
from tasks.records.metrics import Kept
from tasks.scratch import scratch

log = logging.getLogger(__name__)
PROFILE_S = 1800.0
PHASES = 2  # the most that a scenario has, each for a whole window
RATIO_OF = "lowest sample of each window, among as many of both"


@dataclass(frozen=True)
class Plan:
    """How long to measure, in one mode."""

    windows: int
    window_s: float
    warmup_s: float
    min_runs: int
    warmup_runs: int = 10
    idle_s: float = 1.0  # only where there is an energy counter
    timeout_s: float = 900.0  # of one window beyond its phases: a slow model has its `min_runs` to make


PLANS = {  # six windows: the fewest whose pairs have an interval, and an even number, so that a steady drift cancels
    "quick": Plan(windows=6, window_s=0.15, warmup_s=0.1, min_runs=10, warmup_runs=5, idle_s=0.3),
    "full": Plan(windows=6, window_s=10.0, warmup_s=0.5, min_runs=100),
}


def setup_of(kind: str, device: Device, session: Session) -> Setup:
    """How the runtime of a kind of device is asked, for a device of that kind or one that has its runtime."""
    make = KINDS.load(kind).setup
    assert make, kind
    return make(device, session)


def opened(device: Device) -> AbstractContextManager[Setup] | None:
    """How the runtime of a device is asked for as long as the block runs; null of a kind that times nothing.

    Raises:
        UnsupportedError, DeviceError: within the block's beginning, as the kind's `measure`.
    """
    kind = KINDS.load(device.kind)
    if kind.opens is not None:
        return kind.opens(device)
    return nullcontext(kind.setup(device, transport.Local())) if kind.here and kind.setup else None


def measure(request: Request, setup: Setup) -> Result:
    """Interleave the reference's windows with the variant's as `intervals.turned` says, each in a fresh process.

    An emulated machine runs one window each, of which only the memory is kept.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference.
        DeviceError: a window crashed or did not end.
    """
    taken = shoot(request, setup)
    mine = [shot for shot in taken if shot.variant == request.variant]
    if mine[-1].emulated:
        return Result(_timeless(request, mine))
    fault = shots.fault(taken, starved=0 if setup.offloads else shots.STARVED)
    phases = {name: _phase(name, taken, request.variant, setup) for name in mine[-1].phases}
    phases = bound.told(request, setup, phases)
    paired = any(phase.ratio for phase in phases.values())
    measurement = request.result(
        status="invalid" if fault else "ok",
        reason=fault.said if fault else None,
        passing=bool(fault and fault.passing),
        reference=request.reference.card.variant if paired else None,
        phases=phases,
        memory=shots.memory(mine),
        flags=_flags(request, setup, phases, taken, kept=not fault),
        operators=_operators(request, setup),
        environment=mine[-1].answer.environment,
        details={"memory_kib": shots.memory_levels(mine), **mine[-1].answer.facts, "ratio_of": RATIO_OF},
    )
    return Result(measurement, {name: samples for k, shot in enumerate(taken) for name, samples in _samples(k, shot)})


def _phase(name: str, taken: Sequence[Shot], variant: str, setup: Setup) -> Phase:
    """The figures of one phase of a variant; where the reference has no such phase, there is no ratio."""
    both = [shot.phases[name] for shot in taken if name in shot.phases]
    own, theirs = ([each for each in both if (each.variant == variant) is mine] for mine in (True, False))
    samples, others = ([each.samples for each in side] for side in (own, theirs))
    window = own[-1].metered.window
    return Phase(
        unit=window.unit,
        volume=window.volume,
        latency=stats.latency(samples),
        ratio=stats.ratio(others, samples, window.period) if others else None,
        energy=shots.energy(own, theirs, setup.watts_per_core, offloads=setup.offloads),
        windows=tuple(each.window() for each in both),
        details=shots.details(own),
    )


def _samples(place: int, shot: Shot) -> Iterator[tuple[str, stats.Nanoseconds]]:
    """The raw samples of a shot, named by its place and variant; of several phases by theirs too."""
    for name, stretch in shot.phases.items():
        yield f"{place:02d}-{shot.variant}{f'-{name}' if len(shot.phases) > 1 else ''}", stretch.samples


def _flags(
    request: Request, setup: Setup, phases: Mapping[str, Phase], taken: Sequence[Shot], *, kept: bool
) -> list[Flag]:
    """What a reader of the figures must be wary of."""
    known = [(phase.latency, [w for w in phase.windows if w.variant == request.variant]) for phase in phases.values()]
    flags: dict[Flag, bool] = {
        "noisy": any(stats.noisy(latency) for latency, _ in known if latency),
        "crowded": not setup.offloads and any(stats.crowded(windows, latency) for latency, windows in known if latency),
        "drift": _drifted(request, taken, kept=kept),
    }
    return [flag for flag, is_set in flags.items() if is_set]


def _drifted(request: Request, taken: Sequence[Shot], *, kept: bool) -> bool:
    """Whether the reference ran at another level than before; where it counts, the level is kept for later runs.

    It tells nothing where it did not run, as beside what is driven in another way.
    """
    reference = [shot for shot in taken if shot.variant == request.reference.card.variant]
    if not reference:
        return False
    level_ms = stats.latency([shot.last.samples for shot in reference]).ms_p50
    key = levels.key(request, plan_of(request), reference[-1].answer.environment)
    drifted = levels.drifted(key, request.device.name, level_ms)
    if kept:
        levels.keep(key, request.device.name, level_ms, time.time())
    return drifted


def judge(request: Request, setup: Setup) -> Result:
    """Measure the pair, and answer the splits with the kernels that were timed.

    Raises:
        UnsupportedError, DeviceError: as `measure`.
    """
    return replace(measure(request, setup), kept=kept(request, setup))


def kept(request: Request, setup: Setup) -> dict[Split, Kept]:
    """What is kept of the device's own answers to each split of the request.

    Raises:
        UnsupportedError, DeviceError: as `measure`.
    """
    return {split: judging.kept(request.artifact, asked, setup)[0] for split, asked in request.splits.items()}


def plan_of(request: Request) -> Plan:
    """The mode's plan, with what params.yaml says instead."""
    given = request.protocol
    usual = PLANS[given.mode]
    return replace(usual, windows=given.windows or usual.windows, window_s=given.window_s or usual.window_s)


def shoot(request: Request, setup: Setup) -> list[Shot]:
    """Every window, in order."""
    plan = plan_of(request)
    both = [request.reference, request.artifact]
    paired = request.variant != request.reference.card.variant and len({each.card.scenario for each in both}) == 1
    artifacts = both if paired else both[1:]  # what is driven in another way has no phase in common
    models = [(artifact, setup.files(artifact)) for artifact in artifacts]
    with scratch("bench") as folder:
        samples = Path(folder, "samples.npz")
        taken: list[Shot] = []
        for turn in range(plan.windows):
            order = models[::-1] if turned(turn) else models
            taken += [shot(request, setup, *model, plan=plan, samples=samples) for model in order]
            if taken[-1].emulated:  # more windows say no more
                return taken
    if not _metered(request):
        return taken
    return shots.refilled(taken, meter_csv.filled)


def _metered(request: Request) -> bool:
    """Whether a meter beside the device tells the energy."""
    return isinstance(request.device, Processor) and request.device.meter == "external"


def shot(
    request: Request,
    setup: Setup,
    artifact: Artifact,
    files: dict[str, Path],
    *,
    plan: Plan,
    samples: Path,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Shot:
    """One window of each phase, in a process of its own.

    Args:
        request: what is measured, and by what examples.
        setup: how the runtime is asked.
        artifact: that of the two which is driven.
        files: what the runner reads beside the examples.
        plan: for how long.
        samples: where the raw ones are put meanwhile.
        more: what the runner is asked beside the usual.

    Raises:
        UnsupportedError: the runtime refuses it.
        DeviceError: the window crashed or did not end.
    """
    keys = ("window_s", "warmup_s", "min_runs", "warmup_runs", "idle_s")
    ask = {
        **setup.ask("time", artifact),
        **({"new_tokens": request.protocol.new_tokens} if artifact.card.scenario == "generate" else {}),
        "energy": meters.EXTERNAL if _metered(request) else setup.energy,
        **{key: getattr(plan, key) for key in keys},
        **more,
    }
    answer = setup.session.run(
        ask,
        files | {"inputs": request.inputs},
        {"samples": samples},
        timeout_s=plan.timeout_s + PHASES * plan.window_s,
    )
    accepted(artifact.card.variant, answer)
    with np.load(samples, allow_pickle=False) as arrays:
        return shots.taken(artifact.card.variant, answer, dict(arrays))


def _timeless(request: Request, taken: list[Shot]) -> Measurement:
    """The record of an emulated machine: no figure that hangs from a clock."""
    memory = shots.memory(taken)
    return request.result(
        status="ok",
        memory=memory and memory.model_copy(update={"what": f"{memory.what}, the emulator's own included"}),
        energy=Energy(kind="none", reason="emulated: its time means nothing"),
        environment=taken[-1].answer.environment,
        details={"memory_kib": shots.memory_levels(taken), **taken[-1].answer.facts},
    )


def _operators(request: Request, setup: Setup) -> tuple[Operator, ...]:
    """What ran each operator; a runtime that fails to say so spoils no measurement."""
    if not setup.profiles:
        return ()
    files = {**setup.files(request.artifact), "inputs": request.inputs}
    try:
        answer = setup.session.run(setup.ask("profile", request.artifact), files, {}, timeout_s=PROFILE_S)
    except DeviceError as error:
        log.warning("%s: no profile: %s", request.variant, error)
        return ()
    return tuple(Operator(**vars(operator)) for operator in answer.operators)
