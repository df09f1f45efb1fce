"""The catalog of devices: `infra/devices/<name>.yaml`, one device per file, no address and no secret in any."""

from collections.abc import Iterable
from pathlib import Path
from platform import python_version_tuple
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks import paths
from tasks.bench.runner import machine
from tasks.errors import ParamsError, suggest
from tasks.params.section import Name, Section, check, read_yaml
from tasks.registry import resolve

Watts = Annotated[float, Field(gt=0)]
Platform = Literal["cpu", "cuda", "tpu"]


class Processor(Section):
    """What every processor that runs the artifact itself has."""

    name: Name  # the file's
    description: str
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    watts_per_core: tuple[Watts, Watts, Watts]  # low, nominal, high: for an estimate where no counter can be read
    meter: Literal["external"] | None = None  # instead of counters: see tasks/bench/external.py

    @model_validator(mode="after")
    def _watts_rise(self) -> Self:
        if list(self.watts_per_core) != sorted(self.watts_per_core):
            raise ValueError(f"watts_per_core: low, nominal, high must rise; received {list(self.watts_per_core)}")
        return self


class Litert(Processor):
    """This machine's processor, which runs the artifact through LiteRT."""

    kind: Literal["litert"]


class OnnxRuntime(Processor):
    """This machine's processor, which runs the artifact through ONNX Runtime, converted by tf2onnx."""

    kind: Literal["onnxruntime"]


class OpenVino(Processor):
    """This machine's processor, which runs the artifact through OpenVINO, which reads it as it is."""

    kind: Literal["openvino"]


class Pjrt(Processor):
    """A processor, GPU or TPU of this machine, which runs the variant's StableHLO through jaxlib alone."""

    kind: Literal["pjrt"]
    platform: Platform = "cpu"


class Ssh(Processor):
    """Another machine, reached by ssh under the device's own name, which the user's ssh configuration explains."""

    kind: Literal["ssh"]
    runtime: Literal["litert", "onnxruntime", "openvino", "pjrt"] = "litert"
    platform: Platform = "cpu"  # of pjrt
    python: str = "python3"  # the interpreter there, 3.11 or later


class Tflm(Section):
    """A microcontroller board: its kernels (TensorFlow Lite Micro's) run here, its sizes are its datasheet's."""

    name: Name  # the file's
    kind: Literal["mcu-tflm"]
    description: str
    core: str
    clock_mhz: Annotated[float, Field(gt=0)]
    ram_kib: Annotated[float, Field(gt=0)]
    flash_kib: Annotated[float, Field(gt=0)]
    datasheet: str  # which says so


class EmulatedArm64(Section):
    """An Arm core that QEMU imitates: its kernels' accuracy, and a count of instructions that is no time."""

    name: Name  # the file's
    kind: Literal["emulated-arm64"]
    description: str
    cpu: Literal["cortex-a72", "cortex-a76"]


class Roofline(Section):
    """Hardware known by its datasheet alone: what its peak figures allow."""

    name: Name  # the file's
    kind: Literal["roofline"]
    description: str
    peak_gops: dict[Literal["float32", "float16", "int8"], Annotated[float, Field(gt=0)]]  # operations, 2 per MAC
    bandwidth_gb_s: Annotated[float, Field(gt=0)]
    idle_w: Watts
    peak_w: Watts
    efficiency_low: Annotated[float, Field(gt=0, le=1)]  # share of both peaks that a poor run still reaches
    overhead_us_per_operator: Annotated[float, Field(ge=0)]  # in a poor run: dispatch, launch, synchronisation
    datasheet: str  # which says so
    measured_as: Name | None = None  # the device of the catalog that is this hardware, measured

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        if not self.peak_gops:
            raise ValueError("peak_gops: no precision is named; one of float32, float16, int8 is needed")
        if self.idle_w > self.peak_w:
            raise ValueError(f"idle_w: received {self.idle_w:g}; at most peak_w, {self.peak_w:g}")
        return self


class EthosU(Section):
    """An Arm Ethos-U neural processor, as the Vela compiler estimates it."""

    name: Name  # the file's
    kind: Literal["ethos-u"]
    description: str
    accelerator: str
    system: str  # of Vela's Arm/vela.ini
    memory: str  # likewise

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        # Vela takes some wrong pairs without a word, so this table stands in front of it
        family = self.accelerator.removeprefix("ethos-").partition("-")[0]
        for field, allowed in {"accelerator": ACCELERATORS, "system": SYSTEMS, "memory": MEMORY_MODES}.items():
            names = allowed.get(family) or [name for group in allowed.values() for name in group]
            if getattr(self, field) not in names:
                raise ValueError(f"{field}: received {getattr(self, field)!r}; {suggest(getattr(self, field), names)}")
        return self


