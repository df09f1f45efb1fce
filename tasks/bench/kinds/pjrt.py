"""A processor, NVIDIA GPU or TPU of this machine, through PJRT: jaxlib runs the variant's StableHLO."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from tasks.bench import meters, reach, same_answers, shipping, timed
from tasks.bench.device import Accelerated, Device, too_few_cpus
from tasks.bench.devices import installed
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.runner import nvml, prompts
from tasks.bench.runner.packed import MANIFEST
from tasks.bench.runner.pjrt import installed_plugin, plugin
from tasks.bench.setup import Setup
from tasks.bench.transport import Local, Session
from tasks.errors import DataError, UnsupportedError
from tasks.files import sha256

RESOURCES = ("../runner/pjrt.py", "../runner/pjrt_language.py")
TPU_NODES = ("accel*", "vfio/[0-9]*")  # under /dev


class Pjrt(Accelerated):
    """A processor, GPU or TPU of this machine, which runs the variant's StableHLO through jaxlib alone."""


def measure(request: Request) -> Result:
    """Measure one pair, and answer the splits with the kernels that were timed.

    Raises:
        UnsupportedError: the variant or the reference has no StableHLO, or the compiler refuses it, or computes
            something else than the variant's file.
        DeviceError: a window crashed or did not end.
    """
    assert isinstance(request.device, Pjrt)
    return measured(request, setup(request.device, Local()))


def measured(request: Request, ready: Setup) -> Result:
    """The same by a session of any kind."""
    same_answers.check(request, ready)
    result = timed.judge(request, ready)
    card = request.artifact.card
    details = {**result.measurement.details, "stablehlo_sha256": card.stablehlo and card.stablehlo.sha256}
    measurement = result.measurement.model_copy(update={"details": details})
    return replace(result, measurement=measurement)


def setup(device: Accelerated, session: Session) -> Setup:
    """How the runtime is asked, here or elsewhere."""
    return Setup(
        session=session,
        runtime="pjrt",
        options={"platform": device.platform, "threads": device.threads},
        energy={"cpu": meters.HOST, "cuda": meters.GPU, "tpu": {}}[device.platform],
        watts_per_core=device.watts_per_core,
        model=program,
        describe=True,
        generates="pjrt_language",
        reads=token_reads,
        offloads=device.platform != "cpu",
    )


def program(artifact: Artifact) -> Path:
    """The variant's StableHLO.

    Raises:
        UnsupportedError: it has none; the message says why.
        DataError: it is not the file that the card was written for.
    """
    card = artifact.card
    if card.stablehlo is None:
        raise UnsupportedError(f"{card.variant}: {card.no_stablehlo or 'it was converted before there was StableHLO'}")
    path = artifact.path.parent / card.stablehlo.file
    if not path.is_file() or sha256(path) != card.stablehlo.sha256:
        raise DataError(f"{path}: not the file that its card was written for; `tercet run` makes it again")
    return path


def token_reads(artifact: Artifact, place: int) -> int:
    """The bytes that a token at a place reads at least, by the programs of a language model."""
    with ZipFile(program(artifact)) as archive:
        about = json.loads(archive.read(MANIFEST))["programs"]
    return int(about[prompts.roomy(about, prompts.DECODE, place + 1)]["bytes_read"])


def usable(device: Device) -> str | None:
    """Why the device cannot be used here and what to do about it; null where it can."""
    assert isinstance(device, Pjrt)
    if device.platform == "cpu":
        return too_few_cpus(device)
    return {"cuda": _without_cuda, "tpu": _without_tpu}[device.platform]()


def fingerprint(device: Device) -> dict[str, Any]:
    """What beside jaxlib's version and the machine the figures hang from: the plugin, the GPU, its driver."""
    assert isinstance(device, Pjrt)
    if device.platform == "cpu":
        return {}
    found: dict[str, Any] = {"platform": device.platform, "plugin": installed_plugin(device.platform)}
    if device.platform == "cuda":
        try:
            found |= {key: value for key, value in nvml.Gpu().facts().items() if key in ("gpu", "driver")}
        except nvml.GpuError as error:
            found["gpu"] = str(error)
    return found


def _without_cuda() -> str | None:
    try:
        nvml.Gpu().name()
    except nvml.GpuError as error:
        return f"no NVIDIA GPU can be reached: {error}"
    if plugin("cuda") is None:
        wanted = f"jax-cuda13-plugin[with-cuda]=={installed('jaxlib')}"
        return f'jaxlib has no CUDA plugin here: `pip install "{wanted}"`'
    return None


def _without_tpu() -> str | None:
    if not any(any(Path("/dev").glob(node)) for node in TPU_NODES):
        return "no TPU is attached to this machine: /dev has neither accel* nor vfio/*"
    if plugin("tpu") is None:
        return "jaxlib has no TPU plugin here: `pip install libtpu`"
    return None


KIND = Kind(
    schema=Pjrt,
    package="jaxlib",
    usable=usable,
    fingerprint=fingerprint,
    probe=reach.runner("pjrt"),
    measure=measure,
    setup=setup,
    ships=shipping.processor,
    here=True,
    generates=True,
    own_kernels=True,
    dense=True,
)
