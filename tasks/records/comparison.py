"""Records of the comparison: variants and measurements joined, with what only stands between them."""

from typing import Literal

from pydantic import Field

from tasks.records.artifacts import ArtifactCard, ModelCard
from tasks.records.base import Record
from tasks.records.measurements import Measurement
from tasks.records.quality import Beside, Better, Choices, Evaluation, Paired, YardstickScores, gain

Outcome = Literal[
    "reference",
    "faster",
    "slower",
    "fewer instructions",
    "more instructions",
    "no change",
    "inconclusive",
    "not compared",
    "unsupported",
    "invalid",
    "error",
]


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


class Control(Record):
    """The float model that was trained further and nothing else: what training alone would have given."""

    variant: str
    total_epochs: int  # the nearest to the compressed variant's that there is
    quality: float
    paired: Paired | None  # of the compressed variant against it; null where there is no test


class Speed(Record):
    """Latency, or an emulator's instructions, over that of `against`; below 1 is better. See `tasks.ship.speed`."""

    against: str  # a variant
    ratio: float
    low: float | None
    high: float | None
    of: Literal["latency", "instructions"] = "latency"
    kind: Literal["interval", "range"] = "interval"  # a range, of too few pairs or of two estimates, claims nothing
    pairs: int | None = None  # of windows; null where nothing was measured

    @property
    def few(self) -> bool:
        """Whether so few pairs stand behind it that nothing may be concluded."""
        return self.kind == "range" and self.pairs is not None


class Rates(Record):
    """What a device's use costs; null: it has no price."""

    currency: str
    per_hour: float | None = None  # of the device
    per_kwh: float | None = None

    @property
    def of(self) -> list[str]:
        """What has a price, in words."""
        named = {"hours": self.per_hour, "energy": self.per_kwh}
        return [name for name, price in named.items() if price is not None]


class OverSeeds(Record):
    """The mean of a figure over the seeds that tell it, of one origin, with the 95 % interval of Student's t."""

    mean: float
    low: float
    high: float
    n: int  # seeds, two or more


class Row(Record):
    """One line of the comparison: a variant on a device, with everything that is compared."""

    variant: str
    device: str
    model: str
    scheme: str
    total_epochs: int
    metric: str
    unit: str = "share"  # of the quality; "": as the target itself
    better: Better = "higher"
    # null, as all of these, of a variant whose answers are no numbers; such a pair is never ok
    quality: float | None
    quality_low: float | None
    quality_high: float | None
    quality_n: int
    validation_quality: float | None  # what choices are made on
    validation_n: int | None = None
    validation_paired: Paired | None = None  # null for the reference itself
    paired: Paired | None  # null for the reference itself
    choices: Choices | None = None  # to the questions of evaluate.choices, without each answer
    yardsticks: tuple[Beside, ...] = ()
    control: Control | None = None  # of a variant that was trained longer than the reference; null where there is none
    bytes: int
    gzip_bytes: int
    zstd_bytes: int | None = None
    measurement: Measurement
    rates: Rates | None = None  # null: nobody has told any
    anchor: str | None = None  # the variant that the device's others are compared with; null: none ran
    speed: Speed | None = None  # how this one compares; null where it does not
    outcome: Outcome  # the same in a word
    verdict: str  # and in a sentence or more
    of: str | None = None  # where several seeds have made it: the variant's name in params.yaml, which the first has
    seed: int | None = None  # and the seed
    over_seeds: dict[str, OverSeeds] = Field(default_factory=dict)  # of the first's row: each figure, by its key
    # likewise, by how much it is worse on validation data than the reference of the same seed; null for that one itself
    drop_over_seeds: OverSeeds | None = None
    fronts: tuple[str, ...] = ()  # the costs, by key, at which no other variant of the device is better in both

    @property
    def worth(self) -> float:
        """The validation quality of a variant that was judged, as every pair that is ok was."""
        assert self.validation_quality is not None, self.variant
        return self.validation_quality

    def gain(self, quality: float, over: float) -> float:
        """By how much a quality of this metric is better than another; negative where it is worse."""
        return gain(self.better, quality, over)


class Comparison(Record):
    """`out/report/comparison.json`: the whole table."""

    schema_version: Literal[1] = 1
    name: str
    reference: str
    rows: tuple[Row, ...]  # device by device
    replicas: tuple[Row, ...] = ()  # those of further seeds, each compared with its own seed's reference
    yardsticks: tuple[YardstickScores, ...] = ()
    failures: tuple[str, ...] = ()  # variants left out of the rows, each with its reason
    refused: tuple[str, ...] = ()  # likewise, of those that can never be made: nobody waits for them
    notes: tuple[str, ...] = ()  # what a reader must know to compare fairly
