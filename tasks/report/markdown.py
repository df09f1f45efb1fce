"""The comparison as Markdown, for pages that show it beside a run."""

from tasks.records import Comparison, Row, figures, notation
from tasks.records.figures import Figure, told


def render(comparison: Comparison) -> str:
    """A table per device, with the figures, marks and words of the terminal; below, what failed and what marks mean."""
    parts = []
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
        parts.append(f"### {device}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    parts += [f"**failed:** {failure}" for failure in comparison.failures]
    parts += [f"**cannot be made:** {refusal}" for refusal in comparison.refused]
    marks = [f"{mark} {name}" for name, mark in notation.MARKS.items() if mark]
    return "\n\n".join([*parts, " · ".join([*marks, f"{notation.UNKNOWN} not known"])]) + "\n"


def _cells(row: Row, shown: list[Figure]) -> list[str]:
    reason, verdict = row.measurement.reason, str(row.outcome)
    if row.measurement.status != "ok" and reason:
        verdict += f": {' '.join(reason.split())}".replace("|", "\\|")
    values = (notation.cell(figure, figure.of(row), wide=True) for figure in shown)
    return [f"`{row.variant}`", *values, verdict]
