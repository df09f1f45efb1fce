"""The figures that variants are told apart by, each said once: its name, its unit, which way is better, how it is read.

Everything that shows, sends, limits or chooses by figures goes through this table: the terminal, the report, its CSV,
`dvc metrics`, MLflow, budgets, and what a search is asked for. The key is the one name of a figure in all of them, and
the order is theirs. To add a figure, add an entry; a plug-in names one by an entry point, in a module that imports
nothing of ours but this one, as the schema of params.yaml asks for its key.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tasks.intervals import FEWEST
from tasks.records import costs, estimates
from tasks.records.values import Bounds, Value
from tasks.registry import Registry

if TYPE_CHECKING:
    from tasks.records import Better, EnergyKind, Measurement, Phase, Provenance, Ratio, Row, Score, Window

__all__ = ["Bounds", "Figure", "Turns", "Value"]  # what plug-ins take from here

QUALITY = "quality"
INFERENCE, PREFILL, DECODE = "infer", "prefill", "decode"  # phases, as the runner calls them


@dataclass(frozen=True)
class Turns:
    """How a figure of a phase was measured in turns with the reference."""

    phase: str
    paired: "Callable[[Phase], Ratio | None]"  # variant over reference, window by window
    window: "Callable[[Phase, Window], float | None]"  # the figure of one window

    def ratio(self, measured: "Measurement") -> "Ratio | None":
        """The paired ratio; None of what was not measured in turns."""
        found = measured.phases.get(self.phase)
        return self.paired(found) if found else None

    def levels(self, measured: "Measurement", variant: str | None) -> list[float]:
        """The figure of each of a variant's windows that tells it."""
        found = measured.phases.get(self.phase)
        own = [window for window in found.windows if window.variant == variant] if found else []
        values = [self.window(found, window) for window in own] if found else []
        return [value for value in values if value is not None]


@dataclass(frozen=True)
class Figure:
    """One kind of figure."""

    key: str  # its name everywhere; the unit stands in it
    unit: str  # "share", "bytes", "instructions" and "ratio" are written in ways of their own; of quality the usual
    better: Literal["lower", "higher"]
    label: str  # in headings
    read: "Callable[[Row], Value | None]"  # of a pair that is ok
    scope: Literal["answers", "device", "file"] = "device"  # what it is of; files are the same on every device
    room: Literal["terminal", "wide", "page"] = "page"  # the narrowest table that has room for it
    turns: Turns | None = None
    made_of: "Callable[[Row, Callable[[str], Value | None]], Value | None] | None" = (
        None  # of others: how, by what reads
    )
    axis: str | None = None  # what the axis of its chart says; None: it has no chart, and no front
    lacks: "Callable[[Row], str | None]" = lambda _: None  # why a pair that is ok has none, where that is known

    def of(self, row: "Row") -> Value | None:
        """The figure of a row; None where it is not known, and of a pair that is not ok always, but for its file."""
        return self.read(row) if self.scope == "file" or row.measurement.status == "ok" else None

    def over_seeds(self, row: "Row") -> Value | None:
        """Its mean over the seeds with the interval of that; where there are no several seeds, as it is.

        An estimate keeps its bounds, about its mean: they are of one unknown that all seeds share.
        """
        found, mean = self.of(row), row.over_seeds.get(self.key)
        if found is None or mean is None:
            return found
        told = replace(found, value=mean.mean, note=f"{mean.n} seeds")
        if found.bounds == "bounds" and found.low is not None and found.high is not None and found.value:
            scale = mean.mean / found.value
            return replace(told, low=found.low * scale, high=found.high * scale)
        if mean.low == mean.high:
            return exactly(told)
        return replace(told, low=mean.low, high=mean.high, bounds="interval")


def known(row: "Row") -> dict[str, Value]:
    """Every figure that a row has, by its key; none of a pair that is not ok."""
    found = {key: figure.of(row) for key, figure in FIGURES.items() if row.measurement.status == "ok"}
    return {key: value for key, value in found.items() if value is not None}


def told(rows: Iterable["Row"]) -> list[Figure]:
    """The figures that any of the rows has, in the order of the table; the quality by its metric's name and unit."""
    given = list(rows)
    found = [figure for figure in FIGURES.values() if any(figure.of(row) for row in given)]
    return [judged(each, given[0].metric, given[0].unit, given[0].better) for each in found]


def judged(figure: Figure, metric: str, unit: str, better: "Better") -> Figure:
    """A figure as it is where quality is what `metric` says; every other is what it is."""
    return replace(figure, label=metric, unit=unit, better=better) if figure.key == QUALITY else figure


def of_yardstick(figure: Figure, score: "Score") -> Value | None:
    """What a yardstick has of a figure: it runs on no device and is no file, so its quality alone."""
    return Value(score.value, score.low, score.high, n=score.n) if figure.key == QUALITY else None


def drawn() -> list[Figure]:
    """The costs that quality is drawn against, and that have a front."""
    return [figure for figure in FIGURES.values() if figure.axis]


