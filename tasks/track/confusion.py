"""A variant's confusion matrix for reading in MLflow: as data, and as a page that needs nothing else."""

from html import escape
from typing import Any

from tasks.records import Evaluation

STYLE = "body{font:14px sans-serif}table{border-collapse:collapse}th,td{padding:4px 8px;text-align:right}"


def data(evaluation: Evaluation) -> dict[str, Any]:
    """Classes, and the counts of the test split: rows are true classes, columns predicted ones."""
    return {"classes": [c.name for c in evaluation.classes], "counts": [list(row) for row in evaluation.confusion]}


def page(evaluation: Evaluation) -> str:
    """The matrix as HTML; a cell is the darker the larger its share of the true class is."""
    names = [escape(figures.name) for figures in evaluation.classes]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(_cell(n, sum(counts)) for n in counts)}</tr>'
        for name, counts in zip(names, evaluation.confusion, strict=True)
    )
    title = f"{escape(evaluation.variant)}: true class by row, predicted class by column"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><table><tr><td></td>{head}</tr>{rows}</table></html>\n"
    )


def _cell(count: int, of: int) -> str:
    share = count / of if of else 0.0
    ink = "#fff" if share > 0.5 else "#000"
    return f'<td style="background:rgba(31,90,160,{share:.2f});color:{ink}">{count}</td>'
