"""The comparison as one HTML page that needs nothing else: no network, no font.

Tables and words stand in it as they are; its scripts (`web/`) draw, filter, sort and compute by one block of figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.records import Comparison, Measurement, Provenance, Published, Row, Subject, estimates, notation
from tasks.records.figures import Figure, Value, of_yardstick, told
from tasks.records.metrics import METRICS
from tasks.report import library
from tasks.report.advice import Advised, title, words
from tasks.report.block import block, operator_times, replayed_by
from tasks.report.compare import by_device
from tasks.report.matrix import Matrix
from tasks.report.seeds import apart
from tasks.report.tree import tree
from tasks.report.verdict import absence

RESOURCES = (
    "web/page.html.j2", "web/macros.html.j2", "web/page.css",
    "web/state.js", "web/look.js", "web/front.js", "web/table.js", "web/detail.js", "web/curves.js", "web/use.js",
    "web/changes.js",
    "web/main.js",
)  # fmt: skip
WEB = Path(__file__).with_name("web")
FILTERS = ("device", "scheme", "model")  # fields of a row
SCRIPTS = [Path(name).name for name in RESOURCES if name.endswith(".js")]  # in the order that they run


@dataclass(frozen=True)
class Cell:
    """A figure in a table: its heading, its text, what qualifies it, and where it comes from where that is marked."""

    name: str
    text: str
    detail: str = ""
    provenance: Provenance = "none"


@dataclass(frozen=True)
class Line:
    """A variant on a device, ready to be set."""

    row: Row
    cost: Cell  # the first figure that the device tells
    cells: tuple[Cell, ...]  # all of them


@dataclass(frozen=True)
class Device:
    """A device's part of the page."""

    name: str
    kind: str
    provenance: str
    instead: str  # why ratios are against another variant than the reference, and which; "": they are not
    lines: tuple[Line, ...]
    facts: tuple[tuple[str, str], ...]
    ran: bool  # whether any variant did
    published: tuple[tuple[str, Published], ...]  # by others, with the variant of whose network it is


def render(
    comparison: Comparison,
    advised: Advised | None = None,
    about: str = "",
    confusions: Sequence[Matrix] = (),
    subjects: Sequence[Subject] = (),
) -> str:
    """The page's HTML; the same records give the same bytes.

    Args:
        comparison: what it shows.
        advised: what to ship, which stands on top where it is known.
        about: the data, the seeds, times and versions, in a few sentences.
        confusions: of what is shipped.
        subjects: the variants' cards, for the tree of models and what is known of layers.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    devices = [_device(name, rows, comparison.reference) for name, rows in by_device(comparison.rows).items()]
    shown, script = told(comparison.rows), "\n".join(_resource(name) for name in SCRIPTS)
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        advice=[(each, title(each), words(each, comparison)) for each in (advised.devices if advised else ())],
        devices=devices,
        names=[_heading(figure) for figure in shown],
        lines=[(_line(row, shown), replayed_by(row.variant, row.device)) for row in comparison.rows],
        seeds=[_line(row, shown) for row in apart(comparison).rows if row.of],
        choices={name: list(dict.fromkeys(getattr(row, name) for row in comparison.rows)) for name in FILTERS},
        statuses=list(dict.fromkeys(row.measurement.status for row in comparison.rows)),
        about=about,
        confusions=confusions,
        models=tree(subjects),
        absent=[(device.name, _reasons(device.lines)) for device in devices if not device.ran],
        overview=_overview(comparison.rows, devices),
        yardsticks=_yardsticks(comparison),
        **_words(comparison.rows[0] if comparison.rows else None),
        quick=any(row.measurement.mode == "quick" for row in comparison.rows),
        marks=notation.MARKS,
        significant=notation.significant,
        used={cell.provenance for device in devices for line in device.lines for cell in line.cells},
        style=_resource("page.css"),
        library=library.vega(),
        script=script,
        policy=library.policy(library.vega(), script),
        block=block(comparison, subjects),
    )


def _resource(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _words(row: Row | None) -> dict[str, Any]:
    """What quality is, and how it is judged: None where nothing ran."""
    judge = METRICS.load(row.metric) if row and row.metric in METRICS else None
    share = row is None or row.unit == "share"
    return {
        "metric": row.metric if row else "quality",
        "in_percent": share,
        "lower": row is not None and row.better == "lower",
        "interval_by": judge.interval_by if judge else None,
        "paired_by": judge.paired_by if judge else "the paired test",
    }


def _overview(rows: Sequence[Row], devices: Sequence[Device]) -> list[tuple[Row, list[Cell], list[Line | None]]]:
    """For each variant the figures that do not hang from a device, and its line on every device."""
    shown = [figure for figure in told(rows) if figure.scope != "device"]
    table = []
    for variant in dict.fromkeys(row.variant for row in rows):
        own = [row for row in rows if row.variant == variant]
        lines = [next((line for line in device.lines if line.row.variant == variant), None) for device in devices]
        # of a device that it runs on, where there is one: what did not run has no quality there
        cells = [_cell(figure, next((row for row in own if figure.of(row)), own[0])) for figure in shown]
        table.append((own[0], cells, lines))
    return table


def _yardsticks(comparison: Comparison) -> list[tuple[str, str, list[Cell]]]:
    """The name and the method of each yardstick, and its cells in the overview."""
    shown = [figure for figure in told(comparison.rows) if figure.scope != "device"]
    return [
        (each.name, each.method, [_set(figure, of_yardstick(figure, each.on("test"))) for figure in shown])
        for each in comparison.yardsticks
    ]


def _device(name: str, rows: Sequence[Row], reference: str) -> Device:
    ok = [row.measurement for row in rows if row.measurement.status == "ok"]
    provenances = dict.fromkeys(m.latency.provenance for m in ok if m.latency is not None)
    kinds = [row.measurement.device_kind for row in rows if row.measurement.device_kind != "unknown"]
    shown, against = told(rows), rows[0].anchor
    other = f"{absence(rows, reference)} here, so latencies are compared with {against}"
    return Device(
        name=name,
        kind=kinds[0] if kinds else "",
        provenance=" and ".join(provenances) or "no figures",
        instead=other if against and against != reference else "",
        lines=tuple(_line(row, shown) for row in rows),
        facts=tuple(_facts(ok)),
        ran=bool(ok),
        published=tuple((row.variant, each) for row in rows for each in row.measurement.published),
    )


def _reasons(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Each reason once, with the variants that share it."""
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.row.verdict, []).append(line.row.variant)
    return [(reason, ", ".join(variants)) for reason, variants in found.items()]


