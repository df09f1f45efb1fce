"""What is asked of a device, and what it answers: one pair of an artifact and a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.bench.device import Device
from tasks.errors import DataError
from tasks.files import sha256
from tasks.params import Protocol
from tasks.records import ArtifactCard, Energy, Latency, Measurement, Phase, Runnable, Split, inference, read
from tasks.records.measurements import NOT_MEASURED
from tasks.records.metrics import Kept

Samples = dict[str, Any]  # numpy uint64 arrays: nanoseconds of each inference, by window


@dataclass(frozen=True)
class Artifact:
    """A deployable file, and what is known of it."""

    card: Runnable
    path: Path


@dataclass(frozen=True)
class Made(Artifact):
    """One that a stage has made, with the whole of its card."""

    card: ArtifactCard


def made_in(folder: Path) -> Made:
    """What lies in the folder of a variant.

    Raises:
        DataError: it is not what its card was written for.
    """
    card = read(ArtifactCard, folder / "card.json")
    path = folder / card.file
    if not path.is_file() or sha256(path) != card.sha256:
        raise DataError(f"{path}: not the file that its card was written for; `tercet run` makes it again")
    return Made(card, path)


@dataclass(frozen=True)
class Foretold:
    """What one inference would take on a device, by figures alone."""

    latency: Latency
    energy: Energy


@dataclass(frozen=True)
class Questions:
    """Examples that a device's own kernels are judged on, in files for the runner."""

    inputs: Path  # `.npz` of model-ready arrays [n, ...] by input name
    keep: str | None = None  # "module:function" that says what is kept of the answers; None: all is
    targets: Path | None = None  # `.npz` of the targets that it asks for, [n, ...] by name
    reference: Artifact | None = None  # whose answers the metric compares with


@dataclass(frozen=True)
class Request:
    """One pair to measure."""

    artifact: Artifact
    reference: Artifact  # may be the artifact itself, which then has no ratio
    device: Device
    protocol: Protocol
    inputs: Path  # `.npz` of model-ready arrays [n, ...] by input name, to time with
    splits: dict[Split, Questions] = field(default_factory=dict)  # for kinds with own kernels

    @property
    def variant(self) -> str:
        """The variant that is measured."""
        return self.artifact.card.variant

    def result(
        self,
        *,
        latency: Latency | None = None,
        energy: Energy | None = None,
        phases: Mapping[str, Phase] | None = None,
        **figures: Any,
    ) -> Measurement:
        """A measurement of this pair: by phase, or of an inference that takes so much, or of nothing that ran."""
        if latency or energy:
            phases = inference(latency=latency, energy=energy or NOT_MEASURED)
        return Measurement(
            phases=phases or {},
            variant=self.variant,
            device=self.device.name,
            device_kind=self.device.kind,
            mode=self.protocol.mode,
            artifact_sha256=self.artifact.card.sha256,
            **figures,
        )


@dataclass(frozen=True)
class Result:
    """What was found out of one pair."""

    measurement: Measurement
    samples: Samples = field(default_factory=dict)  # none for an estimate
    kept: dict[Split, Kept] = field(default_factory=dict)  # of answers, where the device's own kernels gave them
