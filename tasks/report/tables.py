"""The report for tools: a line of CSV for each pair, its figures for `dvc metrics`, its place in the plots."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tasks.records import Comparison, Measurement, Row
from tasks.records.figures import FIGURES, QUALITY, Figure, drawn, known
from tasks.report import compare
from tasks.report.advice import Advised
from tasks.ship import speed

DETAILS = {  # what the CSV has of a measurement beside its figures
    "latency": ("ms_p10_floor", "ms_p90", "ms_mean", "window_cv"),
    "ratio": ("pairs", "kind"),
    "energy": ("scope", "formula", "reason"),
    "memory": ("what",),
    "instructions": ("spread", "cpu"),
}


def pairs(comparison: Comparison) -> str:
    """CSV with a line for each pair: its figures, and what is around them; of several seeds a line for each."""
    names = [each.name for each in comparison.yardsticks]
    told = dict.fromkeys(key for row in comparison.rows for key in row.over_seeds)
    rows = (*comparison.rows, *comparison.replicas)
    several = any(row.of for row in rows)
    return _csv([_line(row) | _beside(row, names) | (_over_seeds(row, told) if several else {}) for row in rows])


def points(comparison: Comparison) -> str:
    """CSV with a line for each pair that has a cost: its quality and its costs as choices compare them."""
    return _csv(list(_points(comparison)))


def metrics(comparison: Comparison) -> dict[str, dict[str, dict[str, float]]]:
    """{variant: {device: {figure: value}}}; the unknown is absent, and with it a pair that did not run.

    A figure is what was read at one time, and of several seeds the mean, as the page has it, which is set against this;
    between variants only the ratios compare.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in comparison.rows:
        if found := known(row):
            means = {key: FIGURES[key].over_seeds(row) or value for key, value in found.items()}
            table.setdefault(row.variant, {})[row.device] = {key: each.value for key, each in means.items()}
    return table


def shipped(comparison: Comparison, advised: Advised) -> dict[str, dict[str, float | str]]:
    """{device: {"variant": what is shipped there, figure: value}}: few enough to be columns, with a run in each row."""
    rows = {(row.variant, row.device): row for row in comparison.rows}
    table: dict[str, dict[str, float | str]] = {}
    for each in advised.devices:
        if each.choice:
            found = known(rows[each.choice.champion, each.device])
            few = {key: value.value for key, value in found.items() if FIGURES[key].room == "terminal"}
            table[each.device] = {"variant": each.choice.champion, **few}
    return table


def _line(row: Row) -> dict[str, Any]:
    """A pair as one line of CSV: every figure, then what is around them; None becomes an empty field: not known."""
    m = row.measurement
    own = {"variant", "device", "model", "scheme", "total_epochs", "metric", "better"}
    return {
        **row.model_dump(include=own),
        **m.model_dump(include={"device_kind", "mode", "status", "reason", "reference"}),
        "flags": " ".join(m.flags),
        "outcome": row.outcome,
        "ratio_against": row.speed.against if row.speed else None,
        **{name: cell for figure in FIGURES.values() for name, cell in _cells(figure, row).items()},
        "quality_n": row.quality_n,
        "validation_quality": row.validation_quality,
        "paired_better": row.paired.better if row.paired else None,
        "paired_worse": row.paired.worse if row.paired else None,
        "paired_p": row.paired.p_value if row.paired else None,
        "control": row.control.variant if row.control else None,
        "control_quality": row.control.quality if row.control else None,
        "control_epochs": row.control.total_epochs if row.control else None,
        **{f"{part}_{name}": _detail(m, part, name) for part, names in DETAILS.items() for name in names},
        **{f"front_{figure.key}": figure.key in row.fronts for figure in drawn()},
        "verdict": row.verdict,
    }


def _beside(row: Row, yardsticks: Sequence[str]) -> dict[str, Any]:
    """What each yardstick scores, and how sure the difference is."""
    found = {each.name: each for each in row.yardsticks}
    cells: dict[str, Any] = {}
    for name in yardsticks:
        beside = found.get(name)
        cells[f"yardstick_{name}"] = beside and beside.quality
        cells[f"yardstick_{name}_p"] = beside and beside.paired and beside.paired.p_value
    return cells


def _over_seeds(row: Row, told: Collection[str]) -> dict[str, Any]:
    """Whose the row is, and the means over seeds, which the first one's has."""
    cells: dict[str, Any] = {"of": row.of, "seed": row.seed}
    for key in told:
        mean = row.over_seeds.get(key)
        cells |= {f"{key}_over_seeds": mean and mean.mean, f"{key}_over_seeds_n": mean and mean.n}
        cells |= {f"{key}_over_seeds_low": mean and mean.low, f"{key}_over_seeds_high": mean and mean.high}
    return cells


def _cells(figure: Figure, row: Row) -> dict[str, Any]:
    """A figure by its key, with its bounds and its source beside it; of a file, which is exact, alone."""
    value = figure.of(row)
    if figure.scope == "file":
        return {figure.key: value and value.value}
    return {
        figure.key: value and value.value,
        f"{figure.key}_low": value and value.low,
        f"{figure.key}_high": value and value.high,
        f"{figure.key}_source": value and value.source,
    }


def _detail(m: Measurement, part: str, name: str) -> Any:
    return getattr(getattr(m, part), name, None) if m.status == "ok" else None


def _points(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Quality and costs, as choices compare them, for `dvc plots`; pairs without a cost have no place in it."""
    for rows in compare.by_device(comparison.rows).values():
        for row in rows:
            costs = {figure.key: speed.cost(row, rows, figure) for figure in drawn()}
            if any(costs.values()):
                yield {
                    "device": row.device,
                    "variant": row.variant,
                    **{key: known and known.value for key, known in costs.items()},
                    **{f"{key}_source": known and known.origin for key, known in costs.items()},
                    QUALITY: row.quality,
                }


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()
