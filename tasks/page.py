"""The comparison as one HTML page that needs nothing else: no network, no script, no font."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import figures, speed
from tasks.advice import Advised, title, words
from tasks.chart import Chart, Point, scatter
from tasks.records import Comparison, Measurement, Provenance, Row


@dataclass(frozen=True)
class Figure:
    """A figure in a table: its text, what qualifies it, and where it comes from."""

    text: str
    detail: str = ""
    provenance: Provenance = "none"


@dataclass(frozen=True)
class Line:
    """A variant on a device, ready to be set."""

    row: Row
    word: speed.Outcome
    quality: Figure
    cost: Figure  # latency, or an emulator's instructions
    ratio: Figure
    energy: Figure
    memory: Figure
    size: Figure
    gzip: Figure


@dataclass(frozen=True)
class Plot:
    """A chart and the words around it; `chart` is None where no variant has the figure."""

    key: str
    title: str
    x_title: str
    description: str
    chart: Chart | None
    why_empty: str = ""


@dataclass(frozen=True)
class Device:
    """A device's part of the page."""

    name: str
    kind: str
    provenance: str
    against: str | None  # the variant that ratios are against
    cost: str  # what its lines' cost is, and the unit
    lines: tuple[Line, ...]
    plots: tuple[Plot, ...]
    facts: tuple[tuple[str, str], ...]
    ran: bool  # whether any variant did


def render(comparison: Comparison, advised: Advised | None = None, about: str = "") -> str:
    """The page's HTML; the same records give the same bytes.

    Args:
        comparison: what it shows.
        advised: what to ship, which stands on top where it is known.
        about: the data and the seeds, in a sentence.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = dict.fromkeys(row.device for row in comparison.rows)
    devices = [_device(name, [r for r in comparison.rows if r.device == name], comparison.reference) for name in names]
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        advice=[(title(each), words(each, comparison)) for each in (advised.devices if advised else ())],
        devices=devices,
        about=about,
        absent=[(device.name, _reasons(device.lines)) for device in devices if not device.ran],
        overview=_overview(devices),
        metric=comparison.rows[0].metric if comparison.rows else "quality",
        quick=any(row.measurement.mode == "quick" for row in comparison.rows),
        marks=figures.MARKS,
        used=_used(devices),
    )


def _used(devices: Sequence[Device]) -> set[Provenance]:
    """The provenances that occur, for the legend."""
    lines = [line for device in devices for line in device.lines]
    return {f.provenance for line in lines for f in (line.cost, line.energy, line.memory)}


def _overview(devices: Sequence[Device]) -> list[tuple[Line, list[Line | None]]]:
    """For each variant a line with what does not hang from a device, and its line on every device."""
    variants = dict.fromkeys(line.row.variant for device in devices for line in device.lines)
    table = []
    for variant in variants:
        lines = [next((n for n in device.lines if n.row.variant == variant), None) for device in devices]
        table.append((next(line for line in lines if line is not None), lines))
    return table


def _device(name: str, rows: Sequence[Row], reference: str) -> Device:
    against = speed.anchor(rows, reference)
    ok = [row.measurement for row in rows if row.measurement.status == "ok"]
    provenances = dict.fromkeys(m.latency.provenance for m in ok if m.latency is not None)
    kinds = [row.measurement.device_kind for row in rows if row.measurement.device_kind != "unknown"]
    return Device(
        name=name,
        kind=kinds[0] if kinds else "",
        provenance=" and ".join(provenances) or "no figures",
        against=against.variant if against is not None else None,
        cost="Instructions, millions" if any(m.instructions for m in ok) else "Latency ms",
        lines=tuple(_line(row, against) for row in rows),
        plots=(_latency_plot(name, rows, against), _energy_plot(name, rows, against)),
        facts=tuple(_facts(ok)),
        ran=bool(ok),
    )


def _reasons(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Each reason once, with the variants that share it."""
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.row.verdict, []).append(line.row.variant)
    return [(reason, ", ".join(variants)) for reason, variants in found.items()]


def _line(row: Row, against: Row | None) -> Line:
    m = row.measurement
    low, high = (figures.percent(v, row.quality_n) for v in (row.quality_low, row.quality_high))
    memory = m.memory if m.status == "ok" else None
    return Line(
        row=row,
        word=speed.outcome(row, against),
        quality=Figure(figures.percent(row.quality, row.quality_n), f"{low}–{high}"),
        cost=_instructions(m) if m.instructions else _latency(m),
        ratio=_ratio(row, against),
        energy=_energy(m),
        memory=Figure(figures.significant(memory.peak_kib), "", memory.provenance)
        if memory
        else Figure(figures.UNKNOWN),
        size=Figure(figures.size(row.bytes)),
        gzip=Figure(
            figures.size(row.gzip_bytes), f"zstd {figures.size(row.zstd_bytes)}" if row.zstd_bytes is not None else ""
        ),
    )


def _latency(m: Measurement) -> Figure:
    if m.status != "ok" or m.latency is None:
        return Figure(figures.UNKNOWN)
    tail = f"p90 {figures.significant(m.latency.ms_p90)}" if m.latency.ms_p90 is not None else ""
    if m.latency.ms_low is not None and m.latency.ms_high is not None:
        tail = f"{figures.significant(m.latency.ms_low, 2)}–{figures.significant(m.latency.ms_high, 2)}"
    return Figure(figures.significant(m.latency.ms_p50), tail, m.latency.provenance)


