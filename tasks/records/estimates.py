"""What is known of the error of estimates, in words: beside every one, also where nothing is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.records import Energy, Judged, Measurement

UNKNOWN = "error not known"


def errors(m: "Measurement") -> dict[str, str]:
    """By figure: the error of a pair's estimated latency and energy; empty where it has neither."""
    found = {}
    if m.latency is not None and m.latency.provenance == "estimated":
        found["latency_ms"] = told(m.latency.judged)
    if words := of_energy(m.energy):
        found["energy_mj"] = words
    return found


def of_energy(energy: "Energy") -> str:
    """Of an estimated energy; "" of any other."""
    if not energy.kind.startswith("estimate_"):
        return ""
    return told(energy.judged) + (", given the latency" if energy.judged else "")


def told(judged: "Judged | None") -> str:
    """An error in words."""
    return judged.told if judged else UNKNOWN


def notes(measurements: Iterable["Measurement"]) -> list[str]:
    """A sentence for each device and figure whose estimates have been judged; of the others the page says it."""
    found: dict[str, None] = {}
    for m in measurements:
        if m.status == "ok":
            known = {figure: words for figure, words in errors(m).items() if words != UNKNOWN}
            found |= dict.fromkeys(f"{m.device}: {figure} is estimated, {words}." for figure, words in known.items())
    return list(found)
