"""Energy counters of a device. Each reads running totals of microjoules, so two readings are a window's energy.

`about` says which zones are read and at what microjoules each wraps, or why there is none: an unreadable counter is
not a counter that reads 0.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .machine import text
from .nvml import LIBRARY, Gpu, GpuError

POWERCAP = "/sys/class/powercap"
HWMON = "/sys/class/hwmon"
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "VIN")  # rails that all others hang from: Jetson Orin Nano and NX, Nano, Thor
SAMPLE_S = 0.01  # between two looks at a rail
WATTS_S = 0.05  # between two looks at a power that goes with a counter
POLL_S, SLOW_POLL_S = 0.5, 1.0  # how long the counter's update period is looked for, and where it is a long one
CHANGES, FEW = 50, 10  # that are enough for it, and that must do


class Counter(Protocol):
    """One source of energy readings. It may have `watts()`, the power by another way: see `watts` below."""

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


@dataclass(frozen=True)
class Rail:
    """One current sensor's channel."""

    zone: str
    name: str
    files: tuple[int, ...]  # descriptors: of its power in µW, or of its current in mA and its voltage in mV

    def microwatts(self) -> int:
        """Its power now."""
        # kept open: to open them each time costs the process that is measured three times as much
        return math.prod(int(os.pread(file, 32, 0)) for file in self.files)


class Hwmon:
    """A board's power rails by its current sensors (INA3221, INA2xx) under Linux' hwmon, as running totals.

    The sensors tell power, which a thread looks at 100 times a second, or as often as the sensor looks, and integrates
    by trapezoids. A rail that feeds the whole board is read alone; else all rails of the first sensor that has any, as
    on Jetson AGX Orin, whose second sensor's rail is fed by one of the first's.

    `about` counts the `changes` of the readings beside the zones: a sensor that hangs says the same for ever.
    """

    def __init__(self, root: str = HWMON) -> None:
        self.about: dict[str, Any] = {"source": "hwmon", "zones": [], "reason": None, "changes": 0}
        self._rails: list[Rail] = []
        self._ns, self._uw, self._uj = 0, [0], [0.0]  # the last look at them, and the totals then
        self._looks: threading.Thread | None = None
        chips = [chip for chip in Path(root).glob("hwmon*") if text(chip / "name").startswith("ina")]
        # by the sensor's address: hwmon's own numbers are in the order of start-up
        chips.sort(key=lambda chip: ((chip / "device").resolve().name, chip.name))
        try:
            found = [(chip, rail) for chip in chips for rail in _rails(chip) if rail.microwatts() is not None]
        except (OSError, ValueError) as error:
            self.about["reason"] = f"the current sensor cannot be read: {error}"
            return
        if not found:
            self.about["reason"] = f"no current sensor (INA3221, INA2xx) under {root}"
            return
        chip = next((chip for chip, rail in found if rail.name in WHOLE_BOARD), found[0][0])
        mine = [rail for owner, rail in found if owner == chip]
        self._rails = [rail for rail in mine if rail.name in WHOLE_BOARD] or mine
        self.about["zones"] = [{"zone": rail.zone, "name": rail.name, "range_uj": None} for rail in self._rails]
        self._period_s = max(SAMPLE_S, _update_interval_s(chip))

    def microjoules(self) -> list[int]:
        """The running total of each rail at the last look; the first call starts the looking."""
        if self._looks is None and self._rails:
            self._ns, self._uw = time.perf_counter_ns(), [rail.microwatts() for rail in self._rails]
            self._uj = [0.0] * len(self._rails)
            self._looks = threading.Thread(target=self._look_on, daemon=True)
            self._looks.start()
        return [int(uj) for uj in self._uj]

    def _look_on(self) -> None:
        while True:
            time.sleep(self._period_s)
            with suppress(OSError, ValueError):  # a look that fails is left out; where all fail, nothing moves
                uw = [rail.microwatts() for rail in self._rails]
                self.advance(time.perf_counter_ns(), uw)

    def advance(self, ns: int, uw: list[int]) -> None:
        """Add what the rails used since the last look, from their microwatts then and now."""
        mean = [(before + now) / 2 for before, now in zip(self._uw, uw, strict=True)]
        seconds = (ns - self._ns) / 1e9
        self.about["changes"] += uw != self._uw
        self._uj = [total + power * seconds for total, power in zip(self._uj, mean, strict=True)]
        self._ns, self._uw = ns, uw


