"""Energy counters of a device. Each reads running totals of microjoules, so two readings are a window's energy.

`about` says which zones are read and at what microjoules each wraps, or why there is none: an unreadable counter is
not a counter that reads 0.
"""

import time
from pathlib import Path
from typing import Any, Protocol

from .machine import text

POWERCAP = "/sys/class/powercap"
POLL_S = 0.1  # how long the counter's update period is looked for


class Counter(Protocol):
    """One source of energy readings."""

    about: dict[str, Any]  # {"source", "zones": [{"zone", "name", "range_uj"}], "reason"}

    def microjoules(self) -> list[int]:
        """The running total of each zone; they wrap at `range_uj`."""
        ...


class Powercap:
    """Linux' powercap (RAPL): every processor package, and its memory where that has a counter of its own.

    The zone of the whole platform (psys) is left out: packages are in it.
    """

    def __init__(self, root: str = POWERCAP) -> None:
        self.about: dict[str, Any] = {"source": "powercap", "zones": [], "reason": None}
        self._files: list[Path] = []
        packages = [z for z in sorted(Path(root).glob("intel-rapl:*")) if text(z / "name").startswith("package")]
        memory = [z for p in packages for z in sorted(p.glob(f"{p.name}:*")) if text(z / "name") == "dram"]
        zones: list[dict[str, Any]] = []
        try:
            for zone in dict.fromkeys(packages + memory):
                int((zone / "energy_uj").read_text())
                range_uj = int((zone / "max_energy_range_uj").read_text())
                zones.append({"zone": zone.name, "name": text(zone / "name"), "range_uj": range_uj})
                self._files.append(zone / "energy_uj")
        except (OSError, ValueError) as error:
            self.about["reason"] = f"RAPL cannot be read: {error}"
        else:
            self.about["zones"] = zones
            if not zones:
                self.about["reason"] = f"no RAPL package under {root}"

    def microjoules(self) -> list[int]:
        """The running total of each zone."""
        return [int(file.read_text()) for file in self._files]


def find(sources: dict[str, str]) -> Counter:
    """The first of the sources that can be read, else the last, whose `about` has the reasons of all.

    Args:
        sources: in order of preference, the name of each source and where it is ("powercap": its root).
    """
    kinds = {"powercap": Powercap}
    found: list[Counter] = []
    for source, where in sources.items():
        found.append(kinds[source](where))
        if found[-1].about["zones"]:
            return found[-1]
    found[-1].about["reason"] = "; ".join(counter.about["reason"] for counter in found)
    return found[-1]


def read(counter: Counter) -> dict[str, Any]:
    """Every zone's microjoules, and when: nanoseconds of the monotonic clock and of the epoch."""
    return {"uj": counter.microjoules(), "ns": time.perf_counter_ns(), "epoch_ns": time.time_ns()}


def idle(counter: Counter, seconds: float) -> list[dict[str, Any]] | None:
    """Two readings with nothing done between them; null where there is nothing to read."""
    if not counter.about["zones"]:
        return None
    start = read(counter)
    time.sleep(seconds)
    return [start, read(counter)]


def update_s(counter: Counter) -> float | None:
    """Seconds between two changes of the first zone's total; null where it did not change twice."""
    if not counter.about["zones"]:
        return None
    changes: list[float] = []
    end, last = time.perf_counter() + POLL_S, counter.microjoules()[0]
    while (now := time.perf_counter()) < end:
        if (value := counter.microjoules()[0]) != last:
            last = value
            changes.append(now)
        time.sleep(0.0001)
    return (changes[-1] - changes[0]) / (len(changes) - 1) if len(changes) > 1 else None
