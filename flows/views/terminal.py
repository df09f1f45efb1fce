"""Tables in the terminal: whole at any width, and as words where their columns have no room."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ENDLESS = 10_000  # columns that no table needs
PIPED = 160  # columns where nothing says how wide the reader's page is: a pipe or a file


def console() -> "Console":
    """A console as wide as the terminal, or as `COLUMNS` says; of `PIPED` columns where there is neither."""
    from rich.console import Console

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            raise  # the error at hand, which the command answers; rich itself ends it with 1

    wide = PIPED if not sys.stdout.isatty() and "COLUMNS" not in os.environ else None
    return Piped(width=wide)


def show(out: "Console", table: "Table") -> None:
    """Print a table, or each of its rows as words where a column would be cut: a figure cut off is a wrong figure."""
    unbounded = out.options.update(max_width=ENDLESS)
    if out.measure(table, options=unbounded).maximum <= out.width:
        out.print(table)
        return
    from rich.padding import Padding
    from rich.text import Text

    if table.title:
        out.print(table.title, style=table.title_style)
    name, *others = table.columns
    cells = [list(column.cells) for column in others]
    headings = [" ".join(str(column.header).replace("-\n", "-").split()) for column in others]
    for i, title in enumerate(name.cells):
        row = [cell if isinstance(cell := column[i], Text) else Text(str(cell).rstrip()) for column in cells]
        parts = [Text.assemble(f"{heading} ", cell) for heading, cell in zip(headings, row, strict=True) if cell]
        out.print(title, overflow="fold")
        out.print(Padding(Text(", ").join(parts), (0, 0, 0, 2)))
    if table.caption:
        out.print(table.caption)
