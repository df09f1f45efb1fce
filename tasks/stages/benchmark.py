"""Stage `benchmark`: measure one variant on one device."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks import paths, track
from tasks.bench import devices, locks
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request, Result, made_in
from tasks.bench.setup import NO_STATE
from tasks.errors import InvalidError, UnsupportedError
from tasks.examples import dataset, first, save_inputs
from tasks.files import replaced
from tasks.params import Params, Protocol
from tasks.quality.score import score
from tasks.records import Split
from tasks.scratch import scratch

EXAMPLES = 32  # that a window cycles over


def benchmark(params: Params, variant: str, device: str) -> None:
    """Write `out/benchmarks/<variant>@<device>.json` and, beside it, the raw samples (none for an estimate).

    A variant that cannot run on the device is a result, of status `unsupported`.

    Raises:
        DeviceError: the device failed; the flow tries once more.
        DataError, ParamsError: an input of the stage is missing or wrong.
    """
    record, raw = paths.benchmark(variant, device), paths.samples(variant, device)
    for old in (record, raw):  # should this fail, what they say is of an older artifact or machine
        old.unlink(missing_ok=True)
    result = _measure(params, variant, device)
    with replaced(raw) as path, path.open("wb") as file:
        np.savez_compressed(file, **result.samples)
    result.measurement.save(record)


def _measure(params: Params, variant: str, device: str) -> Result:
    made, reference = (made_in(paths.artifact(name)) for name in (variant, params.benchmark.reference))
    return measure(made, reference, device, params.benchmark.protocol, ("validation", "test"), params.metric)


def measure(
    made: Artifact,
    reference: Artifact,
    device: str,
    protocol: Protocol,
    splits: tuple[Split, ...],
    metric: str | None = None,
) -> Result:
    """One pair, wherever its files lie; it waits until the machine, or the device, is free.

    Args:
        made: what is measured.
        reference: what its latency is compared with.
        device: its name.
        protocol: how long is measured.
        splits: that a device's own kernels are judged on; the first examples of the last one are timed.
        metric: by which; None: what is usual for the data.

    Raises:
        DeviceError, DataError, ParamsError: as `benchmark`.
    """
    found = devices.load(device)
    kind = KINDS.load(found.kind)
    with scratch("inputs") as folder:
        request = Request(
            artifact=made,
            reference=reference,
            device=found,
            protocol=protocol,
            inputs=_inputs(folder, splits[-1]),
            splits=_splits(folder, splits) if kind.own_kernels else {},
        )
        # estimates may run beside each other and beside training, but none of that beside a measurement
        with locks.hold(kind.lock(found), exclusive=kind.measures):
            if kind.measures:
                track.settle()  # curves of a training that has just ended may still be on their way
            return _attempt(request, metric)


def _attempt(request: Request, metric: str | None) -> Result:
    kind = KINDS.load(request.device.kind)
    reason = devices.usable(request.device)
    if request.artifact.card.scenario == "generate" and not kind.generates:
        reason = NO_STATE
    if reason:
        return Result(request.result(status="unsupported", reason=reason))
    began_ms = time.time_ns() // 1_000_000
    try:
        result = kind.measure(request)
    except UnsupportedError as error:
        return Result(request.result(status="unsupported", reason=str(error)))
    except InvalidError as error:
        return Result(request.result(status="invalid", reason=str(error)))
    measurement = result.measurement
    if measurement.windows:
        times = {"began_ms": began_ms, "ended_ms": time.time_ns() // 1_000_000}
        measurement = measurement.model_copy(update=times)
    try:
        scores = [
            score(outputs, dataset.load(split), "default", split, metric) for split, outputs in result.outputs.items()
        ]
    except InvalidError as error:
        fault = {"status": "invalid", "reason": str(error)}
        return replace(result, measurement=measurement.model_copy(update=fault))
    return replace(result, measurement=measurement.model_copy(update={"scores": tuple(scores)}))


def _inputs(folder: Path, split: Split) -> Path:
    """The examples to time with: the file is read by the runner."""
    path = folder / "inputs.npz"
    save_inputs(path, first(dataset.load(split), EXAMPLES))
    return path


def _splits(folder: Path, splits: tuple[Split, ...]) -> dict[Split, Path]:
    """Every example of the splits that a device's own kernels are judged on."""
    found: dict[Split, Path] = {split: folder / f"{split}.npz" for split in splits}
    for split, path in found.items():
        save_inputs(path, dataset.load(split))
    return found
