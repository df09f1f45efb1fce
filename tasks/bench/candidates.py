"""Which devices of the catalog keep to a budget: asked before anybody owns one, so nothing is run.

Of each the figure that is worth most counts: a record of the project, then what others have published of this very
network on its board, then an estimate with what is known of its error.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from tasks import paths
from tasks.bench import devices
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, made_in
from tasks.errors import DataError, ParamsError, UnsupportedError, WordsError, suggest
from tasks.files import sha256
from tasks.formats import tflite
from tasks.published import beside
from tasks.published.runtimes import RUNTIMES, processor
from tasks.published.table import FLOATS, Row
from tasks.records import Energy, Judged, Measurement, Runnable, estimates, notation, read

Origin = Literal["measured", "published", "estimated"]
Keeps = Literal["yes", "perhaps", "no"]
SURENESS: tuple[Keeps, ...] = ("no", "perhaps", "yes")
SAME_CLOCK = 0.01  # relative
# of a file that nobody has a card of: the scheme by the types of its tensors, the first that fits
TYPES = {"int16": "int16x8", "float16": "float16"}
NARROW = {"int4": "int4-dynamic", "int8": "dynamic"}  # where products take such weights
SIDES = ("inputs", "outputs")
BETWEEN = ("QUANTIZE", "DEQUANTIZE")  # floats and integers: a graph of integers may take and give floats by these


@dataclass(frozen=True)
class Budget:
    """What an inference may take at most; None: however much."""

    latency_ms: float | None = None
    energy_mj: float | None = None


@dataclass(frozen=True)
class Span:
    """A figure and what it may be as well."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Self:
        """Of what was measured, by us or by others."""
        return cls(value, value, value)

    def within(self, most: float | None) -> Keeps:
        """Whether it keeps to a limit: surely, in the middle of its range, or not."""
        if most is None or self.high <= most:
            return "yes"
        return "perhaps" if self.value <= most else "no"


@dataclass(frozen=True)
class Candidate:
    """A device, and what an inference takes there."""

    device: str
    origin: Origin
    latency: Span
    energy: Span | None  # None: nobody knows
    said: str  # how that is known
    judged: Judged | None  # of the latency, where it is estimated: its error; None: not known
    keeps: Keeps

    @property
    def cost(self) -> tuple[bool, float, float]:
        """What candidates are told by: whether they surely keep to the budget; the most energy, the most time."""
        return self.keeps != "yes", self.energy.high if self.energy else float("inf"), self.latency.high


def find(artifact: Artifact, budget: Budget, names: Iterable[str] = ()) -> tuple[list[Candidate], dict[str, str]]:
    """The devices that keep to a budget, the cheapest first, and of every other why it does not.

    Args:
        artifact: a file that answers an example by one call.
        budget: in milliseconds and millijoules an inference.
        names: of the devices; none: the whole catalog.
    """
    found, left = [], {}
    for name in names or devices.names():
        try:
            known = _known(artifact, devices.load(name), budget)
        except (UnsupportedError, ParamsError, DataError) as error:
            left[name] = str(error)
            continue
        if known.keeps == "no":
            left[name] = _over(known, budget)
        else:
            found.append(known)
    return sorted(found, key=lambda each: each.cost), left


def artifact(subject: str) -> Artifact:
    """A variant that the project has made, or a `.tflite` file.

    Raises:
        WordsError: it is neither.
        ParamsError: the file is none of LiteRT.
        DataError: the variant's file is not what its card was written for.
    """
    path = Path(subject)
    if path.suffix == ".tflite" and path.is_file():
        return Artifact(Runnable(variant=path.stem, scheme=_scheme(path), sha256=sha256(path)), path)
    made = [folder.parent.name for folder in sorted(paths.ARTIFACTS.glob("*/card.json"))]
    if subject not in made:
        known = suggest(subject, made) if made else "none is made here: `tercet run`"
        raise WordsError(f"received {subject!r}; a .tflite file, or a variant of this project: {known}")
    return made_in(paths.artifact(subject))


def _scheme(path: Path) -> str:
    """Of a file without a card, by the types that its graph computes in, and those of the weights that it takes."""
    try:
        graph = tflite.load(path).main
    except tflite.DAMAGED as error:
        raise ParamsError(f"{path}: no file of LiteRT: {type(error).__name__}") from None
    types = {tensor.dtype for tensor in graph.tensors}
    computes = [operator for operator in graph.operators if operator.kind not in BETWEEN]
    taken, made = ({t.dtype for node in computes for t in graph.made(getattr(node, side))} for side in SIDES)
    if "float32" not in made and "int16" not in made:
        return "int8"
    if found := next((scheme for dtype, scheme in TYPES.items() if dtype in types), None):
        return found
    narrow = next((dtype for dtype in NARROW if dtype in types), None)
    if narrow is None:
        return "float32"
    return NARROW[narrow] if narrow in taken else f"{narrow}-weights"  # which become floats before anything computes


