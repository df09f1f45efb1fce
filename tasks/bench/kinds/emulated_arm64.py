"""An Arm core that QEMU imitates: its own kernels answer, and its instructions are counted. It tells no time.

An emulated second inverts what is true of the processor (int8 costs six times less than float32 where it takes as many
instructions), so no figure here is a time. The count is of one thread, whose runs repeat; two spin while they wait.
"""

from pathlib import Path
from typing import Any, Literal

from tasks.bench import arm64, judging, same_answers, shipping, timed
from tasks.bench.answers import Answer
from tasks.bench.device import Device
from tasks.bench.devices import installed
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.setup import Setup, Shipped, accepted
from tasks.errors import DeviceError
from tasks.records import Energy, Instructions

RESOURCES = ("../runner/litert.py",)
RUNS = 10  # counted inferences, each of another example: they differ by what the example makes the kernels do
COUNT_S = 900.0  # QEMU is up to 400 times slower than the host


class EmulatedArm64(Device):
    """An Arm core that QEMU imitates: its kernels' accuracy, and a count of instructions that is no time."""

    cpu: Literal["cortex-a72", "cortex-a76"]


def usable(device: Device) -> str | None:  # noqa: ARG001 - every check has this signature
    """What is missing here and how to get it; null for nothing."""
    return "; ".join(arm64.missing()) or None


def fingerprint(device: Device) -> dict[str, Any]:
    """What the figures hang from beside the device's file."""
    assert isinstance(device, EmulatedArm64)
    return arm64.fingerprint(device.cpu)


def measure(request: Request) -> Result:
    """Count the variant's and the reference's instructions, and have the Arm kernels answer both splits.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference, or computes something else.
        DeviceError: the emulator crashed or did not end.
    """
    device = request.device
    assert isinstance(device, EmulatedArm64)
    setup = Setup(  # nothing is timed, so there is no energy to tell
        session=arm64.Emulated(device.cpu),
        runtime="litert",
        options={"kernels": "default", "threads": 1},
        energy={},
        watts_per_core=(0.0, 0.0, 0.0),
    )
    same_answers.check(request, setup)  # and Python's bytecode is compiled: a process that does it counts otherwise
    reference = request.reference.card.variant
    response, counts = _count(request, setup, request.artifact)
    others = counts if request.variant == reference else _count(request, setup, request.reference)[1]
    measurement = request.result(
        status="ok",
        instructions=Instructions(per_inference=counts.per_inference, spread=counts.spread, cpu=device.cpu),
        energy=Energy(kind="none", reason="an emulator's energy says nothing of the processor's"),
        environment=response.environment,
        details={
            **arm64.fingerprint(device.cpu),
            "counted": f"{RUNS} inferences after the first, 1 thread, Python's call of each and not the reading",
            "reference": reference,
            "instructions_ratio": counts.per_inference / others.per_inference,
            "dot_products": sum(counts.dots) / len(counts.dots),  # SDOT and UDOT executed in one inference
            "dot_product_kernels": any(counts.dots),
            "mark_instructions": counts.mark,
            "limits_s": {"count": COUNT_S, "split": judging.TIMEOUT_S},
            **response.facts,
        },
    )
    return Result(measurement, kept=timed.kept(request, setup))


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """The file that LiteRT runs on such a core."""
    runtime = f"ai-edge-litert {installed('ai-edge-litert')}, emulated"
    runs = f"model.tflite is for LiteRT on Arm; its figures are of the emulated {device.name}, no core has run it."
    return shipping.interpreted(artifact, folder, runtime, runs)


def _count(request: Request, setup: Setup, artifact: Artifact) -> tuple[Answer, arm64.Counts]:
    """What the runner answered, and what the plugin counted."""
    files = {**setup.files(artifact), "inputs": request.inputs}
    response = setup.session.run({**setup.ask("count", artifact), "runs": RUNS}, files, {}, timeout_s=COUNT_S)
    accepted(artifact.card.variant, response)
    counts = arm64.counts(response.marks or "")
    if len(counts.inferences) != response.runs:
        raise DeviceError(f"{artifact.card.variant}: {response.runs} inferences, {len(counts.inferences)} counted")
    return response, counts


KIND = Kind(
    schema=EmulatedArm64,
    programs={
        "qemu-aarch64": ("qemu-user", ""),
        "debootstrap": ("debootstrap", "to build its root file system once"),
        "gcc": ("gcc", "to build the counter of instructions once"),
        "unshare": ("util-linux", ""),
    },
    usable=usable,
    fingerprint=fingerprint,
    measure=measure,
    ships=ships,
    own_kernels=True,
    dense=True,
)
