"""The frozen records that cross stages, as they are written to JSON. The JSON files are the truth of a run.

Units stand in the names. Every figure says where it comes from: `measured`, `estimated`, `emulated` or `none`;
what is not known is null, never 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import DataError
from tasks.files import write_json

SCHEMA_VERSION = 1
Provenance = Literal["measured", "estimated", "emulated", "none"]
EnergyKind = Literal[
    "counter_nvml",
    "counter_rapl",
    "rail_hwmon",
    "meter_external",
    "estimate_compiler",
    "estimate_cpu_time",
    "estimate_datasheet",
    "none",
]
Flag = Literal["noisy", "crowded", "drift"]  # `stats` and `levels` say when
Split = Literal["validation", "test"]
Status = Literal["ok", "unsupported", "invalid", "error"]
R = TypeVar("R", bound="Record")


class Record(BaseModel):
    """Base of all records: frozen, unknown keys refused, non-finite numbers refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def save(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))


def read(kind: type[R], path: Path) -> R:
    """Read a record that an earlier stage wrote.

    Raises:
        DataError: the file is missing or not such a record.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; the stage that writes it has not run, or failed: `tercet run`"
        ) from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise DataError(f"{path}: not a {kind.__name__} of schema {SCHEMA_VERSION}: {where}: {fault['msg']}") from None


class Tensor(Record):
    """One named input or output of an artifact."""

    name: str
    shape: tuple[int, ...]  # without the batch axis
    dtype: str
    scale: float | None = None  # real = scale * (integer - zero_point), where quantized
    zero_point: int | None = None


def judged(outputs: Sequence[Tensor]) -> str:
    """The name of the output that quality is of: of several the one that learned the target `label`, else the first."""
    return next((tensor.name for tensor in outputs if tensor.name == "label"), outputs[0].name)


class Layer(Record):
    """What compression left in one layer's kernel."""

    name: str
    parameters: int
    sparsity: float  # share of exact zeros
    unique_values: int


class Code(Record):
    """A Python module of the user's, which registers layers that a model has."""

    module: str
    sha256: str  # of its sources: what is made of the model hangs from them


class ModelCard(Record):
    """`out/models/<model>/card.json`: a Keras model, or a LiteRT file of one's own."""

    schema_version: Literal[1] = 1
    model: str
    parent: str | None
    method: str  # "train", or the method of `compress`
    parameters: int | None  # null where only the runtime knows the network
    epochs: int  # trained in this stage
    # all that led here, since the first weights or a file of one's own, a student's teacher among it: what an
    # equal-budget control must match
    total_epochs: int
    layers: tuple[Layer, ...]
    preserves: tuple[Literal["sparsity", "clusters"], ...] = ()  # what a later method must keep
    history: dict[str, tuple[float, ...]]  # one value an epoch
    code: Code | None = None
    params: dict[str, dict[str, Any]] = {}  # by section or method: what it was made by, defaults among it


class Program(Record):
    """The network of an artifact once more, for another runtime, in a file beside it."""

    file: str
    sha256: str
    bytes: int
    inputs: tuple[str, ...]  # the names of its arguments, in order
    outputs: tuple[str, ...]


class Sensitivity(Record):
    """What one layer loses where it alone is quantized and all others are float32, on validation data."""

    layer: str
    operators: tuple[str, ...]  # what the layer has become
    quality_drop: float  # below the float32 artifact; negative where it is better
    sqnr_db: float | None  # of the outputs: signal to quantization noise; null where there is no noise
    n: int  # examples


class ArtifactCard(Record):
    """`out/artifacts/<variant>/card.json`: a file that can be deployed."""

    schema_version: Literal[1] = 1
    variant: str
    model: str
    scheme: str
    file: str
    sha256: str
    bytes: int
    gzip_bytes: int  # gzip -9: the size of a download
    zstd_bytes: int | None = None  # zstd -19
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]  # how many of each
    aware_epochs: int = 0
    ranges: str = "min-max"  # of the activations, where the scheme has any: how they were chosen
    excluded: tuple[str, ...] = ()  # layers that are not at the scheme
    allowed_drop: float | None = None  # that layers were excluded for, on validation data
    validation_drop: float | None = None  # what it came to, below the float32 artifact
    sensitivity: tuple[Sensitivity, ...] = ()  # where it was needed, the most sensitive layer first
    distance: float | None = None  # of the answers from the Keras model's, over their spread; null: there is no such
    note: str | None = None  # what the scheme's name would hide
    converter: str  # name and version
    params: dict[str, Any] = {}  # of its entry in `quantize`, defaults among them
    stablehlo: Program | None = None
    no_stablehlo: str | None = None  # why there is none


class ClassFigures(Record):
    """How one class fares."""

    name: str
    n: int
    precision: float | None  # null where nothing was predicted so
    recall: float | None