def _known(artifact: Artifact, device: Device, budget: Budget) -> Candidate:
    m = _record(artifact, device)
    if m and m.status == "invalid":  # what others saw of its network, or foretell, is no better than that
        raise UnsupportedError(f"measured, and no result: {m.reason}")
    if m and m.status == "ok" and m.windows:
        return _measured(m, budget)
    if artifact.card.scenario != "single":
        raise UnsupportedError("what writes texts is measured: `tercet run`")
    row = _published(artifact, device, device.board) if device.board else None
    if row:
        return _by_others(device, row, budget)
    if m and m.reason and KINDS.load(device.kind).foretells is None:
        raise UnsupportedError(m.reason)
    return _foretold(artifact, device, budget)


def _record(artifact: Artifact, device: Device) -> Measurement | None:
    """The project's own of this very file on a device; null where it has none."""
    path = paths.benchmark(artifact.card.variant, device.name)
    found = read(Measurement, path) if path.is_file() else None
    return found if found and found.artifact_sha256 == artifact.card.sha256 else None


def _measured(m: Measurement, budget: Budget) -> Candidate:
    assert m.latency is not None  # as of all that ran in windows
    spent = _spent(m.energy)
    said = f"{m.mode} mode, here" + (f"; mJ: {notation.ENERGY_KINDS[m.energy.kind]}" if spent else "")
    return _candidate(budget, m.device, "measured", Span.exact(m.latency.ms_p50), spent, said)


def _by_others(device: Device, row: Row, budget: Budget) -> Candidate:
    assert row.latency_ms is not None  # as of all that are found
    spent = None if row.energy_mj is None else Span.exact(row.energy_mj)
    return _candidate(budget, device.name, "published", Span.exact(row.latency_ms), spent, row.ran_on)


def _foretold(artifact: Artifact, device: Device, budget: Budget) -> Candidate:
    kind = KINDS.load(device.kind)
    if kind.foretells is None:
        raise UnsupportedError("measured, not foretold: name it in params.yaml, and `tercet run`")
    if reason := devices.usable(device):
        raise UnsupportedError(reason)
    told = kind.foretells(artifact, device)
    latency, error = told.latency, estimates.told(told.latency.judged)
    taken = Span(latency.ms_p50, latency.ms_low or latency.ms_p50, latency.ms_high or latency.ms_p50)
    return _candidate(budget, device.name, "estimated", taken, _spent(told.energy), error, latency.judged)


def _spent(energy: Energy) -> Span | None:
    return None if energy.mj is None else Span(energy.mj, energy.low_mj or energy.mj, energy.high_mj or energy.mj)


def _candidate(
    budget: Budget,
    device: str,
    origin: Origin,
    taken: Span,
    spent: Span | None,
    said: str,
    judged: Judged | None = None,
) -> Candidate:
    """It keeps to a budget as surely as its less sure figure does; what nobody knows may be anything."""
    each = [taken.within(budget.latency_ms)]
    if budget.energy_mj is not None:
        each.append(spent.within(budget.energy_mj) if spent else "perhaps")
    return Candidate(device, origin, taken, spent, said, judged, min(each, key=SURENESS.index))


def _published(artifact: Artifact, device: Device, board: str) -> Row | None:
    """The figure of this very network on its board: by the device's own kernels the latest, else anybody's quickest."""
    rows = [row for row in beside.rows(artifact.path, artifact.card.scheme, board) if _its_own(row, device)]
    clock, kernels = getattr(device, "clock_mhz", None), getattr(device, "kernels", None)
    if clock:
        rows = [row for row in rows if row.clock_mhz is None or abs(row.clock_mhz / clock - 1) <= SAME_CLOCK]
    threads = str(getattr(device, "threads", 1))
    own = [row for row in rows if kernels and RUNTIMES[kernels].has(row, threads)]
    return own[-1] if own else min(rows, key=lambda row: row.latency_ms or 0.0, default=None)


def _its_own(row: Row, device: Device) -> bool:
    """Whether a figure of a board is of that part of it which a device stands for, at as many threads where it says so.

    A board has a processor, and may have an accelerator; a datasheet of integers alone is an accelerator's.
    """
    kernels, peaks = getattr(device, "kernels", None), getattr(device, "peak_gops", {FLOATS: None})
    if kernels and RUNTIMES[kernels].accelerates:
        return row.core.startswith(RUNTIMES[kernels].cores)
    if FLOATS not in peaks:
        return not processor(row.core)
    threads = getattr(device, "threads", 1)
    alike = row.ran_threads in ("", str(threads)) or (threads > 1 and not row.ran_threads.isdigit())
    return processor(row.core) and alike


def _over(known: Candidate, budget: Budget) -> str:
    """Why it does not keep to a budget."""
    figures = ((known.latency, budget.latency_ms, "ms"), (known.energy, budget.energy_mj, "mJ"))
    over = [f"{span.value:.3g} {unit}" for span, most, unit in figures if span and span.within(most) == "no"]
    return f"{known.origin} {', '.join(over)} ({known.said})"
