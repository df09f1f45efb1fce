"""What is known of the error of estimates, in words: beside every one, also where nothing is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.records import Judged, Measurement

UNKNOWN = "error not known"


def errors(m: "Measurement") -> dict[str, str]:
    """By figure: the error of a pair's estimated latency and energy; empty where it has neither."""
    found = {}
    if m.latency is not None and m.latency.provenance == "estimated":
        found["latency_ms"] = told(m.latency.judged)
    if m.energy.kind.startswith("estimate_"):
        given = ", given the latency" if m.energy.judged else ""
        found["energy_mj"] = told(m.energy.judged) + given
    return found


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
