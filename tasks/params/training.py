"""How a model is fitted."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.params.section import Section


class Training(Section):
    """How a model is fitted: shared by `train` and by every method of `compress`."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    optimizer: Literal["sgd", "momentum", "adam", "adamw", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    schedule: Literal["constant", "cosine", "exponential", "step"] = "constant"
    weight_decay: Annotated[float, Field(ge=0)] = 0.004  # adamw only
    seed: int = 0


class EarlyStopping(Section):
    """Stop when the validation loss has not fallen for `patience` epochs, and keep the best epoch."""

    patience: Annotated[int, Field(ge=1)]


class Train(Training):
    """The baseline's training."""

    epochs: Annotated[int, Field(ge=0)]  # 0: only for a model that comes trained
    early_stopping: EarlyStopping | None = None
