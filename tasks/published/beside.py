"""What others have published of the very network and board that are measured: shown beside it, and never chosen by."""

from pathlib import Path

from tasks.errors import UnsupportedError
from tasks.formats import cost
from tasks.formats.schemes import SCHEMES
from tasks.published import networks, table
from tasks.records import Published


def beside(path: Path, scheme: str, board: str) -> tuple[Published, ...]:
    """The published figures of a file's network on a board, at a precision like that of its scheme.

    Args:
        path: the `.tflite` file; its products say which network it is, not its name.
        scheme: its own.
        board: of the table.
    """
    return tuple(_figure(row) for row in rows(path, scheme, board))


def rows(path: Path, scheme: str, board: str) -> list[table.Row]:
    """Likewise, as the table has them."""
    found = [row for row in table.of_board(board) if row.numeric == numeric(scheme) and row.latency_ms is not None]
    if not found:
        return []
    try:
        operators = cost.read(path)
    except UnsupportedError:  # nothing that can be counted
        return []
    name = networks.known(operator.product for operator in operators if operator.product)
    return [row for row in found if name and row.network == name]


def numeric(scheme: str) -> str | None:
    """How a scheme computes, as `table.Row.numeric` says it of a row."""
    found = SCHEMES.load(scheme)
    if found.activations == "int8":
        return table.INTEGERS
    return table.FLOATS if found.activations == "float32" and (found.weights or 0) >= 16 else None


def _figure(row: table.Row) -> Published:
    assert row.latency_ms is not None  # as of all that were picked
    return Published(
        network=row.model,
        ran_on=row.ran_on,
        precision=row.precision,
        latency_ms=row.latency_ms,
        energy_mj=row.energy_mj,
        source=row.source,
        note=row.note,
    )
