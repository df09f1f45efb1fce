"""`tercet devices --support`: which operator runs at which scheme on which runtime."""

from flows.operators import Matrix, Outcome
from flows.views import terminal
from tasks import paths, records

MARKS: dict[Outcome, str] = {"runs": "●", "differs": "≠", "refused": "–", "not converted": "·"}


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
    schemes = list(dict.fromkeys(cell.scheme for cell in matrix.cells))
    runtimes = list(dict.fromkeys(cell.runtime for cell in matrix.cells))
    marks = {(cell.operator, cell.runtime, cell.scheme): MARKS[cell.outcome] for cell in matrix.cells}
    caption = "each cell: " + ", ".join(schemes)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, caption=caption)
    table.caption_justify = "left"
    table.add_column("operator")
    for runtime in runtimes:
        table.add_column(runtime.replace("-", "-\n"), no_wrap=True)
    for operator in dict.fromkeys(cell.operator for cell in matrix.cells):
        cells = ["".join(marks.get((operator, runtime, scheme), " ") for scheme in schemes) for runtime in runtimes]
        table.add_row(operator, *cells)
    console = terminal.console()
    terminal.show(console, table)
    console.print(Text(" · ".join(f"{mark} {outcome}" for outcome, mark in MARKS.items()), style="dim"))
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in matrix.cells:
        if cell.reason:
            runtime = "conversion" if cell.outcome == "not converted" else cell.runtime
            reasons.setdefault((runtime, cell.reason), []).append(f"{cell.operator} {cell.scheme}")
    for (runtime, reason), told in reasons.items():
        console.print(Text(f"{runtime}: {reason} ({', '.join(dict.fromkeys(told))})", style="dim"))
    versions = ", ".join(f"{name} {version}" for name, version in matrix.versions.items())
    console.print(Text(f"probed with {versions}; anew: python -m flows.operators"))
