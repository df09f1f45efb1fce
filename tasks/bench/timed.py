"""The measuring protocol for every device that the runner reaches: windows, interleaved, each in a fresh process."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks.bench import external, levels, meters, shots, stats
from tasks.bench.devices import Device, Processor
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.shots import Shot
from tasks.bench.transport import Session
from tasks.errors import DeviceError, UnsupportedError
from tasks.intervals import turned
from tasks.records import Energy, Flag, Latency, Measurement, Operator, Split, judged
from tasks.scratch import scratch

log = logging.getLogger(__name__)
PREDICT_S = 1800.0  # a whole split


@dataclass(frozen=True)
class Plan:
    """How long to measure, in one mode."""

    windows: int
    window_s: float
    warmup_s: float
    min_runs: int
    warmup_runs: int = 10
    idle_s: float = 1.0  # only where there is an energy counter
    timeout_s: float = 900.0  # of one window: a slow model has its `min_runs` to make


PLANS = {  # six windows: the fewest whose pairs have an interval, and an even number, so that a steady drift cancels
    "quick": Plan(windows=6, window_s=0.15, warmup_s=0.1, min_runs=10, warmup_runs=5, idle_s=0.3),
    "full": Plan(windows=6, window_s=10.0, warmup_s=0.5, min_runs=100),
}


@dataclass(frozen=True)
class Setup:
    """How a kind of device runs artifacts."""

    session: Session
    runtime: str  # a module of the runner
    options: dict[str, Any]  # the runtime's
    energy: dict[str, str]  # sources of readings, see the runner's `counters.find`
    watts_per_core: tuple[float, float, float]  # low, nominal, high: for an estimate where no counter can be read
    model: Callable[[Artifact], Path] = lambda artifact: artifact.path  # the file that the runtime takes
    profiles: bool = False  # whether the runtime can say how long each operator takes
    describe: bool = False  # whether the runtime must be told of the artifact's inputs and outputs
    offloads: bool = False  # whether another processor computes, while the process that is timed may sleep

    def ask(self, action: str, artifact: Artifact) -> dict[str, Any]:
        """What every request to the runner about an artifact holds."""
        card, options = artifact.card, dict(self.options)
        if self.describe:
            sides = {"inputs": card.inputs, "outputs": card.outputs}
            options |= {side: [tensor.model_dump() for tensor in tensors] for side, tensors in sides.items()}
        return {"action": action, "runtime": self.runtime, "options": options}


def setup_of(kind: str, device: Device, session: Session) -> Setup:
    """How the runtime of a kind of device is asked, for a device of that kind or one that has its runtime."""
    make = KINDS.load(kind).setup
    assert make, kind
    return make(device, session)


def measure(request: Request, setup: Setup) -> Result:
    """Interleave the reference's windows with the variant's as `intervals.turned` says, each in a fresh process.

    An emulated machine runs one window each, of which only the memory is kept.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference.
        DeviceError: a window crashed or did not end.
    """
    taken = shoot(request, setup)
    mine = [shot for shot in taken if shot.variant == request.variant]
    others = [shot for shot in taken if shot.variant != request.variant]
    if mine[-1].emulated:
        return Result(_timeless(request, mine))
    starved = 0 if setup.offloads else shots.STARVED
    fault = next((fault for shot in taken if (fault := shot.fault(starved=starved))), None)
    latency = stats.latency([shot.samples for shot in mine])
    ratio = stats.ratio([shot.samples for shot in others], [shot.samples for shot in mine]) if others else None
    measurement = request.result(
        status="invalid" if fault else "ok",
        reason=fault,
        reference=request.reference.card.variant if ratio else None,
        latency=latency,
        ratio=ratio,
        memory=shots.memory(mine),
        energy=shots.energy(mine, others, setup.watts_per_core, offloads=setup.offloads),
        flags=_flags(request, setup, mine, others or mine, latency, kept=not fault),
        windows=[shot.window() for shot in taken],
        operators=_operators(request, setup),
        environment=mine[-1].response["environment"],
        details=shots.details(mine),
    )
    return Result(measurement, {f"{i:02d}-{shot.variant}": shot.samples for i, shot in enumerate(taken)})


def _flags(
    request: Request, setup: Setup, mine: list[Shot], reference: list[Shot], latency: Latency, *, kept: bool
) -> list[Flag]:
    """What a reader of the figures must be wary of; where they count, the reference's level is kept for later runs."""
    level_ms = stats.latency([shot.samples for shot in reference]).ms_p50
    key = levels.key(request, plan_of(request), reference[-1].response["environment"])
    flags: dict[Flag, bool] = {
        "noisy": stats.noisy(latency),
        "crowded": not setup.offloads and stats.crowded([shot.window() for shot in mine], latency),
        "drift": levels.drifted(key, request.device.name, level_ms),
    }
    if kept:
        levels.keep(key, request.device.name, level_ms, time.time())
    return [flag for flag, is_set in flags.items() if is_set]


