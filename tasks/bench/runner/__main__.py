"""Runs one artifact where it lands: a JSON request on stdin, exactly one line of JSON on stdout, chatter on stderr.

Request, for every action: `action`, `runtime` (a module of this package), `model` (path), `options` (the runtime's),
and `inputs`, an `.npz` of model-ready arrays `[n, ...]` by input name. An integer input is quantized here: rounded and
clipped. Several inputs are matched by name; one alone may have any. With `code` (path) the runtime is that file.

`predict` adds `outputs` (path): an `.npz` of float32 (dequantized) arrays `[n, ...]` by output name. With `keep`, it
holds one array `kept`, of what `keep["function"]` of the module `reduction` (path) keeps of the output `keep["output"]`
and of `targets` (path: an `.npz` of arrays `[n, ...]`): see `keeping`. With `reference` (path of another artifact) the
function is given that one's output too, `keep["reference"]["output"]`, by options `keep["reference"]["options"]`.

`time` adds `scenario` (see `scenarios`; `generate` adds `new_tokens`, `speculate` also `prompts`, `ahead`, `turned`,
`draft` (path) and `draft_options`), `samples` (path: an `.npz` of uint64 arrays of nanoseconds, by phase),
`warmup_runs`, `warmup_s`, `min_runs`, `window_s`, `idle_s` and `energy` (sources of energy readings, see
`counters.find`). Each phase has a window of its own. Both bounds of the warm-up and of the window must be
reached; runs are counted in the phase's units. The clock covers the inference and reading every output back; the input
is in place before it starts, as in MLPerf Tiny. Around the window stands an idle one, if there is an energy counter to
read. `seconds` and `cpu_s` are the whole window's; `busy_s` and `busy_cpu_s` the clocked part's; `empty_ns` is what the
clock counts where nothing runs, in the median. Memory is read when the inputs are there and the runtime is imported,
and again after the first inference, before a second example is prepared.

`look` needs `action` and `runtime` alone, and gives no figures: the environment is in every response.

`bandwidth` tells how fast the memory here is read by the runtime's `threads`; it needs no model.

`write` tells, among the facts, the `new_tokens` likeliest tokens behind the one prompt in the inputs, outside of any
window; as `generate`, it is for runtimes whose `Model` has `decoding`.

`profile` tells what ran each operator, and for how long where the runtime can say so, outside of any window.

`count` adds `runs`: so many inferences after the first, each between two marks for an emulator that counts
instructions, and as many pairs of marks with nothing between them. A mark is a system call that every kernel refuses.

Response: `schema`, `status` ("ok", "unsupported": the runtime refuses the model, or "error"), `reason`, `environment`,
and the action's own figures. Energy counters are reported raw: start, end and where they wrap.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

CALLER = os.getppid()
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy's import: else it starts threads nothing here needs

import numpy as np  # noqa: E402

from . import SCHEMA, arrays, counters, keeping, machine, memory, pages  # noqa: E402
from .arrays import Example, Model, RefusedError  # noqa: E402
from .scenarios import SCENARIOS, Phase  # noqa: E402

RUNTIMES = ("litert", "language", "onnxruntime", "openvino", "pjrt", "pjrt_language", "tflm")
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
PLACINGS, PLACING_S = 20, 0.02
MARK, EMPTY, INFERENCE = 0x5EED, 0, 1  # a mark is getpriority(MARK, what stands between this pair)


def predict(request: dict[str, Any], runtime: Any) -> dict[str, Any]:
    """Run every example once and write the outputs, or what is kept of one of them."""
    columns = arrays.mapped(request["inputs"])
    model: Model = runtime.Model(request["model"], request["options"])
    columns = arrays.match(columns, list(model.inputs))
    parts = keeping.answered(model, columns, partial(first, model, runtime))
    said, written = kept(parts, request, runtime) if "keep" in request else whole(parts)
    with Path(request["outputs"]).open("wb") as file:
        np.savez(file, **written)
    return {**said, "facts": model.facts()}


def whole(parts: Iterator[keeping.Part]) -> tuple[dict[str, Any], arrays.Arrays]:
    """The names of all outputs, and what they are."""
    given = [outputs for _, outputs in parts]
    return {"outputs": list(given[0])}, {name: np.concatenate([each[name] for each in given]) for name in given[0]}


def kept(parts: Iterator[keeping.Part], request: dict[str, Any], runtime: Any) -> tuple[dict[str, Any], arrays.Arrays]:
    """What is told of the output that is judged, and what is kept of it."""
    output, name = request["keep"]["output"], request["keep"]["function"]
    function = getattr(sent("reduction", request["reduction"]), name) if name else None
    targets = arrays.mapped(request["targets"]) if "targets" in request else {}
    told, values = keeping.keep(parts, output, function, targets, reference(request, runtime))
    return {"kept": told}, {"kept": values}


def reference(request: dict[str, Any], runtime: Any) -> Callable[[slice], Any] | None:
    """What the reference answers to some of the examples, where there is one."""
    if "reference" not in request:
        return None
    told = request["keep"]["reference"]
    model: Model = runtime.Model(request["reference"], told["options"])
    columns = arrays.match(arrays.mapped(request["inputs"]), list(model.inputs))

    def answered(part: slice) -> Any:
        _, rows = keeping.ask(model, columns, part, partial(first, model, runtime))
        return keeping.judged(model.floats(rows), told["output"])

    return answered


def measure(request: dict[str, Any], runtime: Any) -> dict[str, Any]:
    """One window of each phase."""
    columns = arrays.load(request["inputs"])
    import_module(runtime.MODULE)
    before_kib = machine.memory_kib(reset=True)
    start = time.perf_counter_ns()
    model: Model = runtime.Model(request["model"], request["options"])
    columns = arrays.match(columns, list(model.inputs))
    (example,) = model.prepare({name: column[:1] for name, column in columns.items()})
    loaded = time.perf_counter_ns()
    model.put(example)
    first(model, runtime)
    ended = time.perf_counter_ns()
    peak_kib = machine.memory_kib()
    phases = SCENARIOS[request["scenario"]](model, model.prepare(columns), request)
    taken = {name: window(request, phase) for name, phase in phases.items()}
    columns = {name: np.frombuffer(samples, np.uint64) for name, (_, samples) in taken.items()}
    np.savez(request["samples"], allow_pickle=False, **columns)
    timing = {
        "load_ms": (loaded - start) / 1e6,
        "first_ms": (ended - loaded) / 1e6,
        "memory": {"before_kib": before_kib, "peak_kib": peak_kib},
        "phases": {name: figures for name, (figures, _) in taken.items()},
    }
    return {"timing": timing, "facts": model.facts()}


def window(request: dict[str, Any], phase: Phase) -> tuple[dict[str, Any], "array[int]"]:
    """Warm up, then run a phase for as long as is asked, between two idle times; the nanoseconds of each run."""
    counter = counters.find(request["energy"])
    idle = [counters.idle(counter, request["idle_s"])]
    update_s = counters.update_s(counter)
    repeat(phase, request["warmup_runs"], request["warmup_s"])
    before, begun = machine.state(), machine.used()
    readings = [counters.read(counter)]
    with counters.watts(counter) as watts:
        samples = repeat(phase, request["min_runs"], request["window_s"])
    ended = machine.used()
    readings.append(counters.read(counter))
    after = machine.state()
    idle.append(counters.idle(counter, request["idle_s"]))
    power_w = sum(watts) / len(watts) if watts else None
    cpu_s = ended["cpu_s"] - begun["cpu_s"]
    placing_cpu_s, empty_ns = empty(phase)
    figures = {
        "unit": phase.unit,
        "volume": phase.volume,
        "period": phase.period,
        "runs": len(samples),
        "seconds": (readings[1]["ns"] - readings[0]["ns"]) / 1e9,
        "busy_s": sum(samples) / 1e9,
        "cpu_s": cpu_s,
        "busy_cpu_s": max(0.0, cpu_s - len(samples) * placing_cpu_s),
        "empty_ns": empty_ns,
        "preempted": ended["preempted"] - begun["preempted"] if begun["preempted"] is not None else None,
        "state": [before, after],
        "energy": {**counter.about, "update_s": update_s, "power_w": power_w, "idle": idle, "window": readings},
    }
    return figures, samples


def profile(request: dict[str, Any], runtime: Any) -> dict[str, Any]:
    """What ran each operator, and for how long: at the cost of a slower model, so never in a window."""
    model, examples = load({**request, "options": {**request["options"], "profile": True}}, runtime)
    for example in examples:
        model.put(example)
        first(model, runtime)
    return {"operators": model.operators()}


def write(request: dict[str, Any], runtime: Any) -> dict[str, Any]:
    """What follows a prompt."""
    model, (prompt,) = load(request, runtime)
    model.decoding(prompt, request["new_tokens"])  # type: ignore[attr-defined]  # of a runtime that keeps a state
    return {"facts": model.facts()}


def look(_request: dict[str, Any], _runtime: Any) -> dict[str, Any]:
    """Nothing beside the environment."""
    return {}


def count(request: dict[str, Any], runtime: Any) -> dict[str, Any]:
    """Inferences between marks, which whoever emulates this processor counts by."""
    mark = ctypes.CDLL(None).getpriority
    model, examples = load(request, runtime)
    model.put(examples[0])
    first(model, runtime)
    gc.collect()
    gc.disable()
    for example in islice(cycle(examples), request["runs"]):
        model.put(example)
        mark(MARK, EMPTY)
        mark(MARK, EMPTY)
        mark(MARK, INFERENCE)
        model.invoke()
        mark(MARK, INFERENCE)
    gc.enable()
    return {"runs": request["runs"], "facts": model.facts()}


def bandwidth(request: dict[str, Any], _runtime: Any) -> dict[str, Any]:
    """What the memory gives."""
    return {"read_gb_s": memory.read_gb_s(request["options"]["threads"])}


ACTIONS = {
    "predict": predict,
    "time": measure,
    "write": write,
    "profile": profile,
    "count": count,
    "bandwidth": bandwidth,
    "look": look,
}


def load(request: dict[str, Any], runtime: Any) -> tuple[Model, list[Example]]:
    """The model, and its examples in its own types."""
    columns = arrays.load(request["inputs"])
    model: Model = runtime.Model(request["model"], request["options"])
    return model, model.prepare(arrays.match(columns, list(model.inputs)))


def first(model: Model, runtime: Any) -> None:
    """Infer for the first time."""
    try:
        model.invoke()
        model.read()  # where the runtime works in the background, it refuses only here
    except runtime.REFUSALS as error:
        raise RefusedError(arrays.one_line(error)) from None


def repeat(phase: Phase, runs: int, seconds: float, *, infer: bool = True) -> "array[int]":
    """Run a phase back to back for at least so many units and seconds, in whole rounds; the nanoseconds of each run.

    Without `infer` all goes round as ever, but the model is not run.
    """
    driven = phase.driven
    invoke, read, put = (driven.invoke, driven.read, driven.put) if infer else (nothing, nothing, driven.put)
    clock, samples = time.perf_counter_ns, array("Q")
    fewest = -(-runs // phase.volume)
    gc.collect()
    gc.disable()
    end = clock() + int(seconds * 1e9)
    for example in cycle(phase.examples):
        put(example)
        start = clock()
        invoke()
        read()
        stop = clock()
        samples.append(stop - start)
        if stop >= end and len(samples) >= fewest and not len(samples) % phase.period:
            break
    gc.enable()
    return samples


def nothing() -> None:
    """Do nothing, as fast as a call can."""


def empty(phase: Phase) -> tuple[float, float]:
    """What a turn takes beside its inference, by turns without one.

    Reading the CPU time in every turn would be a system call beside each inference.

    Returns:
        CPU seconds outside the clock: the input's placing and the loop; and the nanoseconds that the clock counts.
    """
    start = time.process_time()
    turns = repeat(phase, PLACINGS, PLACING_S, infer=False)
    return (time.process_time() - start) / len(turns), float(median(turns))


def import_runtime(request: dict[str, Any]) -> Any:
    """The module of a runtime: one of this package, or the one that was sent."""
    name = request["runtime"]
    if "code" in request:
        return sent(name, request["code"])
    if name not in RUNTIMES:
        raise ValueError(f"runtime: received {name!r}; allowed: {', '.join(RUNTIMES)}")
    return import_module(f".{name}", __package__)


def sent(name: str, path: str) -> Any:
    """A file as a module of this package, which it may import from."""
    spec = spec_from_file_location(f"{__package__}.{name}", Path(path).absolute())
    assert spec, path
    assert spec.loader, path
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The response to one request."""
    environment: dict[str, Any] = {}
    try:
        runtime = import_runtime(request)
        environment = machine.environment(runtime.PACKAGE)
        figures = ACTIONS[request["action"]](request, runtime)
        environment |= figures.get("facts", {}).pop("environment", {})
    except RefusedError as error:
        return {"status": "unsupported", "reason": str(error), "environment": environment}
    except Exception as error:  # the boundary: whatever it was, the caller gets its one line
        reason = f"{type(error).__name__}: {arrays.one_line(error)}"
        return {"status": "error", "reason": reason, "environment": environment}
    return {"status": "ok", "reason": None, "environment": environment, **figures}


def main() -> None:
    """Serve the request on stdin."""
    if sys.platform == "linux":  # a caller that was killed must leave nobody behind who disturbs the next measurement
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != CALLER:
            raise SystemExit("the caller has ended")
    content = sys.stdin.buffer.read()
    request = json.loads(content)
    if pages.worth(request.get("options", {})):
        pages.start_again(content)
    stdout = os.dup(1)
    os.dup2(2, 1)  # the runtime prints to stdout from C++
    response = {"schema": SCHEMA, **answer(request)}
    with os.fdopen(stdout, "w", encoding="utf-8") as file:
        file.write(json.dumps(response, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
