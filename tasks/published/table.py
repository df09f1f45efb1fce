"""The table of what others have published: `infra/published/latency.csv`, a line for each figure, with its source."""

import csv
import re
from dataclasses import astuple, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Self

from tasks import paths
from tasks.errors import DataError

INTEGERS, FLOATS = "int8", "float32"  # what precisions are told apart by


@dataclass(frozen=True)
class Row:
    """One figure of one network on one board."""

    board: str  # a name of ours: rows of the same board have the same
    core: str
    clock_mhz: float | None  # None: its source does not say
    runtime: str
    release: str  # of the round of MLPerf Tiny; "": it is of none
    network: str | None  # of `networks.NETWORKS`; None: none of these
    precision: str  # as published
    threads: str
    latency_ms: float | None
    energy_mj: float | None
    energy_scope: str
    device: str  # as published
    model: str  # likewise
    source: str
    note: str

    @classmethod
    def read(cls, line: dict[str, str]) -> Self:
        """One line of the table."""
        numbers = {key: float(line[key]) if line[key] else None for key in ("clock_mhz", "latency_ms", "energy_mj")}
        return cls(**{**line, **numbers, "network": line["network"] or None})  # type: ignore[arg-type]  # by its columns

    @property
    def numeric(self) -> str | None:
        """Whether it computes in 8-bit integers throughout, or in floats; None: neither, or not said."""
        if self.precision.startswith((INTEGERS, "uint8")):
            return INTEGERS
        return FLOATS if self.precision.startswith("float") else None

    @property
    def ran_threads(self) -> str:
        """How many threads, where the column or the note says so; "": nobody does."""
        told = re.match(r"(\d+) CPU$", self.note)
        return self.threads or (told[1] if told else "")

    @property
    def ran_on(self) -> str:
        """The runtime, and how it was run, in words."""
        threads = {"": "", "1": ", 1 thread"}.get(self.ran_threads, f", {self.ran_threads} threads")
        release = f", MLPerf Tiny {self.release}" if self.release else ""
        clock = f", {self.clock_mhz:g} MHz" if self.clock_mhz else ""
        return f"{self.runtime}{threads}{clock}{release}"


def rows() -> tuple[Row, ...]:
    """All of it, in the order of the file.

    Raises:
        DataError: the file is missing or not such a table.
    """
    return _read(paths.own_or_packaged(paths.PUBLISHED))


@cache
def _read(path: Path) -> tuple[Row, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(Row.read(line) for line in csv.DictReader(file))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a table of published figures: {type(error).__name__}: {error}") from None


def boards() -> list[str]:
    """The names of all boards that it has figures of."""
    return sorted({row.board for row in rows()})


def of_board(board: str) -> list[Row]:
    """What is published of a board."""
    return [row for row in rows() if row.board == board]


def digest(found: list[Row]) -> str:
    """Of these rows, whatever else the table holds."""
    return sha256(repr([astuple(row) for row in found]).encode()).hexdigest()[:32]
