"""A microcontroller board by TensorFlow Lite Micro on this host: what it answers, and whether it fits.

The board is not touched. Its kernels run here, in their portable form, so the accuracy and the arena are measured. Its
time is not: where its file names `kernels` that figures are published of, time and energy are estimated from those.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from tasks.bench import by_published, luts, reach, same_answers, shipping, timed
from tasks.bench.answers import Answer
from tasks.bench.by_published import Published
from tasks.bench.device import Device
from tasks.bench.devices import installed
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact, Foretold, Request, Result
from tasks.bench.setup import Setup, Shipped
from tasks.bench.transport import Local
from tasks.errors import UnsupportedError
from tasks.formats import cost, tflite
from tasks.published import power
from tasks.published.estimate import Kernels, core_of
from tasks.records import Energy, Memory
from tasks.scratch import scratch

RESOURCES = ("../runner/tflm.py",)
# What firmware takes beside the model. TensorFlow's own figure is 16 KB for the core runtime on a Cortex-M3 and 22 KB
# with the operators of a keyword spotter (tensorflow.org/lite/microcontrollers, overview); optimised kernels, the C
# library and start-up code come on top, so four times as much is set aside. Of RAM, the stack, the C library's and the
# drivers' data. Both are judgements, and in every record.
CODE_KIB = 64
STACK_KIB = 16
ANSWER_S = 120.0  # a few inferences
NOT_EXECUTED = "not executed on the board"
STAND_IN = "TensorFlow Lite Micro's portable kernels on this host"
ARENA = (
    "the tensor arena of TensorFlow Lite Micro, as allocated on a 64-bit host: its head (activations) is exact for the"
    " portable kernels, its tail (structures with pointers) is larger than on a 32-bit board; optimised kernels may ask"
    " for scratch memory besides"
)


class Tflm(Device):
    """A microcontroller board: its kernels (TensorFlow Lite Micro's) run here, its sizes are its datasheet's."""

    core: str
    clock_mhz: Annotated[float, Field(gt=0)]
    ram_kib: Annotated[float, Field(gt=0)]
    flash_kib: Annotated[float, Field(gt=0)]
    datasheet: str  # which says so
    kernels: Published | None = None  # of those published: what time and energy are estimated from


def measure(request: Request) -> Result:
    """Have the runtime's kernels answer both splits, and weigh the arena and the file against the board.

    Raises:
        UnsupportedError: the runtime refuses the variant, or computes something else; the message names the operator.
        DeviceError: the runtime crashed or did not end.
    """
    device = request.device
    assert isinstance(device, Tflm)
    response, program = _program(request.artifact, device, request.inputs)
    arena: dict[str, int] = response.facts["arena_bytes"]
    file_bytes, own_bytes = (path.stat().st_size for path in (program, request.artifact.path))
    figures: dict[str, Any] = {
        "memory": Memory(provenance="measured", peak_kib=arena["total"] / 1024, what=ARENA),
        "energy": Energy(kind="none", reason=NOT_EXECUTED),
        "environment": {**response.environment, **device.model_dump(include={"core", "clock_mhz", "datasheet"})},
        "details": {
            "arena_bytes": arena,
            "file_bytes": file_bytes,
            **({"look_up_tables": {"bytes": file_bytes, "instead_of": own_bytes}} if file_bytes < own_bytes else {}),
            "ram": _share(arena["total"], STACK_KIB, device.ram_kib),
            "flash": _share(file_bytes, CODE_KIB, device.flash_kib),
        },
    }
    reason = misfit(device, arena["total"], file_bytes)
    if reason:
        return Result(request.result(status="unsupported", reason=reason, **figures))
    nothing = (0.0, 0.0, 0.0)  # is timed
    setup = Setup(Local(), "tflm", options={}, energy={}, watts_per_core=nothing, model=lambda _: program)
    same_answers.check(request, setup)
    kept = timed.kept(request, setup)
    figures |= estimated(request.artifact, device)
    return Result(request.result(status="ok", stand_in=STAND_IN, **figures), kept=kept)


def estimated(artifact: Artifact, device: Tflm) -> dict[str, Any]:
    """The latency and the energy of a variant on a board by published figures, or why there are none."""
    if device.kernels is None:
        return {}
    kernels, core = Kernels(device.kernels), core_of(device.core)
    latency = by_published.latency(artifact, kernels, device.board, core, device.clock_mhz)
    if isinstance(latency, str):
        return {"energy": Energy(kind="none", reason=f"{NOT_EXECUTED}, and not estimated: {latency}")}
    found = power.of_board(kernels, device.board, device.clock_mhz)
    if isinstance(found, str):
        return {"latency": latency, "energy": Energy(kind="none", reason=f"{NOT_EXECUTED}, and not estimated: {found}")}
    return {"latency": latency, "energy": by_published.energy(latency, found)}


def foretell(artifact: Artifact, device: Device) -> Foretold:
    """The same where nothing runs; of the arena only what the largest operator reads and writes is known then.

    Raises:
        UnsupportedError: it cannot fit, or nothing is known of its time.
    """
    assert isinstance(device, Tflm)
    least = max((each.input_bytes + each.output_bytes for each in cost.read(artifact.path)), default=0)
    if reason := misfit(device, least, artifact.path.stat().st_size):
        raise UnsupportedError(reason)
    found = estimated(artifact, device)
    if "latency" not in found:
        raise UnsupportedError(found["energy"].reason if found else "its file names no kernels to estimate from")
    return Foretold(**found)


def fingerprint(device: Device) -> dict[str, Any]:
    """The published figures that the estimates rest on."""
    assert isinstance(device, Tflm)
    return by_published.rests_on(Kernels(device.kernels), device.board) if device.kernels else {}


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """The file that goes into the firmware; the same kernels run it here."""
    assert isinstance(device, Tflm)
    with scratch("tflm") as temporary:
        inputs = temporary / "inputs.npz"
        zeros = {tensor.name: np.zeros((1, *tensor.shape), tensor.dtype) for tensor in artifact.card.inputs}
        np.savez(inputs, allow_pickle=False, **zeros)
        _, program = _program(artifact, device, inputs)
    runtime = f"tflite-micro {installed('tflite-micro')}"
    runs = (
        "model.tflite goes into the firmware: the folder firmware has it as an array of C, with the operators to add,"
        " the size of the arena and an example. Its portable kernels answered on a host; no board was timed."
    )
    common = shipping.interpreted(replace(artifact, path=program), folder, runtime, runs)
    return replace(common, module="tflm", options={}, requires=(shipping.required("tflite-micro"),))


def misfit(device: Tflm, arena_bytes: int, file_bytes: int) -> str | None:
    """Why a model does not fit into a board's memories beside the firmware; null where it does."""
    needs = {
        "RAM": (arena_bytes, STACK_KIB, "stack", device.ram_kib, "arena"),
        "flash": (file_bytes, CODE_KIB, "code", device.flash_kib, "file"),
    }
    told = [
        f"its {what} of {count / 1024:.1f} KiB and {beside} KiB for {other} exceed the {size:g} KiB of {memory}"
        for memory, (count, beside, other, size, what) in needs.items()
        if count / 1024 + beside > size
    ]
    return f"does not fit: {'; '.join(told)}" if told else None


def _share(count: int, beside_kib: int, size_kib: float) -> dict[str, float]:
    return {"kib": size_kib, "beside_kib": beside_kib, "share": (count / 1024 + beside_kib) / size_kib}


def _program(artifact: Artifact, device: Tflm, inputs: Path) -> tuple[Answer, Path]:
    """The file that goes on the board, and what the runtime says of it: with look-up tables, if it fits so.

    What is decoded takes RAM, so a board that has not enough for that gets the file as it is.
    """
    own = tflite.checked(artifact.path, "TensorFlow Lite Micro")
    response = _ask(artifact, own, inputs)
    packed = luts.packed(artifact)
    if packed.stat().st_size < own.stat().st_size:
        other = _ask(artifact, packed, inputs)
        if not misfit(device, other.facts["arena_bytes"]["total"], packed.stat().st_size):
            return other, packed
    return response, own


def _ask(artifact: Artifact, path: Path, inputs: Path) -> Answer:
    """What the runtime says of a file after a few inferences."""
    with scratch("tflm") as folder:
        ask = {"action": "predict", "runtime": "tflm", "options": {}}
        files = {"model": path, "inputs": inputs}
        response = Local().run(ask, files, {"outputs": Path(folder, "outputs.npz")}, timeout_s=ANSWER_S)
    if response.status == "unsupported":
        raise UnsupportedError(f"{artifact.card.variant}: TensorFlow Lite Micro refuses it: {response.reason}")
    return response


KIND = Kind(
    schema=Tflm,
    package="tflite-micro",
    probe=reach.runner("tflm"),
    fingerprint=fingerprint,
    measure=measure,
    ships=ships,
    embeds=True,
    own_kernels=True,
    dense=True,
    schemes=("float32", "int8", "int16x8"),
    foretells=foretell,
)
