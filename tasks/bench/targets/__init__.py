"""How each kind of device measures: one file per kind, all of one signature."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from typing import Protocol as Interface

from tasks.devices import Device
from tasks.errors import DataError
from tasks.files import sha256
from tasks.params import Protocol
from tasks.records import ArtifactCard, Measurement, Split, read
from tasks.registry import resolve

Samples = dict[str, Any]  # numpy uint64 arrays: nanoseconds of each inference, by window
TARGETS = {
    "litert": "tasks.bench.targets.litert:measure",
    "onnxruntime": "tasks.bench.agreement:measure",
    "openvino": "tasks.bench.agreement:measure",
    "pjrt": "tasks.bench.targets.pjrt:measure",
    "ssh": "tasks.bench.targets.ssh:measure",
    "ethos-u": "tasks.bench.targets.ethos_u:measure",
    "mcu-tflm": "tasks.bench.targets.mcu_tflm:measure",
    "emulated-arm64": "tasks.bench.targets.emulated_arm64:measure",
    "roofline": "tasks.bench.targets.roofline:measure",
}

SETUPS = {  # how each runtime is asked, on this machine or another one
    "litert": "tasks.bench.targets.litert:setup",
    "onnxruntime": "tasks.bench.targets.onnxruntime:setup",
    "openvino": "tasks.bench.targets.openvino:setup",
    "pjrt": "tasks.bench.targets.pjrt:setup",
}

SHIPS = {  # what is shipped to each kind of device
    "litert": "tasks.bench.shipping:processor",
    "onnxruntime": "tasks.bench.shipping:processor",
    "openvino": "tasks.bench.shipping:processor",
    "pjrt": "tasks.bench.shipping:processor",
    "ssh": "tasks.bench.shipping:processor",
    "ethos-u": "tasks.bench.targets.ethos_u:ships",
    "mcu-tflm": "tasks.bench.targets.mcu_tflm:ships",
    "emulated-arm64": "tasks.bench.targets.emulated_arm64:ships",
    "roofline": "tasks.bench.targets.roofline:ships",
}


@dataclass(frozen=True)
class Artifact:
    """A deployable file and what its card says."""

    card: ArtifactCard
    path: Path


def made_in(folder: Path) -> Artifact:
    """What lies in the folder of a variant.

    Raises:
        DataError: it is not what its card was written for.
    """
    card = read(ArtifactCard, folder / "card.json")
    path = folder / card.file
    if not path.is_file() or sha256(path) != card.sha256:
        raise DataError(f"{path}: not the file that its card was written for; `tercet run` makes it again")
    return Artifact(card, path)


@dataclass(frozen=True)
class Request:
    """One pair to measure."""

    artifact: Artifact
    reference: Artifact  # may be the artifact itself, which then has no ratio
    device: Device
    protocol: Protocol
    inputs: Path  # `.npz` of model-ready arrays [n, ...] by input name, to time with
    splits: dict[Split, Path] = field(default_factory=dict)  # likewise the whole splits, for kinds with own kernels

    @property
    def variant(self) -> str:
        """The variant that is measured."""
        return self.artifact.card.variant

    def result(self, **figures: Any) -> Measurement:
        """A measurement of this pair."""
        return Measurement(
            variant=self.variant,
            device=self.device.name,
            device_kind=self.device.kind,
            mode=self.protocol.mode,
            artifact_sha256=self.artifact.card.sha256,
            **figures,
        )


@dataclass(frozen=True)
class Result:
    """What a target found out."""

    measurement: Measurement
    samples: Samples = field(default_factory=dict)  # none for an estimate
    outputs: dict[Split, Any] = field(default_factory=dict)  # float32 [n, ...], where the device's own kernels answered


class Target(Interface):
    """A kind of device.

    Raises:
        UnsupportedError: this artifact cannot run there; the message becomes the reason in the record.
        DeviceError: the device did not answer, or crashed.
    """

    def __call__(self, request: Request) -> Result:
        """Measure one pair."""
        ...


def target(kind: str) -> Target:
    """The measuring function of a kind of device."""
    return cast(Target, resolve(TARGETS, kind, "kind of device"))
