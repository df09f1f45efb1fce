"""What a device's file says, whatever its kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.bench.runner import machine
from tasks.formats.scales import Granularity
from tasks.params.section import Name, Section

Watts = Annotated[float, Field(gt=0)]


class Device(Section):
    """What every device's file says; its kind adds the rest (`KIND` of a file in `tasks/bench/kinds`)."""

    name: Name  # the file's
    kind: str  # of KINDS
    description: str
    granularity: Granularity | None = None  # of integer weights' scales, as its kernels want them; None: as they come
    board: Name | None = None  # of the table in infra/published: what others have measured stands beside our figures


class Processor(Device):
    """What every processor that runs the artifact itself has."""

    threads: Annotated[int, Field(ge=1, le=64)] = 1
    watts_per_core: tuple[Watts, Watts, Watts]  # low, nominal, high: for an estimate where no counter can be read
    meter: Literal["external"] | None = None  # instead of counters: see tasks/bench/meter_csv.py

    @model_validator(mode="after")
    def _watts_rise(self) -> Self:
        if list(self.watts_per_core) != sorted(self.watts_per_core):
            raise ValueError(f"watts_per_core: low, nominal, high must rise; received {list(self.watts_per_core)}")
        return self


class Accelerated(Processor):
    """A processor, and what it may hand the work to."""

    platform: Literal["cpu", "cuda", "tpu"] = "cpu"  # of the runtime pjrt


def too_few_cpus(device: Device) -> str | None:
    """Why this process may not run as many threads as the device's file says; null where it may."""
    allowed = machine.cpus_allowed()
    if isinstance(device, Processor) and device.threads > allowed:
        return f"{device.threads} threads need as many CPUs; this process may use {allowed}"
    return None