def judge(request: Request, setup: Setup) -> Result:
    """Measure the pair, and answer the splits with the kernels that were timed.

    Raises:
        UnsupportedError, DeviceError: as `measure`.
    """
    return replace(measure(request, setup), outputs=outputs(request, setup))


def outputs(request: Request, setup: Setup) -> dict[Split, Any]:
    """What the device itself answers: the artifact's judged output, float32 [n, ...], for each split of the request.

    Raises:
        UnsupportedError, DeviceError: as `measure`.
    """
    found: dict[Split, Any] = {}
    model = setup.model(request.artifact)
    with scratch("bench") as folder:
        for split, inputs in request.splits.items():
            path = Path(folder, "outputs.npz")
            ask, files = setup.ask("predict", request.artifact), {"model": model, "inputs": inputs}
            response = setup.session.run(ask, files, {"outputs": path}, timeout_s=PREDICT_S)
            _accepted(request.variant, response)
            with np.load(path, allow_pickle=False) as arrays:
                found[split] = arrays[_judged(request, arrays.files)]
    return found


def _judged(request: Request, given: list[str]) -> str:
    """What the runtime calls the output that is judged; the only one it has, whatever its name."""
    name = judged(request.artifact.card.outputs)
    if name not in given and len(given) != 1:
        raise DeviceError(f"{request.variant}: the runtime gives {', '.join(given)}; {name} is judged, and not there")
    return name if name in given else given[0]


def plan_of(request: Request) -> Plan:
    """The mode's plan, with what params.yaml says instead."""
    given = request.protocol
    usual = PLANS[given.mode]
    return replace(usual, windows=given.windows or usual.windows, window_s=given.window_s or usual.window_s)


def shoot(request: Request, setup: Setup) -> list[Shot]:
    """Every window, in order."""
    plan = plan_of(request)
    both = [request.reference, request.artifact]
    artifacts = both if request.variant != request.reference.card.variant else both[1:]
    models = [(artifact, setup.model(artifact)) for artifact in artifacts]
    with scratch("bench") as folder:
        samples = Path(folder, "samples.npy")
        taken: list[Shot] = []
        for turn in range(plan.windows):
            order = models[::-1] if turned(turn) else models
            taken += [_shot(request, setup, *model, plan=plan, samples=samples) for model in order]
            if taken[-1].emulated:  # more windows say no more
                return taken
    if not _metered(request):
        return taken
    responses = external.filled([shot.response for shot in taken])
    return [replace(shot, response=response) for shot, response in zip(taken, responses, strict=True)]


def _metered(request: Request) -> bool:
    """Whether a meter beside the device tells the energy."""
    return isinstance(request.device, Processor) and request.device.meter == "external"


def _shot(request: Request, setup: Setup, artifact: Artifact, model: Path, *, plan: Plan, samples: Path) -> Shot:
    keys = ("window_s", "warmup_s", "min_runs", "warmup_runs", "idle_s")
    ask = {
        **setup.ask("time", artifact),
        "energy": meters.EXTERNAL if _metered(request) else setup.energy,
        **{key: getattr(plan, key) for key in keys},
    }
    files = {"model": model, "inputs": request.inputs}
    response = setup.session.run(ask, files, {"samples": samples}, timeout_s=plan.timeout_s + plan.window_s)
    _accepted(artifact.card.variant, response)
    return Shot(artifact.card.variant, response, np.load(samples, allow_pickle=False))


def _timeless(request: Request, taken: list[Shot]) -> Measurement:
    """The record of an emulated machine: no figure that hangs from a clock."""
    memory = shots.memory(taken)
    return request.result(
        status="ok",
        memory=memory and memory.model_copy(update={"what": f"{memory.what}, the emulator's own included"}),
        energy=Energy(kind="none", reason="emulated: its time means nothing"),
        environment=taken[-1].response["environment"],
        details={"memory_kib": [shot.response["memory"] for shot in taken], **taken[-1].response["facts"]},
    )


def _accepted(variant: str, response: dict[str, Any]) -> None:
    if response["status"] == "unsupported":
        raise UnsupportedError(f"{variant}: the runtime refuses it: {response['reason']}")


def _operators(request: Request, setup: Setup) -> tuple[Operator, ...]:
    """What ran each operator; a runtime that fails to say so spoils no measurement."""
    if not setup.profiles:
        return ()
    files = {"model": setup.model(request.artifact), "inputs": request.inputs}
    try:
        response = setup.session.run(setup.ask("profile", request.artifact), files, {}, timeout_s=PREDICT_S)
    except DeviceError as error:
        log.warning("%s: no profile: %s", request.variant, error)
        return ()
    return tuple(Operator.model_validate(operator) for operator in response.get("operators", ()))
