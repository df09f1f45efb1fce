"""`tercet compare --against REVISION` in the terminal: a table for each device, a line for each figure that changed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.views import terminal
from tasks.records import notation
from tasks.records.figures import FIGURES
from tasks.report.changes import Change

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"better": "green", "worse": "red", "other source": "yellow", "other prices": "yellow"}
NOTE = (
    "Two runs are not taken in turns: what is measured counts as changed only where both intervals leave no doubt. "
    "`tercet gate --against {revision}` measures by turns."
)


def show(revision: str, found: Sequence[Change]) -> None:
    """Print what is other than at the revision."""
    from rich.text import Text

    console = terminal.console()
    if not found:
        console.print(f"every figure is what it was at {revision}")
        return
    told = [each for each in found if each.word != "not told apart"]
    for device in dict.fromkeys(each.device for each in told):
        terminal.show(console, _table(f"{device}, against {revision}", [e for e in told if e.device == device]))
        console.print()
    if len(told) < len(found):
        console.print(f"{len(found) - len(told)} figures moved by no more than their intervals leave open")
    console.print(Text(NOTE.format(revision=revision), style="dim"))


def _table(title: str, found: Sequence[Change]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    table.add_column("variant", no_wrap=True)
    table.add_column("figure", no_wrap=True)
    for heading in ("then", "now", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    last = None
    for each in found:
        figure = FIGURES[each.figure]
        cells = [notation.cell(figure, value, wide=False) for value in (each.before, each.now)]
        grown = "" if each.growth is None else f"{100 * each.growth:+.1f} %"
        name = each.variant if each.variant != last else ""
        table.add_row(name, each.figure, *cells, grown, Text(each.word, style=STYLES.get(each.word, "")))
        last = each.variant
    return table
