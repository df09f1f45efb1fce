"""What is measured, and what a device asks of its champion."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

from tasks.errors import suggest
from tasks.params.section import Count, Name, Section, once
from tasks.records import Rates
from tasks.records.figures import lower


class Protocol(Section):
    """How long is measured: `quick` is for looking, `full` for reporting."""

    mode: Literal["quick", "full"]
    windows: Count | None = None  # null: 6; with less than 6 a ratio has no interval
    window_s: Annotated[float, Field(gt=0)] | None = None  # null: 0.15 s in quick mode, 10 s in full
    new_tokens: Count = 16  # that what keeps a state writes after each prompt


class Price(Section):
    """What one unit costs, and who says so."""

    value: Annotated[float, Field(ge=0)]
    source: Annotated[str, Field(min_length=1)]


class Prices(Section):
    """What the use of devices costs: `cost_per_million` is of what has a price here."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]  # ISO 4217
    kwh: Price | None = None  # energy, wherever a device stands
    hour: dict[Name, Price] = Field(default_factory=dict)  # of a device, by its name

    def rates(self, device: str) -> Rates | None:
        """What is paid on a device; None: nothing."""
        hour = self.hour.get(device)
        found = Rates(
            currency=self.currency,
            per_hour=hour.value if hour else None,
            per_kwh=self.kwh.value if self.kwh else None,
        )
        return found if found.of else None


class Benchmark(Section):
    """What is measured, and where."""

    reference: Name  # the float32 variant that every other one is compared with
    devices: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(once)]
    protocol: Protocol
    prices: Prices | None = None


def _minimized(name: str) -> str:
    if name not in lower():
        raise ValueError(f"received {name!r}; {suggest(name, lower())}")
    return name


Limit = Annotated[float, Field(gt=0)] | None
_LIMITS: dict[str, Any] = {f"max_{key}": (Limit, None) for key in lower()}
_Limits: Any = create_model("Limits", __base__=Section, **_LIMITS)


class Budget(_Limits):
    """What a device's champion must keep to; of those that do, the one with the least of `minimize` wins.

    Of those that cannot be told apart from it, the smallest under gzip. `max_<key>` limits any figure that is better
    the lower it is, by its key in the table of figures.
    """

    minimize: Annotated[str, AfterValidator(_minimized)] = "latency_ms"
    max_quality_drop: Annotated[float, Field(ge=0)] | None = None  # worse than the reference, as seen on validation
    # data: in the metric's own unit, below it, or above it where less is better

    @property
    def limits(self) -> dict[str, float]:
        """The most that each figure may be, by its key: what `max_<key>` says."""
        given = {key: getattr(self, f"max_{key}", None) for key in lower()}
        return {key: most for key, most in given.items() if most is not None}


class Bundle(Section):
    """Budgets by device; a device without one takes `default`."""

    default: Budget = Budget(max_quality_drop=0.01)
    budgets: dict[Name, Budget] = Field(default_factory=dict)

    def budget(self, device: str) -> Budget:
        """The budget of a device."""
        return self.budgets.get(device, self.default)
