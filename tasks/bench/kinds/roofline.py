"""Hardware that is known by its datasheet alone: the range that its peak figures predict. Nothing is executed.

The roofline model (S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009), operator by operator: none ends before its operations are computed at the
peak rate of the variant's precision, nor before its bytes have crossed the memory bus. Where its file names `kernels`
that figures of its board are published of, the range comes from those: the peaks then say only what it waits for.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.bench import by_published, shipping
from tasks.bench.by_published import Published, Written
from tasks.bench.device import Device, Watts
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact, Foretold, Request, Result
from tasks.bench.runner import prompts
from tasks.bench.setup import Shipped
from tasks.errors import UnsupportedError
from tasks.formats import cost
from tasks.formats.schemes import SCHEMES, Precision
from tasks.params.section import Name
from tasks.published import language, table
from tasks.published.beside import numeric
from tasks.published.estimate import Kernels
from tasks.published.table import FLOATS, INTEGERS
from tasks.records import Energy, Latency, Operator, Phase
from tasks.records.figures import DECODE, INFERENCE, PREFILL

STAND_IN = "LiteRT's default kernels on the host"
VIEWS = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}  # move nothing


class Roofline(Device):
    """Hardware known by its datasheet alone: what its peak figures allow."""

    peak_gops: dict[Precision, Annotated[float, Field(gt=0)]]  # operations, 2 per MAC
    bandwidth_gb_s: Annotated[float, Field(gt=0)]
    idle_w: Watts | None = None  # with peak_w; None: nobody tells it
    peak_w: Watts | None = None
    efficiency_low: Annotated[float, Field(gt=0, le=1)]  # share of both peaks that a poor run still reaches
    overhead_us_per_operator: Annotated[float, Field(ge=0)]  # in a poor run: dispatch, launch, synchronisation
    datasheet: str  # which says so
    measured_as: Name | None = None  # the device of the catalog that is this hardware, measured
    kernels: Published | None = None  # of those published on its board: what its time is estimated from, not its peaks
    threads: Annotated[int, Field(ge=1)] = 1  # of these kernels
    language: Written | None = None  # likewise a runtime of language models: what a token takes, by the bytes it reads

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        if not self.peak_gops:
            raise ValueError("peak_gops: no precision is named; one of float32, float16, int8 is needed")
        if (self.idle_w is None) != (self.peak_w is None):
            raise ValueError("idle_w, peak_w: received one of them; a range needs both")
        if self.idle_w and self.peak_w and self.idle_w > self.peak_w:
            raise ValueError(f"idle_w: received {self.idle_w:g}; at most peak_w, {self.peak_w:g}")
        return self


@dataclass(frozen=True)
class Cost:
    """One operator's time at the peak figures, in milliseconds."""

    operator: cost.Operator
    compute_ms: float
    memory_ms: float

    @property
    def ms(self) -> float:
        """The later of the two ends."""
        return max(self.compute_ms, self.memory_ms)


def measure(request: Request) -> Result:
    """Predict the latency of each phase as a range, and from it the energy.

    Raises:
        UnsupportedError: the datasheet has no figure for the variant's precision, or an operator cannot be counted.
    """
    device = request.device
    assert isinstance(device, Roofline)
    used = precision(request.artifact.card.scheme, device)
    phases: dict[str, Phase] = {}
    for phase, calls, volume, unit in _phases(request):
        found = [one for call in calls for one in costs(cost.read(request.artifact.path, call), device, used)]
        latency, details = predict(found, device), _details(found, device, used)
        if device.kernels and request.artifact.card.scenario == "single":
            latency, details["estimated_from"] = by_kernels(request.artifact, device, latency)
        spent = energy(latency, device)
        if phase == DECODE and device.language and calls[0]:
            told = by_published.token(request.artifact, device.language, calls[0], device.board)
            latency, spent = (latency, spent) if isinstance(told, str) else told
            details["estimated_from"] = f"the peaks: {told}" if isinstance(told, str) else latency.fitted_to
        about = {"bound": details["bound"]}
        phases[phase] = Phase(unit=unit, volume=volume, latency=latency, energy=spent, details=about)
    measurement = request.result(
        status="ok",
        phases=phases,
        operators=[Operator(name=c.operator.name, kind=c.operator.kind, ran_on=None, ms=c.ms) for c in found],
        stand_in=STAND_IN,
        environment={"datasheet": device.datasheet},
        details=details,
    )
    return Result(measurement)


def foretell(artifact: Artifact, device: Device) -> Foretold:
    """The same of one inference, for which nothing is asked."""
    assert isinstance(device, Roofline)
    found = costs(cost.read(artifact.path), device, precision(artifact.card.scheme, device))
    latency = predict(found, device)
    if device.kernels:
        latency, _ = by_kernels(artifact, device, latency)
    return Foretold(latency, energy(latency, device))


