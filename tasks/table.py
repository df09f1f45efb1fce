"""The comparison in the terminal: one table per device, as wide as the terminal allows."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks import figures, speed, terminal
from tasks.advice import Advised, title, words
from tasks.records import Comparison, Row

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

INDENT = "  "
WIDE = 110  # columns from which intervals and the size of the file itself have room
STYLES: dict[speed.Outcome, str] = {
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
        terminal.show(console, _table(device, rows, comparison.reference, wide=console.width >= WIDE))
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


def _table(device: str, rows: Sequence[Row], reference: str, *, wide: bool) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    against = speed.anchor(rows, reference)
    title = device if against is None or against.variant == reference else f"{device}, against {against.variant}"
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    table.add_column("variant", overflow="fold")  # the only one that gives way: figures are never cut
    heading, cost = _cost(rows)
    names = [f"{rows[0].metric}\n%", heading, "ratio", "energy\nmJ"] + (["size"] if wide else []) + ["gzip"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        word = speed.outcome(row, against)
        flags = "".join(f", {flag}" for flag in row.measurement.flags)
        cells = [quality(row, wide=wide), cost(row), ratio(row, against, wide=wide), energy(row, wide=wide)]
        sizes = ([figures.size(row.bytes)] if wide else []) + [figures.size(row.gzip_bytes)]
        table.add_row(Text(row.variant), *cells, *sizes, Text(word + flags, style=STYLES[word]))
    return table


def quality(row: Row, *, wide: bool) -> str:
    """The quality in percent, with half the width of its 95 % interval where there is room."""
    value = figures.percent(row.quality, row.quality_n)
    half = figures.percent((row.quality_high - row.quality_low) / 2, row.quality_n)
    return f"{value} ±{half}" if wide else value


def latency(row: Row) -> str:
    """The median latency in milliseconds behind the mark of its provenance."""
    m = row.measurement
    if m.status != "ok" or m.latency is None:
        return figures.UNKNOWN
    return f"{figures.MARKS[m.latency.provenance]} {figures.significant(m.latency.ms_p50)}"


def instructions(row: Row) -> str:
    """Millions of an emulated processor's instructions behind the mark of their provenance."""
    counted = row.measurement.instructions
    return (
        f"{figures.MARKS['emulated']} {figures.significant(counted.per_inference / 1e6)}"
        if counted
        else figures.UNKNOWN
    )


def memory(row: Row) -> str:
    """Working memory in KiB behind the mark of its provenance."""
    used = row.measurement.memory
    return f"{figures.MARKS[used.provenance]} {figures.significant(used.peak_kib)}" if used else figures.UNKNOWN


def _cost(rows: Sequence[Row]) -> tuple[str, Callable[[Row], str]]:
    """What a device's rows are told by: latency, else instructions, else memory; the heading and the cell."""
    if not any(row.measurement.latency for row in rows):
        if any(row.measurement.instructions for row in rows):
            return "instr.\nmillions", instructions
        if any(row.measurement.memory for row in rows):
            return "memory\nKiB", memory
    return "latency\nms", latency


def ratio(row: Row, against: Row | None, *, wide: bool) -> str:
    """Latency over that of the device's anchor; marked where it is between estimates."""
    found = speed.compared(row, against)
    if found is None:
        return figures.UNKNOWN
    provenance = row.measurement.latency.provenance if row.measurement.latency else "emulated"
    mark = "" if provenance == "measured" else f"{figures.MARKS[provenance]} "
    value = f"{mark}{figures.ratio(found.ratio)}"
    return f"{value} {figures.interval(found.low, found.high, found.kind)}".rstrip() if wide else value


def energy(row: Row, *, wide: bool) -> str:
    """Millijoules per inference behind the mark of their provenance, with the bounds of an estimate."""
    m = row.measurement
    if m.status != "ok" or m.energy.mj is None:
        return figures.UNKNOWN
    text = f"{figures.MARKS[figures.energy_provenance(m.energy)]} {figures.significant(m.energy.mj)}"
    if not wide or m.energy.low_mj is None or m.energy.high_mj is None:
        return text
    return f"{text} ({figures.significant(m.energy.low_mj, 2)}–{figures.significant(m.energy.high_mj, 2)})"


def _legend(comparison: Comparison, console: "Console") -> None:
    from rich.text import Text

    marks = [f"{mark} {name}" for name, mark in figures.MARKS.items() if mark]
    quick = any(row.measurement.mode == "quick" for row in comparison.rows)
    parts = [
        *marks,
        f"{figures.UNKNOWN} not known",
        "ratio: over the reference's",
        "± and []: 95 %, (): bounds or a range",
    ]
    if quick:
        parts.append("quick mode: short windows, for a look and not for a claim")
    console.print(Text(" · ".join(parts), style="dim"))