def lower() -> list[str]:
    """The names of the figures that are better the lower they are: those that a budget may limit or minimize."""
    return [key for key, figure in FIGURES.items() if figure.better == "lower"]


def _quality(row: "Row") -> Value | None:
    if row.quality is None:
        return None
    source: Provenance = "emulated" if row.measurement.stand_in else "measured"
    return Value(row.quality, row.quality_low, row.quality_high, source=source, n=row.quality_n)


def _chosen(measure: str) -> "Callable[[Row], Value | None]":
    """Right answers to multiple-choice questions, by LiteRT on this machine: of another runtime they stand in."""

    def read(row: "Row") -> Value | None:
        if row.choices is None:
            return None
        found = getattr(row.choices, measure)
        source: Provenance = "emulated" if row.measurement.stand_in or row.measurement.scores else "measured"
        return Value(found.value, found.low, found.high, source=source, n=row.choices.n)

    return read


def _latency(phase: str = INFERENCE) -> "Callable[[Row], Value | None]":
    """Milliseconds of one run of a phase."""

    def read(row: "Row") -> Value | None:
        found = _of(row, phase)
        if found is None or found.latency is None or found.latency.provenance == "none":
            return None
        latency = found.latency
        source: Provenance | EnergyKind = "estimate_published" if latency.fitted_to else latency.provenance
        note = "" if latency.ms_p90 is None else f"p90 {latency.ms_p90:.3g}"
        if latency.provenance == "estimated":
            note = estimates.told(latency.judged)
        unknown = latency.fitted_to or ""
        return Value(latency.ms_p50, latency.ms_low, latency.ms_high, "bounds", source, note=note, unknown=unknown)

    return read


def _percentile(of: Literal["ms_p95", "ms_p99"]) -> "Callable[[Row], Value | None]":
    """A percentile of the inferences of a window, the median over the windows; it is not taken in turns."""

    def read(row: "Row") -> Value | None:
        latency = row.measurement.latency
        found: float | None = getattr(latency, of) if latency else None
        if latency is None or found is None:
            return None
        return Value(found, source=latency.provenance, unpaired=latency.provenance == "measured")

    return read


def _rate(phase: str) -> "Callable[[Row], Value | None]":
    """How many of its units a phase does in a second, in the median run."""
    latency = _latency(phase)

    def read(row: "Row") -> Value | None:
        found, ms = _of(row, phase), latency(row)
        return Value(found.volume * 1e3 / ms.value, source=ms.source, unknown=ms.unknown) if found and ms else None

    return read


def _of(row: "Row", phase: str) -> "Phase | None":
    return row.measurement.phases.get(phase)


def _speed(of: Literal["latency", "instructions"]) -> "Callable[[Row], Value | None]":
    """The ratio that the verdict goes by."""

    def read(row: "Row") -> Value | None:
        found = row.speed
        if found is None or found.of != of:
            return None
        latency = row.measurement.latency
        source: Provenance = latency.provenance if latency and of == "latency" else "emulated"
        kind: Bounds = "bounds" if source == "estimated" else found.kind  # no few pairs stand behind an estimate
        return Value(found.ratio, found.low, found.high, kind, source, unknown=(latency and latency.fitted_to) or "")

    return read


def _instructions(row: "Row") -> Value | None:
    found = row.measurement.instructions
    return None if found is None else Value(found.per_inference, source="emulated", note=found.cpu)


def _energy(
    value: str, low: str | None = None, high: str | None = None, *, phase: str = INFERENCE
) -> "Callable[[Row], Value | None]":
    """A figure of a phase's energy per unit, and its bounds, by the names of their fields."""

    def read(row: "Row") -> Value | None:
        whole = _of(row, phase)
        if whole is None or whole.energy.kind == "none":
            return None
        energy = whole.energy
        each = [getattr(energy, name) if name else None for name in (value, low, high)]
        found, least, most = (known if known is None else known / whole.volume for known in each)
        if found is None:
            return None
        note = estimates.of_energy(energy)
        unknown = (whole.latency and whole.latency.fitted_to) or ""
        return Value(found, least, most, _energy_bounds(row, whole), energy.kind, note=note, unknown=unknown)

    return read


def _energy_bounds(row: "Row", phase: "Phase") -> Bounds:
    """What the ends of an energy are: the bounds of an estimate, or of its windows an interval or a range."""
    if phase.energy.kind.startswith("estimate_"):
        return "bounds"
    own = [w.energy_mj for w in phase.windows if w.variant == row.variant and w.energy_mj is not None]
    return "interval" if len(own) >= FEWEST else "range"


def _energy_ratio(row: "Row") -> Value | None:
    energy = row.measurement.energy
    found = energy.ratio
    return None if found is None else Value(found.value, found.low, found.high, found.kind, energy.kind)


def _memory(row: "Row") -> Value | None:
    found = row.measurement.memory
    return None if found is None or found.provenance == "none" else Value(found.peak_kib, source=found.provenance)


def _cost(row: "Row") -> Value | None:
    return costs.per_million(row, lambda key: FIGURES[key].of(row))


