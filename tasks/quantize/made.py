"""What a converter gives."""

from dataclasses import dataclass

from tasks.records import Sensitivity


@dataclass(frozen=True)
class Made:
    """A variant's file and how it came about."""

    content: bytes  # of a `.tflite` file
    converter: str = ""  # names and versions of what made it
    excluded: tuple[str, ...] = ()
    drop: float | None = None  # on validation data, below the float32 file
    sensitivity: tuple[Sensitivity, ...] = ()
