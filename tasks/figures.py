"""How figures are written for people: sensible digits, units, and marks that tell a measurement from an estimate."""

from math import floor, log10

from tasks.intervals import Kind
from tasks.records import Energy, EnergyKind, Provenance

UNKNOWN = "–"  # never 0
MARKS: dict[Provenance, str] = {"measured": "●", "estimated": "○", "emulated": "◇", "none": ""}
ENERGY_KINDS: dict[EnergyKind, str] = {
    "counter_nvml": "NVML counter",
    "counter_rapl": "RAPL counter",
    "rail_hwmon": "board rail",
    "meter_external": "external meter",
    "estimate_compiler": "compiler's estimate",
    "estimate_cpu_time": "estimate from CPU time",
    "estimate_datasheet": "estimate from the datasheet",
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
    text = percent(abs(difference), n)
    return text if float(text) == 0 else f"{'+' if difference > 0 else '−'}{text}"


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


def probability(p: float) -> str:
    """A p-value: `p = 0.03`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {min(p, 1.0):.{3 if p < 0.01 else 2}f}"


def energy_provenance(energy: Energy) -> Provenance:
    """Whether an energy figure was measured by a counter or a meter, or is an estimate."""
    if energy.mj is None or energy.kind == "none":
        return "none"
    return "estimated" if energy.kind.startswith("estimate_") else "measured"