def _size(field: str) -> "Callable[[Row], Value | None]":
    def read(row: "Row") -> Value | None:
        found = getattr(row, field)
        return None if found is None else Value(found)

    return read


def _latency_turns(phase: str = INFERENCE) -> Turns:
    return Turns(phase, lambda found: found.ratio, lambda _, window: window.ms_p50)


def _energy_turns(phase: str = INFERENCE) -> Turns:
    return Turns(
        phase,
        lambda found: found.energy.ratio,
        lambda found, window: None if window.energy_mj is None else window.energy_mj / found.volume,
    )


ENERGY, PROMPT_ENERGY, TOKEN_ENERGY = (
    _energy("mj", "low_mj", "high_mj", phase=phase) for phase in (INFERENCE, PREFILL, DECODE)
)
FIGURES: dict[str, Figure] = {
    figure.key: figure
    for figure in (
        Figure(QUALITY, "share", "higher", "quality", _quality, scope="answers", room="terminal"),
        Figure("acc", "share", "higher", "acc", _chosen("acc"), scope="answers", room="terminal"),
        Figure("acc_norm", "share", "higher", "acc_norm", _chosen("acc_norm"), scope="answers"),
        Figure(
            "latency_ms",
            "ms",
            "lower",
            "latency",
            _latency(),
            room="terminal",
            turns=_latency_turns(),
            axis="milliseconds per inference, median",
        ),
        Figure("latency_ms_p95", "ms", "lower", "latency, p95", _percentile("ms_p95")),
        Figure("latency_ms_p99", "ms", "lower", "latency, p99", _percentile("ms_p99")),
        Figure("latency_ratio", "ratio", "lower", "ratio", _speed("latency"), room="terminal"),
        Figure(
            "ttft_ms",
            "ms",
            "lower",
            "first token",
            _latency(PREFILL),
            turns=_latency_turns(PREFILL),
            axis="milliseconds to the first token, median",
        ),
        Figure(
            "token_ms",
            "ms",
            "lower",
            "token",
            _latency(DECODE),
            turns=_latency_turns(DECODE),
            axis="milliseconds per token, median",
        ),
        Figure("prefill_tokens_per_s", "1/s", "higher", "prompt tokens", _rate(PREFILL)),
        Figure("tokens_per_s", "1/s", "higher", "tokens", _rate(DECODE), room="terminal"),
        Figure("instructions", "instructions", "lower", "instructions", _instructions, room="terminal"),
        Figure("instructions_ratio", "ratio", "lower", "ratio", _speed("instructions"), room="terminal"),
        Figure(
            "energy_mj",
            "mJ",
            "lower",
            "energy",
            ENERGY,
            room="terminal",
            turns=_energy_turns(),
            axis="millijoules per inference, gross",
            lacks=lambda row: row.measurement.energy.reason,
        ),
        Figure("energy_ratio", "ratio", "lower", "energy ratio", _energy_ratio),
        Figure("energy_net_mj", "mJ", "lower", "net energy", _energy("net_mj", "net_low_mj", "net_high_mj")),
        Figure("energy_mj_with_input", "mJ", "lower", "energy with input", _energy("mj_with_input")),
        Figure(
            "prefill_energy_mj_per_token",
            "mJ",
            "lower",
            "energy of a prompt token",
            PROMPT_ENERGY,
            turns=_energy_turns(PREFILL),
        ),
        Figure(
            "energy_mj_per_token",
            "mJ",
            "lower",
            "energy of a token",
            TOKEN_ENERGY,
            room="terminal",
            turns=_energy_turns(DECODE),
            axis="millijoules per token, gross",
        ),
        Figure("memory_kib", "KiB", "lower", "memory", _memory),
        Figure("cost_per_million", "per million", "lower", "cost", _cost, made_of=costs.per_million, lacks=costs.lacks),
        Figure("bytes", "bytes", "lower", "file", _size("bytes"), scope="file", room="wide"),
        Figure("gzip_bytes", "bytes", "lower", "gzip", _size("gzip_bytes"), scope="file", room="terminal"),
        Figure("zstd_bytes", "bytes", "lower", "zstd", _size("zstd_bytes"), scope="file"),
    )
}
TABLE = Registry("figure", "tercet.figures", dict.fromkeys(FIGURES, ""), Figure)


def plugged(name: str) -> Figure:
    """A plug-in's figure; what goes wrong as it is read off a row is a ParamsError that names the plug-in."""
    figure = TABLE.load(name)

    def read(row: "Row") -> Value | None:
        where = f"{row.variant} @ {row.device}"
        try:
            found = figure.read(row)
        except Exception as error:  # somebody else's code: whatever it raises, the user can only look there
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise TABLE.broken(name, f"{where}: {said}") from error
        if found is not None and not isinstance(found, Value):
            raise TABLE.broken(name, f"{where}: a Value or None expected; received {type(found).__qualname__}")
        return found

    return replace(figure, key=name, read=read)


FIGURES |= {name: plugged(name) for name in TABLE.plugins()}


def exactly(value: Value) -> Value:
    """The same without its bounds."""
    return replace(value, low=None, high=None, bounds="interval")