class Score(Record):
    """The quality of an artifact on one split, by the kernels named."""

    metric: str  # "accuracy" or "auc": higher is better
    value: float
    low: float  # 95 %: Wilson's score interval of an accuracy, Hanley and McNeil's of an AUC
    high: float
    n: int
    kernels: Literal["default", "reference"]  # the runtime's own choice, or its portable reference kernels
    split: Split
    predictions: tuple[int, ...]  # classes, one per example, in the split's order; none where the metric is not of them
    outputs_sha256: str  # of the float32 outputs, so that two runs can be told apart


class Evaluation(Record):
    """`out/evaluations/<variant>.json`: the quality of the artifact itself, never of the Keras model."""

    schema_version: Literal[1] = 1
    variant: str
    artifact_sha256: str
    runtime: str
    scores: tuple[Score, ...]
    classes: tuple[ClassFigures, ...] = ()  # of the test split, default kernels
    confusion: tuple[tuple[int, ...], ...] = ()  # rows: true class, columns: predicted


class Subject(Record):
    """What is known of a variant before any device is asked."""

    artifact: ArtifactCard
    model: ModelCard
    evaluation: Evaluation

    @property
    def variant(self) -> str:
        """The variant's name."""
        return self.artifact.variant

    @property
    def total_epochs(self) -> int:
        """Epochs since the first weights, quantization-aware ones among them."""
        return self.model.total_epochs + self.artifact.aware_epochs


class Window(Record):
    """One timed window: a fresh process that ran the artifact back to back."""

    variant: str  # the measured variant or the reference
    runs: int
    seconds: float  # from the first input's placing to the last output
    busy_s: float  # of these, the clocked part: all inferences and the reading of their outputs
    ms_p10: float
    ms_p50: float
    ms_mean: float
    cpu_ms_mean: float  # process CPU time of the clocked part, per inference, all threads
    preempted: int | None = None  # how often the scheduler took a processor away; null where it does not say
    load_ms: float
    first_ms: float
    peak_memory_kib: int | None
    energy_mj: float | None = None  # per inference, gross, of the clocked part, by a counter
    energy_mj_with_input: float | None = None  # likewise of the whole window
    idle_w: float | None = None
    active_w: float | None = None


class Latency(Record):
    """Milliseconds per inference, batch 1. A percentile is null below the sample count that supports it.

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
    """Millijoules per inference.

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
    reason: str | None = None  # why there is no figure


class Measurement(Record):
    """`out/benchmarks/<variant>@<device>.json`: one variant on one device."""

    schema_version: Literal[1] = 1
    variant: str
    device: str
    device_kind: str
    status: Status
    reason: str | None = None  # always there unless the status is ok
    mode: Literal["quick", "full"]
    artifact_sha256: str
    began_ms: int | None = None  # Unix time, with its end; null of what no clock was read for
    ended_ms: int | None = None
    reference: str | None = None  # the variant that `ratio` is against
    latency: Latency | None = None
    ratio: Ratio | None = None
    memory: Memory | None = None
    instructions: Instructions | None = None
    operators: tuple[Operator, ...] = ()
    energy: Energy = Energy(kind="none", reason="not measured")
    scores: tuple[Score, ...] = ()  # by the device's own kernels; none: those of the evaluation by `kernels`
    kernels: Literal["default", "reference"] = "default"  # whose accuracy stands for this device
    stand_in: str | None = None  # named where the accuracy comes from another machine's kernels
    flags: tuple[Flag, ...] = ()
    windows: tuple[Window, ...] = ()
    environment: dict[str, Any] = {}
    details: dict[str, Any] = {}  # what only this kind of device can say


class McNemar(Record):
    """The paired test of a variant against the reference on the same examples."""

    better: Annotated[int, Field(ge=0)]  # examples that only the variant gets right
    worse: Annotated[int, Field(ge=0)]
    p_value: float
    p_holm: float | None = None  # raised for the other variants that are tested on the same device


class Control(Record):
    """The float model that was trained further and nothing else: what training alone would have given."""

    variant: str
    total_epochs: int  # the nearest to the compressed variant's that there is
    quality: float
    mcnemar: McNemar | None  # of the compressed variant against it; null where no class is predicted


class Row(Record):
    """One line of the comparison: a variant on a device, with everything that is compared."""

    variant: str
    device: str
    model: str
    scheme: str
    total_epochs: int
    metric: str
    quality: float
    quality_low: float
    quality_high: float
    quality_n: int
    validation_quality: float  # what choices are made on
    validation_n: int | None = None
    validation_mcnemar: McNemar | None = None  # null for the reference itself, and where no class is predicted
    mcnemar: McNemar | None  # null for the reference itself
    control: Control | None = None  # of a variant that was trained longer than the reference; null where there is none
    bytes: int
    gzip_bytes: int
    zstd_bytes: int | None = None
    measurement: Measurement
    verdict: str
    on_latency_front: bool
    on_energy_front: bool


class Comparison(Record):
    """`out/report/comparison.json`: the whole table."""

    schema_version: Literal[1] = 1
    name: str
    reference: str
    rows: tuple[Row, ...]  # device by device
    failures: tuple[str, ...] = ()  # variants left out of the rows, each with its reason
    notes: tuple[str, ...] = ()  # what a reader must know to compare fairly