Device = Litert | OnnxRuntime | OpenVino | Pjrt | Ssh | EthosU | Tflm | EmulatedArm64 | Roofline
KINDS: dict[str, type[Section]] = {
    "litert": Litert,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "pjrt": Pjrt,
    "ssh": Ssh,
    "ethos-u": EthosU,
    "mcu-tflm": Tflm,
    "emulated-arm64": EmulatedArm64,
    "roofline": Roofline,
}
MEASURED = {"litert", "onnxruntime", "openvino", "pjrt"}  # kinds that measure this machine, which must be quiet
# kinds whose accuracy is not the evaluation's: they answer the validation and the test split themselves
OWN_KERNELS = {"onnxruntime", "openvino", "pjrt", "ssh", "mcu-tflm", "emulated-arm64"}
PACKAGES = {  # by kind: what it cannot do without here
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "pjrt": "jaxlib",
    "ethos-u": "ethos-u-vela",
    "mcu-tflm": "tflite-micro",
}
CHECKS = {  # by kind: whether it can be used here, where that takes more than a package
    "pjrt": "tasks.bench.targets.pjrt:usable",
    "ssh": "tasks.bench.targets.ssh:usable",
    "emulated-arm64": "tasks.bench.targets.emulated_arm64:usable",
}
TOOLS = {  # by kind: what else computes its figures than that package
    "pjrt": "tasks.bench.targets.pjrt:fingerprint",
    "ssh": "tasks.bench.targets.ssh:fingerprint",
    "emulated-arm64": "tasks.bench.arm64:fingerprint",
}
METERS = {"external": "tasks.bench.external:usable"}  # by meter: likewise
DEDICATED = [f"Dedicated_Sram{size}" for size in ("", "_256KB", "_384KB", "_512KB")]
ACCELERATORS = {
    "u55": [f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)],
    "u65": [f"ethos-u65-{macs}" for macs in (256, 512)],
    "u85": [f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)],
}
SYSTEMS = {
    "u55": [f"Ethos_U55_{name}" for name in ("Deep_Embedded", "High_End_Embedded")],
    "u65": [f"Ethos_U65_{name}" for name in ("Embedded", "Mid_End", "High_End", "Client_Server")],
    "u85": [f"Ethos_U85_SYS_{name}" for name in ("Flash_Low", "Flash_High", "DRAM_Low", "DRAM_Mid", "DRAM_High")],
}
MEMORY_MODES = {
    "u55": ["Sram_Only", "Shared_Sram"],
    "u65": ["Sram_Only", "Shared_Sram", *DEDICATED],
    "u85": ["Sram_Only", "Shared_Sram", *DEDICATED],
}


def names() -> list[str]:
    """Every device of the catalog."""
    return sorted(path.stem for path in paths.DEVICES.glob("*.yaml"))


def load(name: str) -> Device:
    """One device.

    Raises:
        ParamsError: there is no such device, or its file is wrong; one line says where and what is allowed.
    """
    if name not in names():
        raise ParamsError(f"device: received {name!r}; {suggest(name, names())}")
    return parse(paths.device(name))


def estimates_first(names: Iterable[str]) -> list[str]:
    """Devices, each once: measurements last, as they are dearer and start when nothing else runs."""
    return sorted(dict.fromkeys(names), key=lambda name: load(name).kind in MEASURED)


def parse(path: Path) -> Device:
    """Read and check one device file."""
    value = read_yaml(path)
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ParamsError(f"{path}: kind: received {kind!r}; {suggest(str(kind), KINDS)}")
    device: Any = check(KINDS[kind], {**value, "name": path.stem}, path)
    return device  # type: ignore[no-any-return]  # one of KINDS


def fingerprint(device: Device) -> dict[str, Any]:
    """What the device's figures hang from beside its file: where it changes, they are old.

    For a processor here: the machine, and the versions of Python, numpy and the runtime. Else what the device is told,
    and the version of what computes its figures. Why it cannot be used, so that it is measured once it can.
    """
    package = PACKAGES[device.runtime] if isinstance(device, Ssh) else PACKAGES.get(device.kind)  # sent as locked here
    found = {"missing": usable(device)} | ({package: installed(package)} if package else {})
    if device.kind in TOOLS:
        found |= resolve(TOOLS, device.kind, "kind of device")(device)
    if device.kind not in MEASURED:
        return {**device.model_dump(exclude={"name", "description"}), **found}
    python = ".".join(python_version_tuple()[:2])
    return {"kind": device.kind, **machine.processor(), "python": python, "numpy": installed("numpy"), **found}


def usable(device: Device) -> str | None:
    """Why the device cannot be used here and what to do about it; null where it can."""
    package = PACKAGES.get(device.kind)
    if package and installed(package) is None:
        return f"{package} is not installed: `pip install {package}`"
    if isinstance(device, Processor) and device.meter and (lacks := resolve(METERS, device.meter, "meter")()):
        return str(lacks)
    if device.kind in CHECKS:
        reason: str | None = resolve(CHECKS, device.kind, "kind of device")(device)
        return reason
    if isinstance(device, Processor) and device.threads > machine.cpus_allowed():
        return f"{device.threads} threads need as many CPUs; this process may use {machine.cpus_allowed()}"
    return None


def installed(package: str) -> str | None:
    """The version of an installed package, without importing it; null where it is not installed."""
    return machine.installed(package)
