"""How a model is fitted."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tasks.params.section import Count, Natural, Section, Seed

DECAYING = ("adamw", "momentum", "muon", "sgd")
Parts = Annotated[int, Field(ge=2, le=64)]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.@-]*$", max_length=255)]


class Augment(Section):
    """How images are changed while a model is fitted, each anew in each epoch; what judges is never changed."""

    flip: Literal["horizontal", "vertical", "both"] | None = None  # every other image, by chance, along each axis
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # by whole pixels, up to so much of each side
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, either way
    cutout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # blanks a square of that share of the shorter side
    fill: Literal["zero", "reflect", "nearest"] = "zero"  # what is seen where the image has ended


class Training(Section):
    """How a model is fitted: shared by `train` and by every method of `compress`."""

    epochs: Count
    batch_size: Count = 64
    optimizer: Literal["sgd", "momentum", "adam", "adamw", "muon", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    schedule: Literal["constant", "cosine", "exponential", "step"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0  # in so much of all steps the rate climbs to it
    clip: Annotated[float, Field(gt=0)] | None = None  # the gradients' norm, all of them together, is never more
    precision: Literal["float32", "mixed"] = "float32"  # mixed: products in bfloat16, where the processor has these
    # of every weight, times the learning rate; null: adamw's 0.004, none of the others that have it: `DECAYING`
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    # classes: balanced: a class counts the more in the loss the fewer examples it has, so that all count alike in sum
    class_weights: Literal["none", "balanced"] = "none"
    augment: Augment | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _only_some_decay(self) -> Self:
        if self.weight_decay is not None and self.optimizer not in DECAYING:
            allowed = ", ".join(DECAYING)
            raise ValueError(f"weight_decay is of the optimizers {allowed}; received {self.optimizer!r}")
        return self


class Parallel(Section):
    """The baseline's training on several devices: each has a part of every batch, or of every dense layer."""

    # so many GPUs of this machine, or as many parts of its processor; each has a part of every batch
    workers: Parts | None = None
    hosts: tuple[Host, ...] = Field(
        default=(), max_length=63
    )  # of your ssh configuration: likewise, this machine first
    python: str = "python3"  # of the hosts, with TensorFlow and tf_keras as they are here
    layers: Parts | None = None  # the columns of every dense layer lie on so many GPUs, or parts of the processor

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.workers is not None) + bool(self.hosts) + (self.layers is not None) != 1:
            raise ValueError("one of `workers`, `hosts` and `layers` expected")
        if len(set(self.hosts)) != len(self.hosts):
            raise ValueError(f"hosts: each once expected; received {', '.join(self.hosts)}")
        return self

    @property
    def ways(self) -> int:
        """Into how many parts a batch goes, or a layer; of hosts with a GPU each."""
        return self.workers or self.layers or 1 + len(self.hosts)


class EarlyStopping(Section):
    """Stop when the validation loss has not fallen for `patience` epochs, and keep the best epoch."""

    patience: Count


class Train(Training):
    """The baseline's training."""

    epochs: Natural  # 0: only for a model that comes trained
    early_stopping: EarlyStopping | None = None
    parallel: Parallel | None = None  # null: one process that does all

    @model_validator(mode="after")
    def _what_can_be_parted(self) -> Self:
        if self.parallel is None:
            return self
        if self.epochs == 0:
            raise ValueError("parallel: nothing is trained in 0 epochs; leave it out")
        if self.optimizer == "muon":
            raise ValueError("parallel: muon needs a layer's whole gradient in one place; choose another optimizer")
        if not self.parallel.layers and self.batch_size < self.parallel.ways:
            raise ValueError(
                f"batch_size: at least one example for each of {self.parallel.ways} workers expected; "
                f"received {self.batch_size}"
            )
        return self
