"""The methods of `compress`."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from tasks.members import METHODS
from tasks.params.chosen import Chosen
from tasks.params.models import Decoder, Family, Stored
from tasks.params.section import Count, Name, Natural, Section, Seed, Share
from tasks.params.training import Training

Pattern = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*:[1-9]\d*$")]
Teacher = Annotated[
    Annotated[Name, Tag("name")] | Annotated[Decoder, Tag("decoder")],
    Discriminator(lambda given: "name" if isinstance(given, str) else "decoder"),
]
Clusters = Annotated[int, Field(ge=2, le=256)]


class Method(Training):
    """What every method has: where it starts, how it is fine-tuned, and whom it listens to meanwhile."""

    parent: Name
    teacher: Teacher | None = None  # the parent or one of its ancestors, whose answers are learned beside the labels
    teacher_weight: Annotated[float, Field(ge=0, le=1)] = 0.9  # of its answers against the labels; 0: they alone
    temperature: Annotated[float, Field(ge=1)] = 4.0  # softens its answers

    @model_validator(mode="after")
    def _a_teacher_weighs_no_classes(self) -> Self:
        if self.teacher is not None and self.class_weights != "none":
            raise ValueError("class_weights are of the labels alone: leave them out where there is a teacher")
        return self

    @model_validator(mode="after")
    def _only_a_teacher_weighs(self) -> Self:
        for key in ("teacher_weight", "temperature"):
            if self.teacher is None and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} means nothing without `teacher`, the model whose answers are learned")
        return self


class Slim(Method):
    """Structured pruning: whole channels, units and attention heads are removed."""

    method: Literal["slim"]
    epochs: Natural
    keep: Share | None = None  # the share of `budget` that stays
    budget: Literal["macs", "parameters", "latency"] = "macs"
    device: Name | None = None  # latency: the device whose estimate is meant
    widths: dict[str, Count] = Field(
        default_factory=dict
    )  # instead of `keep`: how many channels each layer named here keeps
    scope: Literal["global", "uniform"] = "global"  # the least important anywhere, or as large a share of every layer
    score: Literal["taylor", "l1", "bn"] = "taylor"

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if (self.keep is None) == (not self.widths):
            raise ValueError("slim needs `keep` (a share of the budget) or `widths` (channels by layer), and not both")
        if (self.budget == "latency") != (self.device is not None):
            raise ValueError("slim needs `device` for the budget latency, and for no other")
        return self


class Prune(Method):
    """Magnitude pruning to a target sparsity."""

    method: Literal["prune"]
    sparsity: Share | None = None  # null: as the pattern has it
    pattern: Pattern | None = None  # "2:4": of each 4 weights in a row 2 are zero
    block: tuple[Count, Count] | None = None  # zeros in blocks of so many rows and columns
    allocate: Literal["uniform", "sensitivity"] = "uniform"  # sensitivity: more where it costs less
    layers: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict
    )  # the sparsity of the layers named here; 0 leaves one

    @model_validator(mode="after")
    def _one_structure(self) -> Self:
        if (self.sparsity is None) == (self.pattern is None):
            raise ValueError("prune needs `sparsity` or `pattern`, and not both")
        if self.pattern and (self.block or self.layers or self.allocate != "uniform"):
            raise ValueError("a pattern leaves no choice: it goes with neither `block`, `layers` nor `allocate`")
        if self.pattern and int(self.pattern.split(":")[0]) >= int(self.pattern.split(":")[1]):
            raise ValueError(f"pattern {self.pattern!r}: the zeros must be fewer than the weights that they are among")
        return self


class Cluster(Method):
    """Weight clustering: each layer's kernel shares so many values."""

    method: Literal["cluster"]
    clusters: Clusters | Literal["auto"] = 16  # auto: for each layer the fewest that validation allows
    tolerance: Annotated[float, Field(ge=0)] = 0.002  # auto: what one layer alone may cost of the validation quality
    layers: dict[str, Clusters] = Field(default_factory=dict)  # the clusters of the layers named here

    @model_validator(mode="after")
    def _only_auto_tolerates(self) -> Self:
        if self.clusters != "auto" and self.tolerance != type(self).model_fields["tolerance"].default:
            raise ValueError("tolerance means nothing without `clusters: auto`")
        return self


class Factorize(Method):
    """Low-rank factors instead of a kernel."""

    method: Literal["factorize"]
    epochs: Natural
    energy: Share = 0.9  # of the squared singular values, which the rank must keep
    layers: dict[str, Count] = Field(default_factory=dict)  # the ranks of these layers, which are then the only ones


class Distill(Method):
    """Training towards a teacher's answers, and its features if asked."""

    method: Literal["distill"]
    teacher: Teacher  # required: likewise, or a checkpoint of its own, {family: decoder, source: …}
    model: Family | None = None  # a student of another family, from new weights; null: the parent is the student
    features: dict[str, str] = Field(
        default_factory=dict
    )  # the student's layers, each with the teacher's layer that it is to resemble


class Finetune(Method):
    """Further training and nothing else: the control of equal budget that compressed models are compared with."""

    method: Literal["finetune"]


class Smooth(Method):
    """Outliers of activations moved into the weights that read them; the model answers as before."""

    method: Literal["smooth"]
    epochs: Literal[0] = 0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.6  # how much of them the weights take over
    examples: Count = 64  # of training, that the activations are seen on
    teacher: None = None


class Gptq(Method):
    """Weights of 4 bits in blocks that make up for each other's rounding; nothing is trained."""

    method: Literal["gptq"]
    epochs: Literal[0] = 0
    block: Literal[32, 64, 128, 256] = 32  # as in `quantize`
    examples: Count = 64  # of training, that the layers' inputs are seen on
    damping: Annotated[float, Field(gt=0, lt=1)] = 0.01  # of the inputs' products with each other
    # the share of the weights that keeps 8 bits, where 4 cost most: of a model with one output, of classes or tokens
    eight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    teacher: None = None


class External(Stored):
    """A model of one's own in the tree, for comparing: `parent` says what it stands beside."""

    method: Literal["external"]
    parent: Name
    epochs: Literal[0] = 0
    seed: Seed = 0
    teacher: None = None


Own = Slim | Prune | Cluster | Factorize | Distill | Finetune | Smooth | Gptq | External
if TYPE_CHECKING:
    Compress = Own
else:
    Compress = Annotated[Section, Chosen("method", Annotated[Own, Field(discriminator="method")], METHODS)]