def _line(row: Row, shown: Sequence[Figure]) -> Line:
    cost = next((figure for figure in shown if figure.scope == "device"), None)
    cells = tuple(_cell(figure, row) for figure in shown)
    return Line(row, _cell(cost, row) if cost else Cell("", notation.UNKNOWN), cells)


def _heading(figure: Figure) -> str:
    name, unit = notation.heading(figure)
    return f"{name[0].upper()}{name[1:]} {unit}".strip()


def _cell(figure: Figure, row: Row) -> Cell:
    return _set(figure, figure.over_seeds(row))


def _set(figure: Figure, value: Value | None) -> Cell:
    name = _heading(figure)
    if value is None:
        return Cell(name, notation.UNKNOWN)
    ends = notation.ends(figure, value)
    detail = f"({ends})" if ends and value.bounds == "range" else ends or value.note
    return Cell(
        name, notation.number(figure, value), detail, value.provenance if notation.mark(figure, value) else "none"
    )


def _facts(ok: Sequence[Measurement]) -> list[tuple[str, str]]:
    """What the figures of a device hang from, each said once."""
    environment: dict[str, Any] = ok[0].environment if ok else {}
    known = {k: notation.significant(v) if isinstance(v, float) else v for k, v in environment.items()}
    facts = [(k.replace("_", " "), str(v)) for k, v in known.items() if isinstance(v, str | int)]
    told: dict[str, list[str | None]] = {
        "accuracy from": [m.stand_in for m in ok],
        "energy": [notation.ENERGY_KINDS[m.energy.kind] if m.energy.mj is not None else m.energy.reason for m in ok],
        "estimates": ["; ".join(f"{key}: {words}" for key, words in estimates.errors(m).items()) for m in ok],
        "energy covers": [m.energy.scope for m in ok],
        "energy formula": [f"{m.variant}: {m.energy.formula}" if m.energy.formula else None for m in ok],
        "memory counts": [m.memory.what if m.memory else None for m in ok],
        "weights as encoded": [_encoded(m) for m in ok],
        "room on the board": [_room(m) for m in ok],
        "windows": [_windows(m) for m in ok],
        "time goes into": [_operators(m) for m in ok],
    }
    return facts + [(name, value) for name, values in told.items() for value in dict.fromkeys(values) if value]


def _windows(m: Measurement) -> str | None:
    own = [window for window in m.windows if window.variant == m.variant]
    if not own:
        return None
    return f"{len(own)} of {notation.significant(min(window.seconds for window in own), 2)} s or more ({m.mode} mode)"


def _encoded(m: Measurement) -> str | None:
    """The weights as a compiler packs them for its hardware: zeros and repeated values take less."""
    original, encoded = (m.details.get(f"{name}_weights_bytes") for name in ("original", "encoded"))
    if not original or not encoded:
        return None
    sizes = f"{notation.size(int(encoded))} of {notation.size(int(original))}"
    return f"{m.variant}: {sizes}, {notation.factor(original / encoded)}"


def _room(m: Measurement) -> str | None:
    """How much of a board's memories the variant takes, with what else must be there."""
    parts = {"RAM": m.details.get("ram"), "flash": m.details.get("flash")}
    told = [f"{name} {part['share']:.0%} of {part['kib']:g} KiB" for name, part in parts.items() if part]
    return f"{m.variant}: {', '.join(told)}" if told else None


def _operators(m: Measurement) -> str | None:
    """The kinds of operator that take most of a variant's time, where the runtime can say it."""
    times = dict(operator_times(m))
    total = sum(times.values())
    if not total:
        return None
    return f"{m.variant}: " + ", ".join(f"{kind} {ms / total:.0%}" for kind, ms in list(times.items())[:3])
