"""One pair of a variant and a device, measured: whatever the kind, the same examples, locks and grades."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tasks.bench import devices, locks
from tasks.bench.judging import questions
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.setup import NO_STATE
from tasks.errors import InvalidError, UnsupportedError
from tasks.examples import Examples, dataset, first, save_inputs
from tasks.examples.dataset import LABEL
from tasks.formats import scales
from tasks.formats.schemes import SCHEMES
from tasks.params import Protocol
from tasks.published.beside import beside
from tasks.quality.score import grade, metric_of
from tasks.records import Split
from tasks.scratch import scratch

EXAMPLES = 32  # that a window cycles over


def measure(
    made: Artifact,
    reference: Artifact,
    device: str,
    protocol: Protocol,
    splits: tuple[Split, ...],
    metric: str | None = None,
    settle: Callable[[], None] = lambda: None,
) -> Result:
    """One pair, wherever its files lie; it waits until the machine, or the device, is free.

    Args:
        made: what is measured.
        reference: what its latency is compared with.
        device: its name.
        protocol: how long is measured.
        splits: that a device's own kernels are judged on; the first examples of the last one are timed.
        metric: by which; None: what is usual for the data.
        settle: waits, once the device is held, until what this process still does beside it is over.

    Raises:
        DeviceError: the device failed.
        DataError, ParamsError: the examples or the device's file are missing or wrong.
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
        asked = (
            {split: questions(folder, split, each, name, reference) for split, each in examples.items()} if name else {}
        )
        request = Request(made, reference, found, protocol, inputs, asked)
        # estimates may run beside each other and beside training, but none of that beside a measurement
        with locks.hold(kind.lock(found), exclusive=kind.measures):
            if kind.measures:
                settle()  # curves of a training that has just ended may still be on their way
            result = _attempt(request)
    result = _with_scales(_with_published(result, request), request)
    return _graded(result, examples, name) if name else result


def _with_published(result: Result, request: Request) -> Result:
    """The same, with what others have published of this network on this board."""
    board, card = request.device.board, request.artifact.card
    if board is None or card.scenario != "single":
        return result
    found = beside(request.artifact.path, card.scheme, board)
    return replace(result, measurement=result.measurement.model_copy(update={"published": found}))


def _with_scales(result: Result, request: Request) -> Result:
    """The same, with how the scales of its weights are shared, where the device wants that in one way."""
    wants = request.device.granularity
    has = scales.granularity(request.artifact.path) if wants else None
    if has is None:
        return result
    details = {**result.measurement.details, "scales": {"has": has, "wants": wants}}
    return replace(result, measurement=result.measurement.model_copy(update={"details": details}))


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
        return Result(request.result(status="unsupported", reason=_refusal(request, str(error))))
    except InvalidError as error:
        return Result(request.result(status="invalid", reason=str(error)))
    measurement = result.measurement
    if measurement.windows:
        times = {"began_ms": began_ms, "ended_ms": time.time_ns() // 1_000_000}
        measurement = measurement.model_copy(update=times)
    return replace(result, measurement=measurement)


def _refusal(request: Request, said: str) -> str:
    """Why a pair cannot run: first whether it is for its scheme, then in the words of who refused it."""
    card, runtime = request.artifact.card, getattr(request.device, "runtime", request.device.kind)
    known = KINDS.load(runtime).schemes
    if not known or card.scheme in known or SCHEMES.load(card.scheme).converts is None:
        return said
    said = said.removeprefix(f"{card.variant}: ")
    return f"{card.scheme} is none of the schemes that {runtime} is known to run ({', '.join(known)}): {said}"


def _graded(result: Result, examples: Mapping[Split, Examples], metric: str) -> Result:
    """The result, and its scores."""
    kept = result.kept.items()
    try:
        scores = [grade(each, examples[split].targets[LABEL], "default", split, metric) for split, each in kept]
    except InvalidError as error:
        told: dict[str, Any] = {"status": "invalid", "reason": str(error), "passing": False}
    else:
        told = {"scores": tuple(scores)}
    return replace(result, measurement=result.measurement.model_copy(update=told))
