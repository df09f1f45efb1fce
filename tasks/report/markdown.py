"""The comparison as Markdown, for pages that show it beside a run."""

from collections.abc import Mapping

from tasks.records import Comparison, Row, figures, notation
from tasks.records.figures import Figure, told
from tasks.report.advice import Advised, title, words
from tasks.report.compare import heading


def render(comparison: Comparison, advised: Advised | None = None, links: Mapping[str, str] | None = None) -> str:
    """What to ship, then a table per device in the terminal's words; below, what failed and what marks mean.

    Args:
        comparison: all pairs.
        advised: what to ship, where that is known.
        links: addresses of further pages, by what these show.
    """
    parts = [_ship(advised, comparison)] if advised else []
    if links:
        parts.append(" · ".join(f"[{name}]({address})" for name, address in links.items()))
    for device in dict.fromkeys(row.device for row in comparison.rows):
        rows = [row for row in comparison.rows if row.device == device]
        shown = told(rows)
        names = [" ".join(notation.heading(figure)).strip() for figure in shown]
        lines = [["variant", *names, "verdict"], ["---", *(["---:"] * len(shown)), "---"]]
        lines += [_cells(row, shown) for row in rows]
        for each in comparison.yardsticks:
            values = (figures.of_yardstick(figure, each.on("test")) for figure in shown)
            cells = [notation.cell(figure, value, wide=True) for figure, value in zip(shown, values, strict=True)]
            lines.append([f"{each.name} (yardstick)", *cells, ""])
        parts.append(
            f"### {heading(rows, comparison.reference)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        )
    parts += [f"**failed:** {failure}" for failure in comparison.failures]
    parts += [f"**cannot be made:** {refusal}" for refusal in comparison.refused]
    marks = [f"{mark} {name}" for name, mark in notation.MARKS.items() if mark]
    return "\n\n".join([*parts, " · ".join([*marks, f"{notation.UNKNOWN} not known"])]) + "\n"


def _ship(advised: Advised, comparison: Comparison) -> str:
    lines = [f"- **{title(each)}**: {' '.join(words(each, comparison))}" for each in advised.devices]
    return "\n".join(["### What to ship", "", *lines])


def _cells(row: Row, shown: list[Figure]) -> list[str]:
    reason, verdict = row.measurement.reason, str(row.outcome)
    if row.measurement.status != "ok" and reason:
        verdict += f": {' '.join(reason.split())}".replace("|", "\\|")
    values = (notation.cell(figure, figure.over_seeds(row), wide=True) for figure in shown)
    return [f"`{row.variant}`", *values, verdict]
