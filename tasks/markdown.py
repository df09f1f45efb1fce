"""The comparison as Markdown, for pages that show it beside a run."""

from tasks import figures, speed, table
from tasks.records import Comparison, Row

HEADINGS = ("variant", "", "latency ms", "ratio", "energy mJ", "memory KiB", "gzip", "verdict")


def render(comparison: Comparison) -> str:
    """A table per device, with the figures, marks and words of the terminal; below, what failed and what marks mean."""
    parts = []
    for device in dict.fromkeys(row.device for row in comparison.rows):
        rows = [row for row in comparison.rows if row.device == device]
        against = speed.anchor(rows, comparison.reference)
        headings = [heading or f"{rows[0].metric} %" for heading in HEADINGS]
        lines = [headings, ["---"] + ["---:"] * (len(headings) - 2) + ["---"], *(_cells(row, against) for row in rows)]
        parts.append(f"### {device}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    parts += [f"**failed:** {failure}" for failure in comparison.failures]
    parts += [f"**cannot be made:** {refusal}" for refusal in comparison.refused]
    marks = [f"{mark} {name}" for name, mark in figures.MARKS.items() if mark]
    return "\n\n".join([*parts, " · ".join([*marks, f"{figures.UNKNOWN} not known"])]) + "\n"


def _cells(row: Row, against: Row | None) -> list[str]:
    word, reason = speed.outcome(row, against), row.measurement.reason
    if row.measurement.status != "ok" and reason:
        told = f"{word}: {' '.join(reason.split())}".replace("|", "\\|")
    else:
        told = word
    return [
        f"`{row.variant}`",
        table.quality(row, wide=True),
        table.latency(row),
        table.ratio(row, against, wide=True),
        table.energy(row, wide=False),
        table.memory(row),
        figures.size(row.gzip_bytes),
        told,
    ]
