"""Stage `benchmark`: measure one variant on one device."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tasks import paths, track
from tasks.bench import devices, locks
from tasks.bench.judging import questions
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request, Result, made_in
from tasks.bench.setup import NO_STATE
from tasks.errors import InvalidError, UnsupportedError
from tasks.examples import Examples, dataset, first, save_inputs
from tasks.examples.dataset import LABEL
from tasks.files import replaced
from tasks.params import Params, Protocol
from tasks.quality.score import grade, metric_of
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
    if kind.own_kernels:
        examples = {split: dataset.load(split) for split in splits}
    else:
        examples = {splits[-1]: dataset.load(splits[-1], EXAMPLES)}
    with scratch("inputs") as folder:
        inputs = folder / "inputs.npz"
        save_inputs(inputs, first(examples[splits[-1]], EXAMPLES))
        name = metric_of(examples[splits[-1]], metric) if kind.own_kernels else None
        asked = {split: questions(folder, split, each, name) for split, each in examples.items()} if name else {}
        request = Request(made, reference, found, protocol, inputs, asked)
        # estimates may run beside each other and beside training, but none of that beside a measurement
        with locks.hold(kind.lock(found), exclusive=kind.measures):
            if kind.measures:
                track.settle()  # curves of a training that has just ended may still be on their way
            result = _attempt(request)
    return _graded(result, examples, name) if name else result


def _attempt(request: Request) -> Result:
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
    return replace(result, measurement=measurement)


def _graded(result: Result, examples: Mapping[Split, Examples], metric: str) -> Result:
    """The result, and its scores."""
    kept = result.kept.items()
    try:
        scores = [grade(each, examples[split].targets[LABEL], "default", split, metric) for split, each in kept]
    except InvalidError as error:
        told: dict[str, Any] = {"status": "invalid", "reason": str(error)}
    else:
        told = {"scores": tuple(scores)}
    return replace(result, measurement=result.measurement.model_copy(update=told))
