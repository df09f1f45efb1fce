"""Runs one artifact where it lands: a JSON request on stdin, exactly one line of JSON on stdout, chatter on stderr.

This file is shipped to devices alone. It needs Python 3.11, numpy and `ai_edge_litert`, and imports nothing else.

Request, for every action: `action`, `model` (path), `kernels` ("default" or "reference"), `threads`, and `inputs`, an
`.npz` of model-ready arrays `[n, ...]` by input name. An integer input is quantized here: rounded and clipped. Names
are the signature's where the model has exactly one, else the tensors'; where they do not match, the order counts.

`predict` adds `outputs` (path): an `.npz` of float32 (dequantized) arrays `[n, ...]` by output name.

`time` adds `samples` (path: a uint64 array of nanoseconds), `warmup_runs`, `warmup_s`, `min_runs`, `window_s`,
`idle_s` and `powercap` (the root of Linux' energy counters). Both bounds of the warm-up and of the window must be
reached. The clock covers the inference and reading every output back; the input is in place before it starts, as in
MLPerf Tiny. Around the window stands an idle one, if there is an energy counter to read.

Response: `schema`, `status` ("ok", "unsupported": the runtime refuses the model, or "error"), `reason`, `environment`,
and the action's own figures. Energy counters are reported raw: start, end and where they wrap.
"""

import ctypes
import gc
import json
import os
import platform
import signal
import sys
import time
from array import array
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before the import of numpy, which takes its time
    CALLER = os.getppid()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else it starts threads that nothing here needs

import numpy as np

SCHEMA = 1
POWERCAP = "/sys/class/powercap"
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
POLL_S = 0.1  # how long the counter's update period is looked for
FEATURES = (  # what the kernels of the runtime choose by
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2", "neon"),
)
Arrays = dict[str, Any]  # of numpy arrays


class RefusedError(Exception):
    """The runtime cannot run this model."""


