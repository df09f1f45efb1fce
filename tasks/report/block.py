"""The figures that the page's scripts draw, filter and compute with: one block of JSON. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tasks.records import Comparison, Measurement, ModelCard, Row, Subject, figures, notation
from tasks.records.figures import FIGURES, QUALITY, Figure, Value
from tasks.report import compare
from tasks.ship import speed

DIGITS = 6  # of a number: more than any figure here is known to
OPERATORS = 12  # the kinds that take most of the time


def block(comparison: Comparison, subjects: Sequence[Subject]) -> str:
    """JSON that may stand inside of a script element.

    `figures` are those that any row has, the quality first; of a row, `figures` holds by key the value, its two ends,
    where it comes from and how it is written, `costs` likewise what choices compare where that is another number, and
    `fronts` the figures on whose front it lies. Charts draw a pair that is
    not ok where its record says, crossed out; no table, choice or sum has these figures.

    Args:
        comparison: the rows.
        subjects: their variants, for what their cards say of layers and of training.
    """
    shown = _shown(comparison.rows)
    devices = compare.by_device(comparison.rows).values()
    found = {
        "name": comparison.name,
        "reference": comparison.reference,
        "figures": [_figure(figure) for figure in shown],
        "rows": [row for device in devices for row in _rows(device, shown)],
        "histories": {each.model.model: _history(each.model) for each in subjects if each.model.history},
        "sensitivity": {
            each.variant: [[one.layer, _short(one.quality_drop)] for one in each.artifact.sensitivity]
            for each in subjects
            if each.artifact.sensitivity
        },
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _history(card: ModelCard) -> dict[str, list[float | None]]:
    """What training told after each epoch, by measure; null where that was no number."""
    return {name: [None if v is None else _short(v) for v in values] for name, values in card.history.items()}


def replayed_by(variant: str, device: str) -> str:
    """The command that makes a pair's record again, and that alone."""
    return f"dvc repro --single-item --force benchmark@{variant}-{device}"


def _shown(rows: Sequence[Row]) -> list[Figure]:
    """The figures of the table, with those that only a pair that is not ok has."""
    known = figures.told(rows)
    return known or [figure for figure in FIGURES.values() if any(figure.read(row) for row in rows)]


def _figure(figure: Figure) -> dict[str, Any]:
    name, unit = notation.heading(figure)
    return {
        "key": figure.key,
        "name": f"{name[0].upper()}{name[1:]}",
        "unit": unit,
        "title": figure.axis or f"{name} {'kB' if figure.unit == 'bytes' else unit}".strip(),
        "lower": figure.better == "lower",
        "per": {"share": 0.01, "instructions": 1e6, "bytes": 1e3}.get(figure.unit, 1),  # what one of its unit counts
    }


def _rows(device: Sequence[Row], shown: Sequence[Figure]) -> Iterator[dict[str, Any]]:
    told = {figure.key: [_told(row, figure) for row in device] for figure in shown}
    costs = {figure.key: [_compared(row, device, figure) for row in device] for figure in shown if figure.axis}
    axes = told | costs
    fronts = {figure.key: _members(device, axes[figure.key], figure) for figure in shown if figure.scope != "answers"}
    for i, row in enumerate(device):
        m = row.measurement
        yield {
            "id": f"{row.variant}@{row.device}",
            **row.model_dump(include={"variant", "device", "model", "scheme", "outcome", "verdict"}),
            "status": m.status,
            "flags": m.flags,
            "reference": row.variant == row.anchor,
            "replay": replayed_by(row.variant, row.device),
            "figures": {each.key: _value(each, value) for each in shown if (value := told[each.key][i])},
            "costs": {
                each.key: _value(each, value)
                for each in shown
                if (value := axes[each.key][i]) and value != told[each.key][i]
            },
            "fronts": [key for key, members in fronts.items() if i in members],
            "operators": [(kind, _short(ms)) for kind, ms in operator_times(m)[:OPERATORS]],
            "roof": _roof(m),
        }


def _told(row: Row, figure: Figure) -> Value | None:
    """A figure, over seeds where there are several; of a pair that is not ok what its record says all the same."""
    seen = row.measurement.phases or figure.key == QUALITY
    if row.measurement.status == "ok":
        return figure.over_seeds(row)
    return figure.read(row) if seen else figure.of(row)


def _compared(row: Row, device: Sequence[Row], figure: Figure) -> Value | None:
    """A cost as choices compare it; of an estimate, and of a pair that is not ok, as it is."""
    ok = row.measurement.status == "ok"
    compared = speed.cost(row, device, figure) if ok else None
    if compared and compared.provenance == "measured":
        return compared
    return figure.of(row) if ok else _told(row, figure)


def _members(device: Sequence[Row], values: Sequence[Value | None], figure: Figure) -> set[int]:
    """The rows, by index, on a figure's front, which none that is not ok is on."""
    sign = 1 if figure.better == "lower" else -1
    ran = [value if row.measurement.status == "ok" else None for row, value in zip(device, values, strict=True)]
    return compare.on_front(device, [each and replace(each, value=sign * each.value) for each in ran])


def _value(figure: Figure, value: Value) -> list[Any]:
    low, high = value.ends
    return [
        *(_short(number) for number in (value.value, low, high)),
        notation.ENERGY_KINDS.get(value.source, value.origin),
        value.provenance,
        notation.cell(figure, value, wide=True),
    ]


def operator_times(m: Measurement) -> list[tuple[str, float]]:
    """The milliseconds of each kind of operator, the longest first; none where the runtime does not tell them."""
    times: dict[str, float] = {}
    for operator in m.operators:
        if operator.ms is not None:
            times[operator.kind] = times.get(operator.kind, 0.0) + operator.ms
    return sorted(times.items(), key=lambda each: -each[1])


def _roof(m: Measurement) -> list[Any] | None:
    """What a token reads of the memory in a second, and what that gives at most, in GB; what the token waits for."""
    about = m.told_by.details
    if m.status != "ok" or "memory_gb_s" not in about:
        return None
    return [_short(about["read_gb_s"]), _short(about["memory_gb_s"]), about["bound"]]


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
