"""The comparison as Markdown."""

from tasks import markdown, table
from tasks.records import Comparison


def test_every_pair_has_its_three_numbers_in_a_row_of_as_many_cells(comparison: Comparison) -> None:
    text = markdown.render(comparison)
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(lines) == len(comparison.rows)
    for line, row in zip(lines, comparison.rows, strict=True):
        cells = [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]
        assert len(cells) == len(markdown.HEADINGS)
        assert cells[0] == f"`{row.variant}`"
        shown = (table.quality(row, wide=True), table.latency(row), table.energy(row, wide=False))
        assert (cells[1], cells[2], cells[4]) == shown
        if row.measurement.status != "ok":
            assert row.measurement.status in cells[-1]
    assert text.count("### ") == len({row.device for row in comparison.rows})


def test_a_reason_keeps_to_its_cell(comparison: Comparison) -> None:
    first = comparison.rows[0]
    told = first.measurement.model_copy(update={"status": "invalid", "reason": "a | b\nc"})
    text = markdown.render(comparison.model_copy(update={"rows": (first.model_copy(update={"measurement": told}),)}))
    assert "invalid: a \\| b c |\n" in text
