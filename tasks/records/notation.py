"""How figures are written for people: sensible digits, units, and marks that tell a measurement from an estimate."""

from collections.abc import Callable
from math import floor, log10

from tasks.intervals import Kind
from tasks.records import Provenance
from tasks.records.figures import Figure, Value

UNKNOWN = "–"  # never 0
MARKS: dict[Provenance, str] = {"measured": "●", "estimated": "○", "emulated": "◇", "none": ""}
ENERGY_KINDS: dict[str, str] = {
    "counter_nvml": "NVML counter",
    "counter_rapl": "RAPL counter",
    "rail_hwmon": "board rail",
    "meter_external": "external meter",
    "estimate_compiler": "compiler's estimate",
    "estimate_cpu_time": "estimate from CPU time",
    "estimate_datasheet": "estimate from the datasheet",
    "estimate_published": "estimate from published figures",
    "none": "none",
}


def significant(value: float | None, digits: int = 3) -> str:
    """`value` with so many significant digits, without exponent; whole numbers keep all of theirs."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")  # first, so that 9.999 counts as 10.0
    decimals = max(0, digits - 1 - floor(log10(abs(rounded))))
    return f"{value:,.{decimals}f}"


def ratio(value: float | None) -> str:
    """A ratio: two decimals around 1, more where it is small."""
    return (
        f"{value:.2f}"
        if value is not None and 0.1 <= value < 1
        else significant(value, 3 if value and value >= 1 else 2)
    )


def interval(low: float | None, high: float | None, kind: Kind) -> str:
    """Both ends of a ratio: `[0.40–0.60]` of a 95 % interval, `(0.40–0.60)` of a range; nothing where none is known."""
    if low is None or high is None:
        return ""
    left, right = "[]" if kind == "interval" else "()"
    return f"{left}{ratio(low)}–{ratio(high)}{right}"


def percent(share: float, n: int) -> str:
    """A share of `n` examples in percent; a second decimal only where one example is worth less than 0.05 %."""
    return f"{100 * share:.{2 if n > 2000 else 1}f}"


def points(difference: float, n: int) -> str:
    """A difference of two shares of `n` examples in percentage points, signed."""
    return _signed(difference, percent(abs(difference), n))


def quality(value: float, unit: str, n: int) -> str:
    """A quality of `n` examples, with what it is in."""
    return f"{percent(value, n)} %" if unit == "share" else significant(value)


def change(difference: float, unit: str, n: int) -> str:
    """A difference of two qualities of `n` examples, signed: of shares in percentage points."""
    return f"{points(difference, n)} points" if unit == "share" else _signed(difference, significant(abs(difference)))


def _signed(difference: float, text: str) -> str:
    return text if difference == 0 or not text.strip("0.") else f"{'+' if difference > 0 else '−'}{text}"


def size(count: int) -> str:
    """A number of bytes in B, kB (1,000) or MB (1,000,000)."""
    if count < 1000:
        return f"{count} B"
    return f"{significant(count / 1000)} kB" if count < 1_000_000 else f"{significant(count / 1_000_000)} MB"


def factor(smaller: float) -> str:
    """How a size compares with another one that is `smaller` times as large."""
    if abs(smaller - 1) < 0.01:
        return "of the same size"
    if smaller > 1:
        return f"{significant(smaller)}× smaller"
    return f"{significant(1 / smaller)}× larger"


def file(raw: float, packed: float) -> str:
    """How a file compares with another one that is `raw` times as large, and `packed` times under gzip."""
    told, under_gzip = factor(raw), factor(packed)
    return f"file {told}" if told == under_gzip else f"file {told}, {under_gzip} under gzip"


def probability(p: float) -> str:
    """A p-value: `p = 0.03`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {min(p, 1.0):.{3 if p < 0.01 else 2}f}"


# by the unit of a figure: what stands in a heading, and how a number with so many digits is written, of n examples
UNITS: dict[str, tuple[str, Callable[[float, int, int], str]]] = {
    "share": ("%", lambda value, _, n: percent(value, n)),
    "bytes": ("", lambda value, _, __: size(int(value))),
    "instructions": ("millions", lambda value, digits, _: significant(value / 1e6, digits)),
    "ratio": ("", lambda value, _, __: ratio(value)),
}


def heading(figure: Figure) -> tuple[str, str]:
    """The name and the unit of a figure."""
    unit, _ = UNITS.get(figure.unit, (figure.unit, None))
    return figure.label, unit


def number(figure: Figure, value: Value | None) -> str:
    """A figure's number without its unit, which the heading has."""
    return UNKNOWN if value is None else _written(figure, value.value, value.n)


def ends(figure: Figure, value: Value | None) -> str:
    """Both ends of a figure's bounds; nothing where they are not known."""
    if value is None or value.low is None or value.high is None:
        return ""
    return "–".join(_written(figure, end, value.n, digits=2) for end in (value.low, value.high))


def mark(figure: Figure, value: Value | None) -> str:
    """Where a figure comes from. Qualities, sizes and ratios are measured unless they say otherwise."""
    if value is None:
        return ""
    plain = value.provenance == "measured" and (figure.scope != "device" or figure.unit == "ratio")
    return "" if plain else MARKS[value.provenance]


def cell(figure: Figure, value: Value | None, *, wide: bool) -> str:
    """A figure behind its mark; with its bounds where there is room: [] of 95 %, () of what claims nothing."""
    text = f"{mark(figure, value)} {number(figure, value)}".strip()
    around = ends(figure, value)
    if not wide or value is None or not around:
        return text
    if figure.unit == "share" and value.low is not None and value.high is not None:
        return f"{text} ±{_written(figure, (value.high - value.low) / 2, value.n)}"
    return f"{text} [{around}]" if value.bounds == "interval" else f"{text} ({around})"


def _written(figure: Figure, value: float, n: int | None, digits: int = 3) -> str:
    known = UNITS.get(figure.unit)
    return known[1](value, digits, n or 0) if known else significant(value, digits)
