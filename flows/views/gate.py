"""What a gate tells: one line for each figure."""

from tasks.records.figures import QUALITY
from tasks.records.gate import Finding, Gated
from tasks.records.notation import significant

WIDTH = max(len(word) for word in ("passed", "BREACH", "undecided"))
MINUS = "−"


def line(found: Finding) -> str:
    """The outcome, what it is of, the change with its interval, the limit, and what stands behind it."""
    word = "BREACH" if found.outcome == "breach" else found.outcome
    where = found.variant if found.device is None else f"{found.variant} @ {found.device}"
    parts = [f"{word:<{WIDTH}}  {where}:", *([found.name or found.figure] if found.figure else [])]
    if found.value is not None:
        limit = f"limit {_number(found, found.limit or 0)}"
        parts.append(f"{_change(found)}{_interval(found)}, {limit}{_stands_on(found)}")
    if found.reason:
        parts.append(found.reason if found.value is None else f"({found.reason})")
    return " ".join(parts)


def summary(told: Gated) -> str:
    """The last line: how many of each outcome, against what, and how long it took."""
    counts = [
        f"{sum(each.outcome == outcome for each in told.findings)} {word}"
        for outcome, word in (("breach", "worse"), ("undecided", "undecided"), ("passed", "passed"))
    ]
    return f"against {told.against} ({told.resolved[:12]}): {', '.join(counts)}, in {told.seconds:.0f} s"


def _change(found: Finding) -> str:
    assert found.value is not None
    more, less = ("worse", "better") if found.figure == QUALITY else ("more", "less")
    return f"{_number(found, abs(found.value))}{_unit(found)} {less if found.value < 0 else more}"


def _interval(found: Finding) -> str:
    """Both ends; nothing of what is known to the last digit."""
    if found.n is None or found.low is None or found.high is None:
        return ""
    return f" [{_number(found, found.low)} to {_number(found, found.high)}]"


def _stands_on(found: Finding) -> str:
    """How many turns or examples there were; where they tell nothing, what would."""
    if found.n is None:
        return ""
    quality = found.figure == QUALITY
    told = f"{found.n:,} {'examples' if quality else 'turns'}"
    if found.outcome != "undecided":
        return f", {told}"
    wanted = (
        f"about {_about(found.enough or 0):,} could" if quality else "a quieter machine could, or more of gate.seconds"
    )
    return f": {told} cannot tell; {wanted}"


def _about(count: int) -> int:
    """With two digits that count."""
    return round(count, 2 - len(str(count)))


def _number(found: Finding, value: float) -> str:
    text = significant(abs(value)) if found.unit != "share" else _hundredths(abs(value))
    return f"{MINUS if value < 0 and text.strip('0.') else ''}{text}"


def _unit(found: Finding) -> str:
    if found.unit != "share":
        return ""
    return " points" if found.figure == QUALITY else " %"


def _hundredths(share: float) -> str:
    """In percent: two decimals below 1, one below 10."""
    percent = 100 * share
    text = f"{percent:.{2 if percent < 1 else 1 if percent < 10 else 0}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
