"""Records of what an artifact costs on a device. Units stand in the names."""

from typing import Any, Literal

from pydantic import Field

from tasks.records.base import Record
from tasks.records.figures import INFERENCE
from tasks.records.quality import Score

Provenance = Literal["measured", "estimated", "emulated", "none"]
EnergyKind = Literal[
    "counter_nvml",
    "counter_rapl",
    "rail_hwmon",
    "meter_external",
    "estimate_compiler",
    "estimate_cpu_time",
    "estimate_datasheet",
    "estimate_published",
    "none",
]
Flag = Literal["noisy", "crowded", "drift"]  # `stats` and `levels` say when
Status = Literal["ok", "unsupported", "invalid", "error"]


class Window(Record):
    """One timed window of a phase: a fresh process that ran it back to back. Per run, as all its figures are."""

    variant: str  # the measured variant or the reference
    runs: int
    seconds: float  # from the first input's placing to the last output
    began_ns: int | None = None  # Unix time, with its end; null in older records
    ended_ns: int | None = None
    busy_s: float  # of these, the clocked part: all runs and the reading of their outputs
    ms_p10: float
    ms_p50: float
    ms_mean: float
    cpu_ms_mean: float  # process CPU time of the clocked part, per run, all threads
    preempted: int | None = None  # how often the scheduler took a processor away; null where it does not say
    load_ms: float
    first_ms: float
    peak_memory_kib: int | None
    energy_mj: float | None = None  # per run, gross, of the clocked part, by a counter
    energy_mj_with_input: float | None = None  # likewise of the whole window
    idle_w: float | None = None
    active_w: float | None = None


class Judged(Record):
    """How far an estimate's method lies from published figures that it was not fitted to: relative, without sign."""

    rows: int
    mean: float
    median: float
    worst: float

    @property
    def told(self) -> str:
        """In words."""
        if self.rows == 1:
            return f"off by {self.mean:.0%} on the only published figure"
        return f"mean error {self.mean:.0%} on {self.rows} published figures left out, worst {self.worst:.0%}"


class Latency(Record):
    """Milliseconds per run of a phase, batch 1. A percentile is null below the sample count that supports it.

    A percentile is an estimate of its windows' own, interpolated, not MLPerf's bound: "p90" of 64 samples is anything
    from the 83rd to the 97th percentile of what the process would do for ever.
    """

    provenance: Provenance
    ms_p50: float  # median over windows of each window's p50
    ms_p10_floor: float | None = None  # the lowest p10: least disturbed, for comparing
    ms_p90: float | None = None  # from 64 runs a window
    ms_p95: float | None = None  # from 130
    ms_p99: float | None = None  # from 662
    ms_mean: float | None = None
    window_cv: float | None = None  # of the windows' p50

    ms_low: float | None = None  # of an estimate: the range that it predicts
    ms_high: float | None = None
    judged: Judged | None = None  # of an estimate: its error; null: not known
    fitted_to: str | None = None  # of an estimate from published figures: which; such ones compare among themselves


class Instructions(Record):
    """Instructions that an emulated processor executed for one inference: a proxy of cost, never a time."""

    per_inference: float
    spread: float  # between the inferences that were counted: highest less lowest, over the mean
    cpu: str


class Operator(Record):
    """One operator of an artifact, as the runtime ran it."""

    name: str
    kind: str
    ran_on: str | None  # a delegate, a kernel or a unit; null where the runtime does not say
    ms: float | None  # per inference, with profiling on, so their sum is not the latency


class Ratio(Record):
    """Variant over reference, paired window by window; below 1 the variant takes less. `stats.paired` makes it."""

    value: float
    low: float
    high: float
    pairs: int
    kind: Literal["interval", "range"] = "interval"  # of 95 %, or of pairs too few for one: then it claims nothing


class Memory(Record):
    """Working memory on the device."""

    provenance: Provenance
    peak_kib: float
    what: str  # what the figure counts


