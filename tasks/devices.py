"""The catalog of devices: `infra/devices/<name>.yaml`, one device per file, no address and no secret in any."""

from pathlib import Path
from platform import python_version_tuple
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks import paths
from tasks.bench.runner import machine
from tasks.errors import ParamsError, suggest
from tasks.params import Name, Section, check, read_yaml

Watts = Annotated[float, Field(gt=0)]


class Litert(Section):
    """A processor that runs the artifact through LiteRT."""

    name: Name  # the file's
    kind: Literal["litert"]
    description: str
    threads: Annotated[int, Field(ge=1, le=64)]
    watts_per_core: tuple[Watts, Watts, Watts]  # low, nominal, high: for an estimate where no counter can be read

    @model_validator(mode="after")
    def _watts_rise(self) -> Self:
        if list(self.watts_per_core) != sorted(self.watts_per_core):
            raise ValueError(f"watts_per_core: low, nominal, high must rise; received {list(self.watts_per_core)}")
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


Device = Litert | EthosU
KINDS: dict[str, type[Litert] | type[EthosU]] = {"litert": Litert, "ethos-u": EthosU}
MEASURED = {"litert"}  # kinds that run on hardware, which must be quiet; the others are estimates
OWN_KERNELS: set[str] = set()  # kinds whose accuracy is not the evaluation's: they answer the test split themselves
PACKAGES = {"litert": "ai-edge-litert", "ethos-u": "ethos-u-vela"}
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


def parse(path: Path) -> Device:
    """Read and check one device file."""
    value = read_yaml(path)
    kind = value.get("kind")
    if kind not in KINDS:
        raise ParamsError(f"{path}: kind: received {kind!r}; {suggest(str(kind), KINDS)}")
    return check(KINDS[kind], {**value, "name": path.stem}, path)


def fingerprint(device: Device) -> dict[str, Any]:
    """What the device's figures hang from beside its file: where it changes, they are old.

    For a processor here: the machine, and the versions of Python, numpy and the runtime. For an estimate: the
    compiler's version and what it is told.
    """
    package = PACKAGES[device.kind]
    if isinstance(device, EthosU):
        return {**device.model_dump(exclude={"name", "description"}), package: installed(package)}
    here = machine.processor()
    versions = {name: installed(name) for name in (package, "numpy")}
    return {"kind": device.kind, **here, "python": ".".join(python_version_tuple()[:2]), **versions}


def usable(device: Device) -> str | None:
    """Why the device cannot be used here and what to do about it; null where it can."""
    package = PACKAGES[device.kind]
    if installed(package) is None:
        return f"{package} is not installed: `pip install {package}`"
    if isinstance(device, Litert) and device.threads > machine.cpus_allowed():
        return f"{device.threads} threads need as many CPUs; this process may use {machine.cpus_allowed()}"
    return None


def installed(package: str) -> str | None:
    """The version of an installed package, without importing it; null where it is not installed."""
    return machine.installed(package)
