"""The measuring protocol for every device that the runner reaches: windows, interleaved, each in a fresh process."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tasks import paths
from tasks.bench import meters, stats
from tasks.bench.targets import Artifact, Request, Result
from tasks.bench.transport import Session
from tasks.errors import UnsupportedError
from tasks.files import write_text
from tasks.records import Energy, Memory, Split, Window

STEPS_MS = 0.001  # a median below this is the clock's own cost
STARVED = 0.25  # of one processor: below, the process mostly waited for its turn
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
    model: Callable[[Artifact], Path]  # the file that the runtime takes, made from the artifact where it must be


@dataclass(frozen=True)
class Shot:
    """One window: what the runner answered, and the nanoseconds of each inference."""

    variant: str
    response: dict[str, Any]
    samples: stats.Nanoseconds


def measure(request: Request, setup: Setup) -> Result:
    """Interleave the reference's windows with the variant's, R V R V …, each in a fresh process.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference.
        DeviceError: a window crashed or did not end.
    """
    shots = shoot(request, setup)
    mine = [shot for shot in shots if shot.variant == request.variant]
    others = [shot for shot in shots if shot.variant != request.variant]
    fault = next((fault for fault in map(_fault, shots) if fault), None)
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
        environment=mine[-1].response["environment"],
        details=_details(mine),
    )
    return Result(measurement, {f"{i:02d}-{shot.variant}": shot.samples for i, shot in enumerate(shots)})


def outputs(request: Request, setup: Setup) -> dict[Split, Any]:
    """What the device itself answers: the artifact's first output, float32 [n, ...], for each split of the request.

    Raises:
        UnsupportedError, DeviceError: as `measure`.
    """
    found: dict[Split, Any] = {}
    model, name = setup.model(request.artifact), request.artifact.card.outputs[0].name
    with TemporaryDirectory(prefix="tercet-bench-") as folder:
        for split, inputs in request.splits.items():
            path = Path(folder, "outputs.npz")
            ask = {"action": "predict", "runtime": setup.runtime, "options": setup.options}
            files = {"model": model, "inputs": inputs}
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
    models = [(artifact.card.variant, setup.model(artifact)) for artifact in artifacts]
    with TemporaryDirectory(prefix="tercet-bench-") as folder:
        samples = Path(folder, "samples.npy")
        return [
            _shot(request, setup, *model, plan=plan, samples=samples) for _ in range(plan.windows) for model in models
        ]


def _shot(request: Request, setup: Setup, variant: str, model: Path, *, plan: Plan, samples: Path) -> Shot:
    keys = ("window_s", "warmup_s", "min_runs", "warmup_runs", "idle_s")
    ask = {
        "action": "time",
        "runtime": setup.runtime,
        "options": setup.options,
        "energy": setup.energy,
        **{key: getattr(plan, key) for key in keys},
    }
    files = {"model": model, "inputs": request.inputs}
    response = setup.session.run(ask, files, {"samples": samples}, timeout_s=plan.timeout_s + plan.window_s)
    _accepted(variant, response)
    return Shot(variant, response, np.load(samples, allow_pickle=False))


def _accepted(variant: str, response: dict[str, Any]) -> None:
    if response["status"] == "unsupported":
        raise UnsupportedError(f"{variant}: the runtime refuses it: {response['reason']}")


def _fault(shot: Shot) -> str | None:
    """Why a window is no measurement."""
    p50, share = stats.ms(shot.samples, 50), shot.response["cpu_s"] / shot.response["seconds"]
    if p50 < STEPS_MS:
        return f"{shot.variant}: {p50 * 1e6:.0f} ns per inference is no more than the clock itself takes"
    if share < STARVED:
        return f"{shot.variant}: the process had a processor for only {share:.0%} of a window; the machine is too busy"
    return None


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
    return meters.window_energy(shot.response) if shot.response["energy"]["zones"] else None


def _growth_kib(shot: Shot) -> int | None:
    before, peak = (shot.response["memory"][key] for key in ("before_kib", "peak_kib"))
    return peak - before if before is not None and peak is not None else None


def _memory(shots: list[Shot]) -> Memory | None:
    grown = [kib for kib in map(_growth_kib, shots) if kib is not None]
    return Memory(provenance="measured", peak_kib=median(grown), what=MEMORY) if grown else None


def _energy(setup: Setup, shots: list[Shot]) -> Energy:
    if all(shot.response["energy"]["zones"] for shot in shots):
        return meters.counted([shot.response for shot in shots])
    cpu_ms = median(shot.response["cpu_s"] * 1e3 / shot.response["runs"] for shot in shots)
    return meters.cpu_time_estimate(cpu_ms, setup.watts_per_core)


def _details(shots: list[Shot]) -> dict[str, Any]:
    """What else was seen: the levels of memory that the growth is between, and what became of the energy counters."""
    counted = [energy for energy in map(_counted, shots) if energy]
    zones = [{**energy.zones_mj} for energy in counted]
    return {
        "memory_kib": [shot.response["memory"] for shot in shots],
        "energy": shots[-1].response["energy"]["reason"] or {"zones_mj": zones},
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