def _rails(chip: Path) -> list[Rail]:
    """A sensor's channels. Its voltages from the fourth on are those across its shunts, its fourth current is a sum."""
    channels = {n: (chip / f"power{n}_input",) for n in range(1, 5) if (chip / f"power{n}_input").exists()}
    pairs = {n: (chip / f"curr{n}_input", chip / f"in{n}_input") for n in range(1, 4)}
    on = {n: pair for n, pair in pairs.items() if all(f.exists() for f in pair) and text(chip / f"in{n}_enable") != "0"}
    found = []
    for n, files in (channels or on).items():
        labels = (text(chip / f"{quantity}{n}_label") for quantity in ("power", "in", "curr"))
        name = next((label for label in labels if label), f"{text(chip / 'name')} {n}")
        if name != "NC":  # not connected
            found.append(Rail(f"{chip.name}/{n}", name, tuple(os.open(file, os.O_RDONLY) for file in files)))
    return found


def _update_interval_s(chip: Path) -> float:
    """How often a sensor looks itself; 0 where it does not say."""
    ms = text(chip / "update_interval")
    return int(ms) / 1000 if ms.isdigit() else 0.0


class External:
    """A meter beside the device, which the caller reads: nothing to read here, but moments to mark."""

    def __init__(self, _where: str = "") -> None:
        zone = {"zone": "meter", "name": "external meter", "range_uj": None}
        self.about: dict[str, Any] = {"source": "external", "zones": [zone], "reason": None}

    def microjoules(self) -> list[int]:
        """Nothing."""
        return [0]


class Nvml:
    """The energy counter of an NVIDIA GPU: the first that CUDA sees, and nothing of the machine around it."""

    def __init__(self, library: str = LIBRARY) -> None:
        self.about: dict[str, Any] = {"source": "nvml", "zones": [], "reason": None}
        try:
            self._gpu = Gpu(library or LIBRARY)
            self._gpu.millijoules()
            name = self._gpu.name()
        except GpuError as error:
            self.about["reason"] = f"NVML cannot be read: {error}"
        else:
            self.about["zones"] = [{"zone": "gpu", "name": name, "range_uj": 2**64 * 1000}]

    def microjoules(self) -> list[int]:
        """The GPU's running total."""
        return [self._gpu.millijoules() * 1000]

    def watts(self) -> float:
        """Its power, of another sensor's making than the counter's."""
        return self._gpu.watts()


class Absent:
    """No counter at all."""

    def __init__(self) -> None:
        reason = "this kind of device has no energy counter that can be read"
        self.about: dict[str, Any] = {"source": None, "zones": [], "reason": reason}

    def microjoules(self) -> list[int]:
        """Nothing."""
        return []


# each takes the place where it is, and knows the usual one
SOURCES: dict[str, Callable[..., Counter]] = {
    "powercap": Powercap,
    "hwmon": Hwmon,
    "nvml": Nvml,
    "external": External,
}


def find(sources: dict[str, str]) -> Counter:
    """The first of the sources that can be read, else the last, whose `about` has the reasons of all.

    Args:
        sources: in order of preference, the name of each source and where it is ("powercap": its root). May be none.
    """
    if not sources:
        return Absent()
    found: list[Counter] = []
    for source, where in sources.items():
        found.append(SOURCES[source](where))
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
    start, last = time.perf_counter(), counter.microjoules()[0]
    while (now := time.perf_counter()) < start + (POLL_S if len(changes) > FEW else SLOW_POLL_S):
        if len(changes) > CHANGES:
            break
        if (value := counter.microjoules()[0]) != last:
            last = value
            changes.append(now)
        time.sleep(0.0001)
    return (changes[-1] - changes[0]) / (len(changes) - 1) if len(changes) > 1 else None


@contextmanager
def watts(counter: Counter) -> Iterator[list[float]]:
    """What the power beside a counter is meanwhile, looked at 20 times a second; stays empty where there is none."""
    seen: list[float] = []
    look: Callable[[], float] | None = getattr(counter, "watts", None)
    if not look or not counter.about["zones"]:
        yield seen
        return
    over = threading.Event()

    def look_on() -> None:
        while not over.wait(WATTS_S):
            with suppress(GpuError):  # a look that fails is left out
                seen.append(look())

    thread = threading.Thread(target=look_on, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