def _phases(request: Request) -> Iterator[tuple[str, list[str | None], int, str]]:
    """Each phase, the signatures that it calls one after the other, and how many of its unit that makes.

    A token behind a prompt costs the same at every place of a room: it stands for all where the middle one does.
    """
    card = request.artifact.card
    if card.scenario == "single":
        yield INFERENCE, [None], 1, "inference"
        return
    with np.load(request.inputs) as given:
        (n,) = {given[name].shape[1] for name in given.files}
    about = {signature.name: signature.model_dump() for signature in card.signatures if signature.state}
    yield PREFILL, [call["name"] for call, *_ in prompts.calls(about, n)], n, "token"
    yield DECODE, [prompts.at(about, DECODE, n + request.protocol.new_tokens // 2)["name"]], 1, "token"


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """The artifact: what is known of the device is a datasheet, and no program of its own."""
    runs = f"model.tflite was not run on {device.name}: its figures are what the datasheet's peaks predict."
    return shipping.interpreted(artifact, folder, "the roofline model", runs)


def precision(scheme: str, device: Roofline) -> str:
    """The precision whose peak the variant is held against.

    Raises:
        UnsupportedError: the datasheet gives no figure for any that the scheme can be computed in.
    """
    found = SCHEMES.load(scheme)
    known = [name for name in found.precisions if name in device.peak_gops]
    if found.activations == "dynamic" and "float32" not in device.peak_gops:
        known = []  # its activations are float
    if not known:
        allowed = ", ".join(sorted(device.peak_gops))
        raise UnsupportedError(f"scheme {scheme}: the datasheet of {device.name} has figures for {allowed} alone")
    return known[0]


def costs(operators: Sequence[cost.Operator], device: Roofline, used: str) -> list[Cost]:
    """Each operator's time at the peak rates of the precision `used`; views of the same memory are left out."""
    ops_per_ms, bytes_per_ms = device.peak_gops[used] * 1e6, device.bandwidth_gb_s * 1e6  # type: ignore[index]  # one of its keys
    return [
        Cost(operator, operator.operations / ops_per_ms, _bytes(operator, used) / bytes_per_ms)
        for operator in operators
        if operator.kind not in VIEWS
    ]


def predict(found: Sequence[Cost], device: Roofline) -> Latency:
    """From the sum at the peak figures to that at a poor share of them plus the overhead of every operator.

    The figure between them is their geometric mean: no more likely than its neighbours.

    Raises:
        UnsupportedError: there is nothing to compute.
    """
    low = sum(cost.ms for cost in found)
    if not low:
        raise UnsupportedError("the model computes nothing, so there is nothing to predict")
    high = low / device.efficiency_low + len(found) * device.overhead_us_per_operator / 1e3
    return Latency(provenance="estimated", ms_p50=math.sqrt(low * high), ms_low=low, ms_high=high)


def by_kernels(artifact: Artifact, device: Roofline, predicted: Latency) -> tuple[Latency, str]:
    """What published figures say, and which; of a network or a scheme that they say nothing of, what the peaks do."""
    kernels = _kernels(device, numeric(artifact.card.scheme) or INTEGERS)
    found = by_published.latency(artifact, kernels, device.board)
    if isinstance(found, str):
        return predicted, f"the peaks: {found}"
    return found, by_published.fitted_to(kernels)


def _kernels(device: Roofline, numbers: str) -> Kernels:
    return Kernels(device.kernels or "", numbers, str(device.threads))


def fingerprint(device: Device) -> dict[str, Any]:
    """The published figures that the estimates rest on."""
    assert isinstance(device, Roofline)
    written = {"language": table.digest(language.rows(device.language))} if device.language else {}
    if not device.kernels:
        return written
    return written | {
        numbers: by_published.rests_on(_kernels(device, numbers), device.board) for numbers in (INTEGERS, FLOATS)
    }  # fmt: skip


def energy(latency: Latency, device: Roofline) -> Energy:
    """From idle power over the shortest time to peak power over the longest; watts times milliseconds are mJ."""
    assert latency.ms_low is not None
    assert latency.ms_high is not None
    if device.idle_w is None or device.peak_w is None:
        return Energy(kind="none", reason=f"what {device.name} draws is not told")
    low, high = latency.ms_low * device.idle_w, latency.ms_high * device.peak_w
    return Energy(
        kind="estimate_datasheet",
        mj=math.sqrt(low * high),
        low_mj=low,
        high_mj=high,
        scope="what the datasheet's power figures cover: see the device's file",
        formula=f"{device.idle_w:g} W x {latency.ms_low:.3g} ms to {device.peak_w:g} W x {latency.ms_high:.3g} ms",
    )


def _bytes(operator: cost.Operator, used: str) -> float:
    """What crosses the memory bus; where halves are computed, activations are halves, whatever the file says."""
    activations = operator.input_bytes + operator.output_bytes
    halved = used == "float16" and operator.dtype == "float32"
    return operator.weight_bytes + (activations / 2 if halved else activations)


def _details(found: Sequence[Cost], device: Roofline, used: str) -> dict[str, Any]:
    total = sum(cost.ms for cost in found)
    waiting = sum(cost.ms for cost in found if cost.memory_ms >= cost.compute_ms) / total
    return {
        "precision": used,
        "macs": sum(cost.operator.macs for cost in found),
        "operations": sum(cost.operator.operations for cost in found),
        "bytes": sum(_bytes(cost.operator, used) for cost in found),
        "bound": "memory" if waiting >= 0.5 else "compute",
        "memory_bound_share": waiting,
        "operator_shares": [cost.ms / total for cost in found],
        "efficiency_low": device.efficiency_low,
        "overhead_us_per_operator": device.overhead_us_per_operator,
        "measured_as": device.measured_as,
    }


KIND = Kind(
    schema=Roofline,
    measure=measure,
    fingerprint=fingerprint,
    ships=ships,
    estimates="float32",
    foretells=foretell,
    generates=True,
)
