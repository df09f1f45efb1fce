"""Makes sure that a bundle does on this device what it did where it was made: in a process of its own, which may crash.

It answers the bundle's own examples as `classify.py --check` does. Then, where the bundle's figures were measured, it
times them as those were timed: what an inference takes, and the energy that the whole loop takes by a counter of the
same kind. The least of several medians is compared, for a device at work may be disturbed, and is never faster than it
is. The last line that it prints is JSON: see `proof`.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import cycle
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

WARM_S, WINDOW_S, WINDOWS = 0.1, 0.1, 6
LATENCY, ENERGY = "latency_ms", "energy_mj_with_input"  # figures of the bundle's manifest
UNITS = {LATENCY: "ms", ENERGY: "mJ"}
COUNTERS = {"counter_rapl": ("powercap", "/sys/class/powercap"), "rail_hwmon": ("hwmon", "/sys/class/hwmon")}
CODE = "classify.py"


def proof(folder: Path, tolerance: float, seconds: float) -> dict[str, Any]:
    """What was found of a bundle whose files were checked.

    Args:
        folder: the bundle.
        tolerance: how many times the figures of the record may be reached; the answers have a bound of their own.
        seconds: of a window; 0: nothing is timed.

    Returns:
        `why` (null where all is well), and what was found: `examples` (how many), `off`, `allowed`, and by the key of a
        figure `found` and `record`, where both are known.
    """
    classify = _module(folder / CODE)
    answered = classify.check()
    result = {name: answered[name] for name in ("examples", "off", "allowed")} | {
        "why": None,
        "found": {},
        "record": {},
    }
    if not answered["agree"]:
        off = "no numbers" if answered["off"] is None else f"{answered['off']:.3g} off"
        why = f"its examples come out otherwise here: {off}, where {answered['allowed']:.3g} is allowed"
        return result | {"why": why}
    manifest = json.loads((folder / classify.MANIFEST).read_text(encoding="utf-8"))
    record = _record(manifest)
    if not record or not seconds:
        return result
    found = _figures(classify, folder, manifest, seconds)
    result |= {"found": found, "record": {key: record[key] for key in found if key in record}}
    for key, value in result["record"].items():
        if found[key] > tolerance * value:
            unit = UNITS[key]
            times = f"{found[key] / value:.2f} times the record's {value:.3g}; {tolerance:g} times are allowed"
            return result | {"why": f"{key.split('_')[0]} is {found[key]:.3g} {unit} here, {times}"}
    return result


def _record(manifest: dict[str, Any]) -> dict[str, float]:
    """What was measured of the program: an estimate is no promise. The upper end, where there is one."""
    figures = manifest.get("figures") or {}
    known = {LATENCY: ("measured",), ENERGY: tuple(COUNTERS)}
    sources = {key: figures[key]["source"] for key in known if key in figures}
    return {
        key: max(figures[key]["value"], figures[key]["high"] or 0)
        for key, source in sources.items()
        if source in known[key]
    }


def _figures(classify: Any, folder: Path, manifest: dict[str, Any], seconds: float) -> dict[str, float]:
    """Milliseconds of an inference, and its millijoules where the counter of the record is here, too."""
    program = manifest["program"]
    _, examples = classify.ready(str(folder / manifest["examples"]["file"]))
    runtime, arrays = (import_module(f"{classify.PACKAGE}.runner.{name}") for name in (program["module"], "arrays"))
    model = runtime.Model(str(folder / program["serves"]), program["options"])
    ready = model.prepare(arrays.match(examples, list(model.inputs)))
    counters, counter = _counter(manifest)
    _window(model, ready, min(seconds, WARM_S))
    before = counters.read(counter)
    windows = [_window(model, ready, seconds) for _ in range(WINDOWS)]
    after = counters.read(counter)
    found = {LATENCY: min(median(window) for window in windows) / 1e6}
    used = [end - start for start, end in zip(before["uj"], after["uj"], strict=True)]
    if used and min(used) > 0:  # a counter that stands still, or has begun anew, tells nothing
        found[ENERGY] = sum(used) / 1e3 / sum(map(len, windows))
    return found


def _counter(manifest: dict[str, Any]) -> tuple[Any, Any]:
    """The module of counters that was sent, and of them the one that the record's energy is by."""
    counters = import_module(f"{__name__.partition('.')[0]}.runner.counters")
    source = ((manifest["figures"] or {}).get(ENERGY) or {}).get("source")
    return counters, counters.find(dict([COUNTERS[source]]) if source in COUNTERS else {})


def _window(model: Any, ready: list[Any], seconds: float) -> list[int]:
    """The nanoseconds of each inference: inputs are in place before the clock, and outputs are read within it."""
    clock, samples = time.perf_counter_ns, []
    end = clock() + int(seconds * 1e9)
    for example in cycle(ready):
        model.put(example)
        start = clock()
        model.invoke()
        model.read()
        stop = clock()
        samples.append(stop - start)
        if stop >= end:
            break
    return samples


def _module(path: Path) -> ModuleType:
    """A file as a module."""
    spec = spec_from_file_location("classify", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: no module")
    module = sys.modules["classify"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(words: Sequence[str]) -> int:
    """Print what was found; whatever goes wrong is a reason, too."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.dont_write_bytecode = True
    folder, tolerance, seconds = words
    try:
        found = proof(Path(folder).resolve(), float(tolerance), float(seconds))
    except Exception as error:  # whatever a runtime, a parser or a damaged file makes it
        found = {"why": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    sys.stdout.write(f"\n{json.dumps(found)}\n")
    return 0