class Model:
    """An artifact in the runtime.

    Raises:
        RefusedError: the runtime cannot load it or cannot give it memory.
    """

    def __init__(self, path: str, kernels: str, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        Path(path).open("rb").close()  # a missing file is no verdict of the runtime
        resolver = {"default": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}[kernels]
        try:
            self.interpreter = Interpreter(path, num_threads=threads, experimental_op_resolver_type=resolver)
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise RefusedError(one_line(error)) from None
        self.inputs, self.outputs = self._named("input"), self._named("output")

    def _named(self, side: str) -> dict[str, Any]:
        signatures = self.interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = self.interpreter.get_signature_runner(next(iter(signatures)))
            named: dict[str, Any] = getattr(runner, f"get_{side}_details")()
            if named:
                return named
        return {detail["name"]: detail for detail in getattr(self.interpreter, f"get_{side}_details")()}

    def match(self, arrays: Arrays) -> list[tuple[Any, Any]]:
        """Pairs of a model input and the array `[n, ...]` for it, of the shape that the model takes."""
        if len(arrays) != len(self.inputs) or len({len(a) for a in arrays.values()}) != 1:
            shapes = {name: a.shape for name, a in arrays.items()}
            raise ValueError(f"inputs: the model takes {list(self.inputs)}, of one length; received {shapes}")
        by_name = arrays.keys() == self.inputs.keys()
        columns = [arrays[name] for name in self.inputs] if by_name else list(arrays.values())
        pairs = list(zip(self.inputs.values(), columns, strict=True))
        wrong = [(d, a) for d, a in pairs if tuple(d["shape"]) != (1, *a.shape[1:])]
        for detail, column in wrong:
            self.interpreter.resize_tensor_input(detail["index"], (1, *column.shape[1:]), strict=True)
        if wrong:
            self.interpreter.allocate_tensors()
        return pairs

    def put(self, ready: list[tuple[int, Any]]) -> None:
        """Put one example in place."""
        for index, value in ready:
            self.interpreter.set_tensor(index, value)

    def first(self, ready: list[tuple[int, Any]]) -> None:
        """Run once; some refusals come only now."""
        self.put(ready)
        try:
            self.interpreter.invoke()
        except RuntimeError as error:
            raise RefusedError(one_line(error)) from None


def quantize(values: Any, detail: Any) -> Any:
    """Array in the model input's own type; floats for an integer input are scaled, rounded and clipped."""
    scale, zero_point = detail["quantization"]
    if scale and np.issubdtype(detail["dtype"], np.integer) and np.issubdtype(values.dtype, np.floating):
        limits = np.iinfo(detail["dtype"])
        values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return values.astype(detail["dtype"])


def dequantize(values: Any, detail: Any) -> Any:
    """Array of a model output as float32."""
    scale, zero_point = detail["quantization"]
    values = values.astype(np.float32)
    return (values - np.float32(zero_point)) * np.float32(scale) if scale else values


def example(pairs: list[tuple[Any, Any]], i: int) -> list[tuple[int, Any]]:
    """The i-th example, batch of one, as tensor indices and arrays in the model's types."""
    return [(detail["index"], quantize(column[i : i + 1], detail)) for detail, column in pairs]


def load_arrays(path: str) -> Arrays:
    """Read an `.npz`; nothing in it is executed."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def predict(request: dict[str, Any]) -> dict[str, Any]:
    """Run every example once and write the outputs."""
    model = Model(request["model"], request["kernels"], request["threads"])
    pairs = model.match(load_arrays(request["inputs"]))
    n = len(pairs[0][1])
    rows: dict[str, list[Any]] = {name: [] for name in model.outputs}
    for i in range(n):
        (model.first if i == 0 else model.put)(example(pairs, i))
        if i:
            model.interpreter.invoke()
        for name, detail in model.outputs.items():
            rows[name].append(model.interpreter.get_tensor(detail["index"]))
    columns = {name: dequantize(np.concatenate(rows[name]), model.outputs[name]) for name in rows}
    with Path(request["outputs"]).open("wb") as file:
        np.savez(file, **columns)
    return {"n": n, "outputs": list(columns)}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """One window of timed inferences."""
    arrays = load_arrays(request["inputs"])
    before_kib = memory_kib(reset=True)
    start = time.perf_counter_ns()
    model = Model(request["model"], request["kernels"], request["threads"])
    pairs = model.match(arrays)
    loaded = time.perf_counter_ns()
    model.first(example(pairs, 0))
    first = time.perf_counter_ns()
    peak_kib = memory_kib()
    examples = [example(pairs, i) for i in range(len(pairs[0][1]))]
    counter = Counter(request["powercap"])
    idle = [counter.idle(request["idle_s"])]
    update_s = counter.update_s()
    repeat(model, examples, request["warmup_runs"], request["warmup_s"])
    window, cpu_start = [counter.read()], time.process_time_ns()
    samples = repeat(model, examples, request["min_runs"], request["window_s"])
    cpu_end = time.process_time_ns()
    window.append(counter.read())
    idle.append(counter.idle(request["idle_s"]))
    np.save(request["samples"], np.frombuffer(samples, np.uint64))
    return {
        "runs": len(samples),
        "seconds": (window[1]["ns"] - window[0]["ns"]) / 1e9,
        "cpu_s": (cpu_end - cpu_start) / 1e9,
        "load_ms": (loaded - start) / 1e6,
        "first_ms": (first - loaded) / 1e6,
        "memory": {"before_kib": before_kib, "peak_kib": peak_kib},
        "powercap": {**counter.about, "update_s": update_s, "idle": idle, "window": window},
    }


def repeat(model: Model, examples: list[list[tuple[int, Any]]], runs: int, seconds: float) -> "array[int]":
    """Infer back to back for at least so many runs and seconds; the nanoseconds of each."""
    invoke, read, put = model.interpreter.invoke, model.interpreter.get_tensor, model.put
    outputs = [detail["index"] for detail in model.outputs.values()]
    clock, samples = time.perf_counter_ns, array("Q")
    gc.collect()
    gc.disable()
    end = clock() + int(seconds * 1e9)
    for ready in cycle(examples):
        put(ready)
        start = clock()
        invoke()
        for index in outputs:
            read(index)
        stop = clock()
        samples.append(stop - start)
        if stop >= end and len(samples) >= runs:
            break
    gc.enable()
    return samples


class Counter:
    """Linux' powercap (RAPL) energy counters: every processor package, and its memory where that has its own.

    The zone of the whole platform (psys) is left out: packages are in it. `about` says which zones are read and at
    what microjoules they wrap, or why there is none: an unreadable counter is not a counter that reads 0.
    """

    def __init__(self, root: str) -> None:
        self.about: dict[str, Any] = {"zones": [], "reason": None}
        self.files: list[Path] = []
        packages = [z for z in sorted(Path(root).glob("intel-rapl:*")) if text(z / "name").startswith("package")]
        memory = [z for p in packages for z in sorted(p.glob(f"{p.name}:*")) if text(z / "name") == "dram"]
        try:
            for zone in dict.fromkeys(packages + memory):
                int((zone / "energy_uj").read_text())
                range_uj = int((zone / "max_energy_range_uj").read_text())
                self.about["zones"].append({"zone": zone.name, "name": text(zone / "name"), "range_uj": range_uj})
                self.files.append(zone / "energy_uj")
            if not self.files:
                self.about["reason"] = f"no RAPL package under {root}"
        except (OSError, ValueError) as error:
            self.files = []
            self.about = {"zones": [], "reason": f"RAPL cannot be read: {one_line(error)}"}

    def read(self) -> dict[str, Any]:
        """Every zone's microjoules, and when (nanoseconds)."""
        return {"uj": [int(file.read_text()) for file in self.files], "ns": time.perf_counter_ns()}

    def idle(self, seconds: float) -> list[dict[str, Any]] | None:
        """Two readings with nothing done between them."""
        if not self.files:
            return None
        start = self.read()
        time.sleep(seconds)
        return [start, self.read()]

    def update_s(self) -> float | None:
        """Seconds between two changes of the first counter; null where it did not change twice."""
        if not self.files:
            return None
        changes: list[float] = []
        end, last = time.perf_counter() + POLL_S, self.files[0].read_text()
        while (now := time.perf_counter()) < end:
            if (value := self.files[0].read_text()) != last:
                last = value
                changes.append(now)
            time.sleep(0.0001)
        return (changes[-1] - changes[0]) / (len(changes) - 1) if len(changes) > 1 else None


def memory_kib(*, reset: bool = False) -> int | None:
    """The most memory that was resident in this process, since its start or since the last reset; null off Linux."""
    if reset:
        with suppress(OSError):  # the level before is then the peak so far, so the model's growth reads too low
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    lines = [line for line in text("/proc/self/status").splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) if lines else None


def environment() -> dict[str, Any]:
    """What a figure hangs from; null where this machine does not say."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else (None,)
    temperatures = [text(zone / "temp") for zone in Path("/sys/class/thermal").glob("thermal_zone*")]
    return {
        **processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "runtime": runtime(),
        "governor": text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "load1": load[0],
        "temperature_c": max((int(t) / 1000 for t in temperatures if t.lstrip("-").isdigit()), default=None),
        "cpus_allowed": cpus_allowed(),
        "cpu_limit": cpu_limit(),
        "container": container(),
    }


def runtime() -> str | None:
    """Name and version of the runtime; null where it is not installed."""
    with suppress(PackageNotFoundError):
        return f"ai-edge-litert {version('ai-edge-litert')}"
    return None


def processor() -> dict[str, Any]:
    """The machine, its processor's name, those of its features that kernels are chosen by, and the number of CPUs."""
    lines = (line.partition(":") for line in text("/proc/cpuinfo").splitlines())
    fields = {key.strip().lower(): value.strip() for key, _, value in lines}
    part = " ".join(fields[key] for key in ("cpu implementer", "cpu part") if key in fields)  # Arm has no name here
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    return {
        "machine": platform.machine(),
        "cpu": fields.get("model name") or part or platform.processor() or None,
        "features": [feature for feature in FEATURES if feature in flags],
        "cpus": os.cpu_count(),
    }


def cpus_allowed() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_limit() -> float | None:
    """CPUs that the control group grants (v2, then v1); null for no limit."""
    quota, _, period = text("/sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota, period = (text(f"/sys/fs/cgroup/cpu/cpu.cfs_{field}_us") for field in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def container() -> str | None:
    """What seems to contain this process; null where nothing shows."""
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
    found = [name for mark, name in marks.items() if Path(mark).exists()]
    return found[0] if found else "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else None


def text(path: str | Path) -> str:
    """The text of a small system file; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def one_line(error: Exception) -> str:
    """An exception as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The response to one request."""
    actions = {"predict": predict, "time": measure}
    try:
        return {"status": "ok", "reason": None, "environment": environment(), **actions[request["action"]](request)}
    except RefusedError as error:
        return {"status": "unsupported", "reason": str(error), "environment": environment()}
    except Exception as error:  # the boundary: whatever it was, the caller gets its one line
        return {"status": "error", "reason": f"{type(error).__name__}: {one_line(error)}", "environment": environment()}


def main() -> None:
    """Serve the request on stdin."""
    if sys.platform == "linux":  # a caller that was killed must leave nobody behind who disturbs the next measurement
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != CALLER:
            raise SystemExit("the caller has ended")
    stdout = os.dup(1)
    os.dup2(2, 1)  # the runtime prints to stdout from C++
    response = {"schema": SCHEMA, **answer(json.load(sys.stdin))}
    with os.fdopen(stdout, "w", encoding="utf-8") as file:
        file.write(json.dumps(response, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
