"""`tercet devices --support`: which operator runs at which scheme on which runtime."""

import re

from flows.operators import Matrix, Outcome
from flows.views import terminal
from tasks import paths, records

MARKS: dict[Outcome, str] = {"runs": "●", "differs": "≠", "refused": "–", "not converted": "·"}
TENSOR = re.compile(r"(DataType \w+) \([^)]*\)(?: \(and \d+ more\))?")  # which one is Vela's first differs by the model


def support(*, as_json: bool = False) -> None:
    """Print the probed matrix, and each reason once.

    Raises:
        DataError: it has not been probed.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    matrix = records.read(Matrix, paths.own_or_packaged(paths.SUPPORT))
    if as_json:
        print(matrix.model_dump_json(indent=2))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, caption=legend(matrix))
    table.caption_justify = "left"
    table.add_column("operator")
    for runtime in runtimes(matrix):
        table.add_column(runtime.replace("-", "-\n"), no_wrap=True)
    for operator, cells in rows(matrix).items():
        table.add_row(operator, *cells)
    console = terminal.console()
    terminal.show(console, table)
    console.print(Text(" · ".join(f"{mark} {outcome}" for outcome, mark in MARKS.items()), style="dim"))
    for reason in reasons(matrix):
        console.print(Text(reason, style="dim"))
    console.print(Text(f"{probed(matrix)}; with others: python -m flows.operators", style="dim"))


def runtimes(matrix: Matrix) -> list[str]:
    """Those that were probed, in their order."""
    return list(dict.fromkeys(cell.runtime for cell in matrix.cells))


def schemes(matrix: Matrix) -> list[str]:
    """Likewise."""
    return list(dict.fromkeys(cell.scheme for cell in matrix.cells))


def rows(matrix: Matrix) -> dict[str, list[str]]:
    """Of each operator what each runtime does with it: a mark for each scheme, a blank where that is not known."""
    marks = {(cell.operator, cell.runtime, cell.scheme): MARKS[cell.outcome] for cell in matrix.cells}
    return {
        operator: [
            "".join(marks.get((operator, runtime, scheme), " ") for scheme in schemes(matrix))
            for runtime in runtimes(matrix)
        ]
        for operator in dict.fromkeys(cell.operator for cell in matrix.cells)
    }


def legend(matrix: Matrix) -> str:
    """What the marks of a cell are of."""
    return f"each cell: {', '.join(schemes(matrix))}"


def probed(matrix: Matrix) -> str:
    """With what was looked."""
    return f"probed with {', '.join(f'{name} {version}' for name, version in matrix.versions.items())}"


def reasons(matrix: Matrix) -> list[str]:
    """Each reason once: who says so, and of which operators at which scheme."""
    told: dict[tuple[str, str], dict[str, list[str]]] = {}
    for cell in matrix.cells:
        if cell.reason:
            runtime = "conversion" if cell.outcome == "not converted" else cell.runtime
            said = told.setdefault((runtime, TENSOR.sub(r"\1", cell.reason)), {})
            operators = said.setdefault(cell.scheme, [])
            operators += [cell.operator] if cell.operator not in operators else []
    return [
        f"{runtime}: {reason} ({'; '.join(f'{scheme}: ' + ', '.join(of) for scheme, of in by_scheme.items())})"
        for (runtime, reason), by_scheme in told.items()
    ]
