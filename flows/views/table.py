"""The comparison in the terminal: one table per device, as wide as the terminal allows."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.views import terminal
from tasks.records import Comparison, Outcome, Row, YardstickScores, notation
from tasks.records.figures import Figure, of_yardstick, told
from tasks.report.advice import Advised, title, words
from tasks.report.compare import heading

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

INDENT = "  "
WIDE = 110  # columns from which intervals and further figures have room
STYLES: dict[Outcome, str] = {
    "reference": "bold",
    "faster": "green",
    "slower": "red",
    "fewer instructions": "green",
    "more instructions": "red",
    "no change": "",
    "inconclusive": "yellow",
    "not compared": "dim",
    "unsupported": "dim",
    "invalid": "yellow",
    "error": "bold red",
}


def show(comparison: Comparison) -> None:
    """Print the comparison, grouped by device: what failed and why, and how to read the marks, after the figures."""
    from rich.text import Text

    console = terminal.console()
    for device in dict.fromkeys(row.device for row in comparison.rows):
        rows = [row for row in comparison.rows if row.device == device]
        table = _table(rows, comparison.reference, wide=console.width >= WIDE)
        _add(table, comparison.yardsticks, columns(rows, wide=console.width >= WIDE), wide=console.width >= WIDE)
        terminal.show(console, table)
        if console.width < WIDE and (flagged := _flagged(rows)):
            console.print(Text(flagged, style="yellow"))
        console.print()
    for line in _reasons(comparison.rows):
        console.print(Text(line, style="dim"))
    for failure in comparison.failures:
        console.print(Text(f"failed: {failure}", style="bold red"))
    for refusal in comparison.refused:
        console.print(Text(f"cannot be made: {refusal}", style="yellow"))
    for note in comparison.notes:
        console.print(Text(note))
    if comparison.rows:
        _legend(comparison, console)


def _flagged(rows: Sequence[Row]) -> str:
    """Which variants of a device bear which flag, where the table itself has no room for that."""
    flags = dict.fromkeys(flag for row in rows for flag in row.measurement.flags)
    told = {flag: [row.variant for row in rows if flag in row.measurement.flags] for flag in flags}
    return "; ".join(f"{flag}: {', '.join(names)}" for flag, names in told.items())


def _reasons(rows: Sequence[Row]) -> list[str]:
    """Why pairs have no figures: each reason once, behind the variants and the devices that it is told of."""
    pairs: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.measurement.status != "ok":
            pairs.setdefault(row.verdict, {}).setdefault(row.device, []).append(row.variant)
    lines = []
    for reason, devices in pairs.items():
        alike: dict[tuple[str, ...], list[str]] = {}  # devices, by the variants
        for device, variants in devices.items():
            alike.setdefault(tuple(variants), []).append(device)
        where = "; ".join(f"{', '.join(variants)} @ {', '.join(on)}" for variants, on in alike.items())
        lines.append(f"{where}: {reason}")
    return lines


def show_advice(advised: Advised, comparison: Comparison) -> None:
    """Print what to ship where, and why."""
    from rich.text import Text

    console = terminal.console()
    console.print(Text("\nWhat to ship", style="bold"))
    for advice in advised.devices:
        console.print(Text(title(advice), style="green" if advice.choice else "yellow"))
        for sentence in words(advice, comparison):
            lines = textwrap.wrap(sentence, console.width - len(INDENT), break_on_hyphens=False)
            console.print(Text("\n".join(f"{INDENT}{line}" for line in lines)))


def columns(rows: Sequence[Row], *, wide: bool) -> list[Figure]:
    """The figures that a table of a device has room for; where none is of the device itself, the first that there is.

    A microcontroller's kernels tell no latency, and a figure of theirs is worth more than a column of dashes.
    """
    found = told(rows)
    shown = [figure for figure in found if figure.room == "terminal" or (wide and figure.room == "wide")]
    if not any(figure.scope == "device" for figure in shown):
        first = next((figure for figure in found if figure.scope == "device"), None)
        return [figure for figure in found if figure in shown or figure is first]
    return shown


def _table(rows: Sequence[Row], reference: str, *, wide: bool) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=heading(rows, reference),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1 if wide else 0),
        collapse_padding=True,
    )
    table.add_column("variant", no_wrap=True)  # neither a name nor a figure is ever cut
    shown = columns(rows, wide=wide)
    for figure in shown:
        name = "\n".join(notation.heading(figure)).strip()
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        flags = "".join(f", {flag}" for flag in row.measurement.flags) if wide else ""
        cells = [
            notation.cell(figure, figure.over_seeds(row), wide=wide and figure.scope != "file") for figure in shown
        ]
        table.add_row(Text(row.variant), *cells, Text(row.outcome + flags, style=STYLES[row.outcome]))
    return table


def _add(table: "Table", yardsticks: Sequence[YardstickScores], shown: Sequence[Figure], *, wide: bool) -> None:
    """What something simple scores, below the variants that are to beat it."""
    from rich.text import Text

    for each in yardsticks:
        cells = [notation.cell(figure, of_yardstick(figure, each.on("test")), wide=wide) for figure in shown]
        table.add_row(Text(each.name), *cells, Text("yardstick"), style="dim")


def _legend(comparison: Comparison, console: "Console") -> None:
    from rich.text import Text

    marks = [f"{mark} {name}" for name, mark in notation.MARKS.items() if mark]
    quick = any(row.measurement.mode == "quick" for row in comparison.rows)
    parts = [
        *marks,
        f"{notation.UNKNOWN} not known",
        "ratio: over the reference's",
        "± and []: 95 %, (): bounds or a range",
    ]
    if quick:
        parts.append("quick mode: short windows, for a look and not for a claim")
    console.print(Text(" · ".join(parts), style="dim"))