class Energy(Record):
    """Millijoules per run of a phase.

    `mj` is of the clocked part alone, as the latency is, and gross: idle power is in it. Its bounds are those of an
    estimate, or of a counter the interval over the windows (their range where there are less than six), each taken
    between what the gaps may have used: see `meters.window_energy`.
    """

    kind: EnergyKind
    mj: float | None = None
    low_mj: float | None = None
    high_mj: float | None = None
    mj_with_input: float | None = None  # of the whole loop, the input's placing in it
    net_mj: float | None = None  # `mj` less idle power; null where its bounds hold 0
    net_low_mj: float | None = None
    net_high_mj: float | None = None
    ratio: Ratio | None = None  # over the reference, paired window by window
    scope: str | None = None  # what the counter or the formula covers
    formula: str | None = None
    judged: Judged | None = None  # of an estimate, given the latency: its error; null: not known
    reason: str | None = None  # why there is no figure
    passing: bool = False  # a meter beside the device missed some of it: another measurement may tell


NOT_MEASURED = Energy(kind="none", reason="not measured")


class Phase(Record):
    """What one phase of an artifact's use costs, by windows, samples and counter readings of its own.

    A run of it is `volume` times its `unit`: one inference; a prompt of so many tokens; one more token.
    """

    unit: str = "inference"
    volume: int = 1
    latency: Latency | None = None
    ratio: Ratio | None = None  # of the latency, over the reference's same phase
    energy: Energy = NOT_MEASURED
    windows: tuple[Window, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)  # what else was seen: of its counters, clock and heat


def inference(**figures: Any) -> dict[str, Phase]:
    """The phases of what answers one example by one call."""
    return {INFERENCE: Phase(**figures)}


class Published(Record):
    """Somebody else's measurement of the same network on the same board: told beside our figures, never one of them.

    It may be of another file with other weights, and of another runtime than ours.
    """

    provenance: Literal["published"] = "published"
    network: str  # as it is called there
    ran_on: str  # the runtime, its threads, the clock
    precision: str
    latency_ms: float
    energy_mj: float | None
    source: str
    note: str


class Measurement(Record):
    """`out/benchmarks/<variant>@<device>.json`: one variant on one device."""

    schema_version: Literal[1] = 1
    variant: str
    device: str
    device_kind: str
    status: Status
    reason: str | None = None  # always there unless the status is ok
    passing: bool = False  # of an invalid one: the machine spoilt it in that moment, which says nothing of the variant
    mode: Literal["quick", "full"]
    artifact_sha256: str
    began_ms: int | None = None  # Unix time, with its end; null of what no clock was read for
    ended_ms: int | None = None
    reference: str | None = None  # the variant that ratios are against
    phases: dict[str, Phase] = Field(default_factory=dict)  # by name, in their order
    memory: Memory | None = None
    instructions: Instructions | None = None
    operators: tuple[Operator, ...] = ()
    scores: tuple[Score, ...] = ()  # by the device's own kernels; none: those of the evaluation by `kernels`
    kernels: Literal["default", "reference"] = "default"  # whose accuracy stands for this device
    stand_in: str | None = None  # named where the accuracy comes from another machine's kernels
    flags: tuple[Flag, ...] = ()
    environment: dict[str, Any] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)  # what only this kind of device can say
    published: tuple[Published, ...] = ()  # by others, of the same network on the same board

    @property
    def unknown(self) -> bool:
        """Whether nothing is known of the pair yet: it failed, or what spoilt its measurement may pass."""
        return self.status == "error" or (self.status == "invalid" and self.passing)

    @property
    def missed(self) -> str | None:
        """What a meter beside the device missed of its energy, that another measurement may tell; null of nothing."""
        return next((phase.energy.reason for phase in self.phases.values() if phase.energy.passing), None)

    @property
    def told_by(self) -> Phase:
        """The phase that variants are told apart by: the last, which lasts the longest in use."""
        return next(reversed(self.phases.values()), Phase())

    @property
    def latency(self) -> Latency | None:
        """That phase's; null where nothing tells it."""
        return self.told_by.latency

    @property
    def ratio(self) -> Ratio | None:
        """Likewise."""
        return self.told_by.ratio

    @property
    def energy(self) -> Energy:
        """Likewise."""
        return self.told_by.energy

    @property
    def windows(self) -> tuple[Window, ...]:
        """Likewise."""
        return self.told_by.windows