def _instructions(m: Measurement) -> Figure:
    if m.instructions is None:
        return Figure(figures.UNKNOWN)
    return Figure(figures.significant(m.instructions.per_inference / 1e6), m.instructions.cpu, "emulated")


def _ratio(row: Row, against: Row | None) -> Figure:
    found = speed.compared(row, against)
    latency = row.measurement.latency
    if found is None:
        return Figure(figures.UNKNOWN)
    if latency is None:
        return Figure(figures.ratio(found.ratio), found.of, "emulated")
    interval = figures.interval(found.low, found.high, found.kind).strip("[]")
    return Figure(figures.ratio(found.ratio), interval, latency.provenance)


def _energy(m: Measurement) -> Figure:
    if m.status != "ok" or m.energy.mj is None:
        return Figure(figures.UNKNOWN)
    bounded = m.energy.low_mj is not None and m.energy.high_mj is not None
    bounds = f"{figures.significant(m.energy.low_mj, 2)}–{figures.significant(m.energy.high_mj, 2)}" if bounded else ""
    return Figure(figures.significant(m.energy.mj), bounds, figures.energy_provenance(m.energy))


def _latency_plot(device: str, rows: Sequence[Row], against: Row | None) -> Plot:
    points = []
    for row in rows:
        known = speed.cost(row, rows, "latency_ms")
        if known is not None and known.value > 0:
            cost = f"{figures.significant(known.value)} ms, {known.source}"
            points.append(_point(row, known.value, cost, known.source, against, on_front=row.on_latency_front))
    return _plot(f"{device}-latency", device, "latency", "milliseconds per inference, median", points)


def _energy_plot(device: str, rows: Sequence[Row], against: Row | None) -> Plot:
    points = []
    for row in rows:
        known = speed.cost(row, rows, "energy_mj")
        if known is not None and known.value > 0:
            cost = f"{figures.significant(known.value)} mJ, {figures.ENERGY_KINDS[row.measurement.energy.kind]}"
            points.append(_point(row, known.value, cost, known.source, against, on_front=row.on_energy_front))
    reasons = dict.fromkeys(row.measurement.energy.reason for row in rows if row.measurement.status == "ok")
    why = "; ".join(reason for reason in reasons if reason)
    return _plot(f"{device}-energy", device, "energy", "millijoules per inference, gross", points, why)


def _point(row: Row, cost: float, told: str, group: str, against: Row | None, *, on_front: bool) -> Point:
    low, value, high = (figures.percent(v, row.quality_n) for v in (row.quality_low, row.quality, row.quality_high))
    return Point(
        label=row.variant,
        cost=cost,
        quality=row.quality,
        low=row.quality_low,
        high=row.quality_high,
        group=group,
        hollow=group.startswith(("estimate", "emulated")),
        on_front=on_front,
        reference=row is against,
        title=f"{row.variant}: {row.metric} {value} % [{low}–{high}], {told}",
    )


def _plot(key: str, device: str, what: str, x_title: str, points: Sequence[Point], why_empty: str = "") -> Plot:
    best = ", ".join(point.label for point in points if point.on_front)
    description = f"{len(points)} variants on {device} by {what}. On the Pareto front: {best or 'none'}."
    return Plot(key, what.capitalize(), x_title, description, scatter(points) if points else None, why_empty)


def _facts(ok: Sequence[Measurement]) -> list[tuple[str, str]]:
    """What the figures of a device hang from, each said once."""
    environment: dict[str, Any] = ok[0].environment if ok else {}
    known = {k: figures.significant(v) if isinstance(v, float) else v for k, v in environment.items()}
    facts = [(k.replace("_", " "), str(v)) for k, v in known.items() if isinstance(v, str | int)]
    told = {
        "accuracy from": [m.stand_in for m in ok],
        "energy": [figures.ENERGY_KINDS[m.energy.kind] if m.energy.mj is not None else m.energy.reason for m in ok],
        "energy covers": [m.energy.scope for m in ok],
        "energy formula": [f"{m.variant}: {m.energy.formula}" if m.energy.formula else None for m in ok],
        "memory counts": [m.memory.what if m.memory else None for m in ok],
        "weights as encoded": [_encoded(m) for m in ok],
        "windows": [_windows(m) for m in ok],
        "time goes into": [_operators(m) for m in ok],
    }
    return facts + [(name, value) for name, values in told.items() for value in dict.fromkeys(values) if value]


def _windows(m: Measurement) -> str | None:
    own = [window for window in m.windows if window.variant == m.variant]
    if not own:
        return None
    return f"{len(own)} of {figures.significant(min(window.seconds for window in own), 2)} s or more ({m.mode} mode)"


def _encoded(m: Measurement) -> str | None:
    """The weights as a compiler packs them for its hardware: zeros and repeated values take less."""
    original, encoded = (m.details.get(f"{name}_weights_bytes") for name in ("original", "encoded"))
    if not original or not encoded:
        return None
    sizes = f"{figures.size(int(encoded))} of {figures.size(int(original))}"
    return f"{m.variant}: {sizes}, {figures.factor(original / encoded)}"


def _operators(m: Measurement) -> str | None:
    """The kinds of operator that take most of a variant's time, where the runtime can say it."""
    times: dict[str, float] = {}
    for operator in m.operators:
        if operator.ms is not None:
            times[operator.kind] = times.get(operator.kind, 0.0) + operator.ms
    total = sum(times.values())
    if not total:
        return None
    most = sorted(times.items(), key=lambda kind: -kind[1])[:3]
    return f"{m.variant}: " + ", ".join(f"{kind} {ms / total:.0%}" for kind, ms in most)
