"""How a model is fitted."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.params.section import Count, Natural, Section, Seed

DECAYING = ("adamw", "momentum", "sgd")


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
    # of every weight, times the learning rate; null: adamw's 0.004, none of sgd and momentum; of no other optimizer
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


class EarlyStopping(Section):
    """Stop when the validation loss has not fallen for `patience` epochs, and keep the best epoch."""

    patience: Count


class Train(Training):
    """The baseline's training."""

    epochs: Natural  # 0: only for a model that comes trained
    early_stopping: EarlyStopping | None = None
