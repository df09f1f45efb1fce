"""How far a compiler's estimate lies from published cycles of the same network: `infra/published/compiled.csv`.

Arm's evaluation kit prints what its simulator counts (Ethos-U55, 128 MAC a cycle, weights in flash). What Vela says of
the same network, for the same machine, is this project's own: benchmarks/vela.py makes it. Of one kit's seven logs one
is of a network whose file can be made here; the others' files are not published as text.
"""

import csv
import re
from dataclasses import dataclass

from tasks import paths
from tasks.errors import DataError
from tasks.published import judge, table
from tasks.published.judge import Guess
from tasks.records import Judged

CYCLES = re.compile(r"(\d+) cycles")
BOARD = "ethos-u55"  # of the table


@dataclass(frozen=True)
class Compiled:
    """What a compiler says of a published network."""

    network: str
    accelerator: str
    cycles: float


def compiled() -> list[Compiled]:
    """All lines.

    Raises:
        DataError: the file is missing or not such a table.
    """
    path = paths.own_or_packaged(paths.COMPILED)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                Compiled(line["network"], line["accelerator"], float(line["cycles"])) for line in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a table of compilers' estimates: {type(error).__name__}: {error}") from None


def guesses(accelerator: str) -> list[Guess]:
    """A compiler's cycles beside published ones, for accelerators of a family: of `ethos-u55-128` the U55's."""
    told = {row.network: float(found[1]) for row in table.of_board(BOARD) if (found := CYCLES.match(row.note))}
    family = accelerator.rpartition("-")[0]
    return [
        Guess(each.network, each.accelerator, each.cycles, told[each.network])
        for each in compiled()
        if each.accelerator.startswith(f"{family}-") and each.network in told
    ]


def error(accelerator: str) -> Judged | None:
    """How far its estimates lie from what is published; None: nothing is, of such an accelerator."""
    return judge.judged(guesses(accelerator))
