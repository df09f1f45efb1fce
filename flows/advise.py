"""`tercet advise`: which devices of the catalog keep to a budget, the question before anybody owns one."""

from typing import TYPE_CHECKING

from flows.views import terminal
from tasks.bench import candidates
from tasks.bench.candidates import Budget, Candidate, Span
from tasks.records import notation

if TYPE_CHECKING:
    from rich.table import Table

    from tasks.bench.request import Artifact

MARKS = {"measured": "●", "published": "◐", "estimated": "○"}
LEGEND = (
    "from the least energy, as no price of a board is known here; "
    "● measured here · ◐ published by others, of this network on this board · ○ estimated (in its range)"
)


def advise(subject: str, latency_ms: float | None, energy_mj: float | None) -> None:
    """Print those that keep to it, the cheapest first, and why the others do not.

    Args:
        subject: a variant of the project, or a `.tflite` file.
        latency_ms: what an inference may take, or a token of what writes texts; None: however long.
        energy_mj: likewise of energy.

    Raises:
        WordsError: there is no such variant or file.
    """
    from rich.text import Text

    asked = candidates.artifact(subject)
    found, left = candidates.find(asked, Budget(latency_ms, energy_mj))
    console = terminal.console()
    console.print(
        Text(f"{asked.card.variant}, {asked.card.scheme}: {_within(asked, latency_ms, energy_mj)}", style="bold")
    )
    if found:
        terminal.show(console, render(found))
    else:
        console.print("none of the catalog")
    for reason in dict.fromkeys(left.values()):
        alike = ", ".join(name for name, other in left.items() if other == reason)
        console.print(Text(f"{alike}: {reason}", style="dim"))
    console.print(Text(LEGEND, style="dim"))


def render(found: list[Candidate]) -> "Table":
    """A line for each device."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("device", "keeps to it", "ms", "mJ", "known by, and its error"):
        table.add_column(name)
    for each in found:
        energy = _span(each.energy) if each.energy else notation.UNKNOWN
        mark = MARKS[each.origin]
        table.add_row(each.device, each.keeps, f"{mark} {_span(each.latency)}", energy, f"{each.origin}: {each.said}")
    return table


def _span(span: Span) -> str:
    middle = notation.significant(span.value)
    if span.low == span.high:
        return middle
    return f"{middle} ({notation.significant(span.low)}–{notation.significant(span.high)})"


def _within(asked: "Artifact", latency_ms: float | None, energy_mj: float | None) -> str:
    limits = [f"{value:g} {unit}" for value, unit in ((latency_ms, "ms"), (energy_mj, "mJ")) if value is not None]
    each = "a token" if asked.card.scenario == "generate" else "an inference"
    return f"at most {' and '.join(limits)} {each}" if limits else f"no budget is told; figures are of {each}"
