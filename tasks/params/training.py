"""How a model is fitted."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import Count, Natural, Section, Seed


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
    weight_decay: Annotated[float, Field(ge=0)] = 0.004  # adamw only
    seed: Seed = 0


class EarlyStopping(Section):
    """Stop when the validation loss has not fallen for `patience` epochs, and keep the best epoch."""

    patience: Count


class Train(Training):
    """The baseline's training."""

    epochs: Natural  # 0: only for a model that comes trained
    early_stopping: EarlyStopping | None = None
