"""The comparison as Markdown."""

import csv
import io

from tasks.records import Comparison, notation
from tasks.records.figures import told
from tasks.report import markdown
from tasks.report.tables import pairs


def test_every_pair_has_its_three_numbers_in_a_row_of_as_many_cells(comparison: Comparison) -> None:
    text = markdown.render(comparison)
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(lines) == len(comparison.rows)
    for line, row in zip(lines, comparison.rows, strict=True):
        cells = [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]
        shown = told(other for other in comparison.rows if other.device == row.device)
        assert cells[0] == f"`{row.variant}`"
        assert cells[1:-1] == [notation.cell(figure, figure.of(row), wide=True) for figure in shown]
        if row.measurement.status != "ok":
            assert row.measurement.status in cells[-1]
    assert text.count("### ") == len({row.device for row in comparison.rows})


def test_what_ratios_are_against_stands_above_them(comparison: Comparison) -> None:
    heads = [line for line in markdown.render(comparison).splitlines() if line.startswith("### ")]
    assert heads[0] == "### host-cpu", "the reference itself"
    assert heads[2] == "### ethos-u55-128, against int8"
    lines = list(csv.DictReader(io.StringIO(pairs(comparison))))
    against = {line["device"]: line["ratio_against"] for line in lines if line["variant"] == "pruned80-int8"}
    assert (against["host-cpu"], against["ethos-u55-128"]) == ("fp32", "int8")


def test_a_reason_keeps_to_its_cell(comparison: Comparison) -> None:
    first = comparison.rows[0]
    refused = first.measurement.model_copy(update={"status": "invalid", "reason": "a | b\nc"})
    row = first.model_copy(update={"measurement": refused, "outcome": "invalid"})
    text = markdown.render(comparison.model_copy(update={"rows": (row,)}))
    assert "invalid: a \\| b c |\n" in text
