"""What is measured, and what a device asks of its champion."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import Count, Name, Section


class Protocol(Section):
    """How long is measured: `quick` is for looking, `full` for reporting."""

    mode: Literal["quick", "full"]
    windows: Count | None = None  # null: 6; with less than 6 a ratio has no interval
    window_s: Annotated[float, Field(gt=0)] | None = None  # null: 0.15 s in quick mode, 10 s in full


class Benchmark(Section):
    """What is measured, and where."""

    reference: Name  # the float32 variant that every other one is compared with
    devices: Annotated[tuple[Name, ...], Field(min_length=1)]
    protocol: Protocol


class Budget(Section):
    """What a device's champion must keep to; of those that do, the one with the least of `minimize` wins.

    Of those that cannot be told apart from it, the smallest under gzip.
    """

    minimize: Literal["latency_ms", "energy_mj", "memory_kib", "instructions", "bytes", "gzip_bytes", "zstd_bytes"] = (
        "latency_ms"
    )
    max_quality_drop: Annotated[float, Field(ge=0)] | None = None  # below the reference, as seen on validation data
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    max_energy_mj: Annotated[float, Field(gt=0)] | None = None
    max_memory_kib: Annotated[float, Field(gt=0)] | None = None
    max_bytes: Count | None = None


class Deploy(Section):
    """Budgets by device; a device without one takes `default`."""

    default: Budget = Budget(max_quality_drop=0.01)
    budgets: dict[Name, Budget] = Field(default_factory=dict)

    def budget(self, device: str) -> Budget:
        """The budget of a device."""
        return self.budgets.get(device, self.default)
