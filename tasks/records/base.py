"""What every record is: frozen, strict, written whole as JSON and read with one line of error."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import DataError
from tasks.files import write_json

SCHEMA_VERSION = 1
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
        said = ": ".join(filter(None, [".".join(str(step) for step in fault["loc"]), fault["msg"]]))
        raise DataError(
            f"{path}: not a {kind.__name__} of schema {SCHEMA_VERSION}: {said}; "
            "another version of Tercet may have written it: `tercet run`"
        ) from None
