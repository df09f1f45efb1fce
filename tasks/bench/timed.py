"""The measuring protocol for every device that the runner reaches: windows, interleaved, each in a fresh process."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tasks import paths
from tasks.bench import external, meters, stats
from tasks.bench.targets import Artifact, Request, Result
from tasks.bench.transport import Session
from tasks.devices import Processor
from tasks.errors import DeviceError, UnsupportedError
from tasks.files import write_text
from tasks.records import Energy, Measurement, Memory, Operator, Split, Window, judged

log = logging.getLogger(__name__)
STEPS_MS = 0.001  # a median below this is the clock's own cost
STARVED = 0.25  # of one processor: below, the process mostly waited for its turn
CLOCK_SHARE, CLOCK_S = 0.01, 0.05  # of a window, and beside that: how far two clocks may part in it
KEPT_LEVELS = 200
PREDICT_S = 1800.0  # a whole split
MEMORY = "growth of the process's peak resident memory from before the model is loaded to after its first inference"


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


PLANS = {
    "quick": Plan(windows=3, window_s=0.3, warmup_s=0.1, min_runs=20, idle_s=0.3),
    "full": Plan(windows=5, window_s=10.0, warmup_s=0.5, min_runs=100),
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


@dataclass(frozen=True)
class Shot:
    """One window: what the runner answered, and the nanoseconds of each inference."""

    variant: str
    response: dict[str, Any]
    samples: stats.Nanoseconds


def measure(request: Request, setup: Setup) -> Result:
    """Interleave the reference's windows with the variant's, R V R V …, each in a fresh process.

    An emulated machine runs one window each, of which only the memory is kept.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference.
        DeviceError: a window crashed or did not end.
    """
    shots = shoot(request, setup)
    mine = [shot for shot in shots if shot.variant == request.variant]
    others = [shot for shot in shots if shot.variant != request.variant]
    if _emulated(shots):
        return Result(_timeless(request, mine))
    fault = next((fault for shot in shots if (fault := _fault(shot, starved=0 if setup.offloads else STARVED))), None)
    latency = stats.latency([shot.samples for shot in mine])
    ratio = stats.ratio([shot.samples for shot in others], [shot.samples for shot in mine]) if others else None
    drift = _drift(request, stats.latency([shot.samples for shot in others or mine]).ms_p50)
    measurement = request.result(
        status="invalid" if fault else "ok",
        reason=fault,
        reference=request.reference.card.variant if ratio else None,
        latency=latency,
        ratio=ratio,
        memory=_memory(mine),
        energy=_energy(setup, mine),
        flags=[flag for flag, is_set in {"noisy": stats.noisy(latency), "drift": drift}.items() if is_set],
        windows=[_window(shot) for shot in shots],
        operators=_operators(request, setup),
        environment=mine[-1].response["environment"],
        details=_details(mine),
    )
    return Result(measurement, {f"{i:02d}-{shot.variant}": shot.samples for i, shot in enumerate(shots)})


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
    model, name = setup.model(request.artifact), judged(request.artifact.card.outputs)
    with TemporaryDirectory(prefix="tercet-bench-") as folder:
        for split, inputs in request.splits.items():
            path = Path(folder, "outputs.npz")
            ask, files = setup.ask("predict", request.artifact), {"model": model, "inputs": inputs}
            response = setup.session.run(ask, files, {"outputs": path}, timeout_s=PREDICT_S)
            _accepted(request.variant, response)
            with np.load(path, allow_pickle=False) as arrays:
                found[split] = arrays[name if name in arrays.files else arrays.files[0]]
    return found


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
    with TemporaryDirectory(prefix="tercet-bench-") as folder:
        samples = Path(folder, "samples.npy")
        shots: list[Shot] = []
        for _ in range(plan.windows):
            shots += [_shot(request, setup, *model, plan=plan, samples=samples) for model in models]
            if _emulated(shots):  # more windows say no more
                return shots
    if not _metered(request):
        return shots
    responses = external.filled([shot.response for shot in shots])
    return [replace(shot, response=response) for shot, response in zip(shots, responses, strict=True)]


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


def _emulated(shots: list[Shot]) -> bool:
    return any(shot.response["environment"].get("emulated") for shot in shots)


def _timeless(request: Request, shots: list[Shot]) -> Measurement:
    """The record of an emulated machine: no figure that hangs from a clock."""
    memory = _memory(shots)
    return request.result(
        status="ok",
        memory=memory and memory.model_copy(update={"what": f"{MEMORY}, the emulator's own included"}),
        energy=Energy(kind="none", reason="emulated: its time means nothing"),
        environment=shots[-1].response["environment"],
        details={"memory_kib": [shot.response["memory"] for shot in shots], **shots[-1].response["facts"]},
    )


def _accepted(variant: str, response: dict[str, Any]) -> None:
    if response["status"] == "unsupported":
        raise UnsupportedError(f"{variant}: the runtime refuses it: {response['reason']}")


def _fault(shot: Shot, *, starved: float) -> str | None:
    """Why a window is no measurement."""
    p50, share = stats.ms(shot.samples, 50), shot.response["cpu_s"] / shot.response["seconds"]
    if p50 < STEPS_MS:
        return f"{shot.variant}: {p50 * 1e6:.0f} ns per inference is no more than the clock itself takes"
    if share < starved:
        return f"{shot.variant}: the process had a processor for only {share:.0%} of a window; the machine is too busy"
    jump_s = _jump_s(shot)
    if abs(jump_s) > CLOCK_SHARE * shot.response["seconds"] + CLOCK_S:
        return f"{shot.variant}: the clock jumped by {jump_s:+.3g} s in a window of {shot.response['seconds']:.3g} s"
    return None


def _jump_s(shot: Shot) -> float:
    """What the clock of the epoch went through in the window beyond the one that only rises."""
    start, end = shot.response["energy"]["window"]
    return float((end["epoch_ns"] - start["epoch_ns"]) - (end["ns"] - start["ns"])) / 1e9


def _window(shot: Shot) -> Window:
    response, energy = shot.response, _counted(shot)
    return Window(
        variant=shot.variant,
        runs=response["runs"],
        seconds=response["seconds"],
        ms_p10=stats.ms(shot.samples, 10),
        ms_p50=stats.ms(shot.samples, 50),
        ms_mean=float(shot.samples.mean()) / 1e6,
        cpu_ms_mean=response["cpu_s"] * 1e3 / response["runs"],
        load_ms=response["load_ms"],
        first_ms=response["first_ms"],
        peak_memory_kib=_growth_kib(shot),
        energy_mj=energy.gross_mj if energy else None,
        idle_w=energy.idle_w if energy else None,
        active_w=energy.active_w if energy else None,
    )


def _counted(shot: Shot) -> meters.WindowEnergy | None:
    energy = shot.response["energy"]
    return meters.window_energy(shot.response) if energy["zones"] and not energy["reason"] else None


def _growth_kib(shot: Shot) -> int | None:
    before, peak = (shot.response["memory"][key] for key in ("before_kib", "peak_kib"))
    return peak - before if before is not None and peak is not None else None


def _memory(shots: list[Shot]) -> Memory | None:
    grown = [kib for kib in map(_growth_kib, shots) if kib is not None]
    return Memory(provenance="measured", peak_kib=median(grown), what=MEMORY) if grown else None


def _energy(setup: Setup, shots: list[Shot]) -> Energy:
    if all(shot.response["energy"]["zones"] for shot in shots):
        return meters.counted([shot.response for shot in shots])
    if setup.offloads:  # the processor's time tells nothing of what the other one used
        return Energy(kind="none", reason=shots[-1].response["energy"]["reason"])
    cpu_ms = median(shot.response["cpu_s"] * 1e3 / shot.response["runs"] for shot in shots)
    return meters.cpu_time_estimate(cpu_ms, setup.watts_per_core)


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


def _details(shots: list[Shot]) -> dict[str, Any]:
    """What else was seen: the levels of memory that the growth is between, the energy counters, clock and heat."""
    counted = [(energy, shot) for shot in shots if (energy := _counted(shot))]
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
        "ratio_of": "lowest sample of each side",
    }


def _drift(request: Request, level_ms: float) -> bool:
    """Whether the reference runs at another level than before; the level is kept for the next time."""
    path = paths.STATE / "levels" / f"{request.device.name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    key = [request.reference.card.sha256, request.protocol.mode]
    levels = [json.loads(line) for line in lines]
    earlier = [level["ms_p50"] for level in levels if level["key"] == key]
    lines.append(json.dumps({"key": key, "ms_p50": level_ms}))
    write_text(path, "\n".join(lines[-KEPT_LEVELS:]) + "\n")
    return stats.drifted(level_ms, earlier)
