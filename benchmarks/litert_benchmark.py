"""Tercet's host-cpu latency beside LiteRT's own tool, `litert-benchmark`: the same file, one thread, the same minutes.

Both sides take turns, A B A B, each turn in a fresh process that warms up and then runs the file back to back:

- Tercet: a window of the stage `benchmark` (1 s, after 0.5 s of warm-up), by LiteRT's Interpreter, on 32 inputs in
  turn. A sample is the inference and the copy of every output into a numpy array. The copy of the input is not in it.
- litert-benchmark: as many runs as Tercet's window had, and half as many to warm up, by LiteRT's CompiledModel, on one
  random input, written once. A sample is `run_by_name`: a look-up of the buffers by name and the inference. Neither
  copy is in it: the output stays in its buffer.

What each side's call takes beside the inference is seen on tests/golden/two.tflite, which computes next to nothing. A
file whose figure is not five times the tool's there says more of the calls than of the model, and gets no verdict.

The tool rounds what it reports to 0.01 ms, a quarter of some models here, so its `main` is started with a `round` that
leaves the figures as they are; nothing else of it is touched.

    python benchmarks/litert_benchmark.py [FILE.tflite ...] [--turns 7] [--record FILE]

Without files: tests/golden and out/artifacts of the working directory. Needs a quiet machine and half a minute a file.
Goal: the median of Tercet's medians is within 5 % of the median of the tool's, less what the calls take on either
side. The lowest samples are beside them: a machine that is not quiet disturbs those least. Seen: README.md.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from machine import ROOT, record

from tasks.bench import stats, timed
from tasks.bench.transport import Local
from tasks.errors import DeviceError

EMPTY = ROOT / "tests" / "golden" / "two.tflite"  # a product and a difference of three numbers
CALLS = 5  # times the tool's figure of that file: from there on a model's figure is the model's
EXAMPLES = 32
THREADS = 1
GOAL = 0.05
LIMIT_S = 300
TOOL = "from ai_edge_litert.tools import benchmark_litert_model as tool; tool.round = lambda x, _: x; tool.main()"


def inputs(model: Path, folder: Path) -> Path:
    """Random examples for the file, as an `.npz`: floats from -1 to 1, and ones where it takes whole numbers."""
    from ai_edge_litert.interpreter import Interpreter

    rng, arrays = np.random.default_rng(0), {}
    for detail in Interpreter(str(model)).get_input_details():
        shape = (EXAMPLES, *detail["shape"][1:])
        real = detail["quantization"][0] > 0 or np.issubdtype(detail["dtype"], np.floating)
        arrays[detail["name"]] = rng.uniform(-1, 1, shape).astype(np.float32) if real else np.ones(shape, np.int64)
    path = folder / "inputs.npz"
    np.savez(path, allow_pickle=False, **arrays)
    return path


def tercet(model: Path, examples: Path, folder: Path) -> dict[str, float]:
    """One window of the runner."""
    plan = {**asdict(timed.PLANS["full"]), "window_s": 1.0}
    options = {"kernels": "default", "threads": THREADS}
    ask = {"action": "time", "runtime": "litert", "options": options, "energy": {"powercap": "/none"}, **plan}
    samples = folder / "samples.npz"
    ask["scenario"] = "single"
    answer = Local().run(ask, {"model": model, "inputs": examples}, {"samples": samples}, timeout_s=LIMIT_S)
    if answer.status != "ok":
        raise DeviceError(f"the runner: {answer.reason}")
    with np.load(samples, allow_pickle=False) as arrays:
        (taken,) = arrays.values()
    return {"runs": len(taken), "ms_p50": stats.ms(taken, 50), "ms_min": stats.ms(taken, 0)}


def tool(model: Path, runs: int, folder: Path) -> dict[str, float]:
    """One run of litert-benchmark."""
    result = folder / "result.json"
    options = {"model": model, "num_runs": runs, "warmup_runs": max(10, runs // 2), "num_threads": THREADS}
    words = [f"--{name}={value}" for name, value in {**options, "result_json": result}.items()]
    done = subprocess.run(
        [sys.executable, "-c", TOOL, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "Error: " in line] or ["it said nothing"]
        raise DeviceError(f"litert-benchmark ended with code {done.returncode}: {said[-1]}")
    latency = json.loads(result.read_text(encoding="utf-8"))["latency"]
    return {"runs": latency["num_runs"], "ms_p50": latency["median_ms"], "ms_min": latency["min_ms"]}


def compare(model: Path, turns: int) -> dict[str, Any]:
    """Every turn of one file, the median of each side, and Tercet's over the tool's."""
    with TemporaryDirectory(prefix="tercet-litert-benchmark-") as name:
        folder = Path(name)
        examples = inputs(model, folder)
        mine, theirs = [], []
        for _ in range(turns):
            mine.append(tercet(model, examples, folder))
            theirs.append(tool(model, int(mine[-1]["runs"]), folder))
    found: dict[str, Any] = {"tercet": mine, "litert-benchmark": theirs}
    for key in ("ms_p50", "ms_min"):
        pair = [median(turn[key] for turn in side) for side in (mine, theirs)]
        found[key] = dict(zip(("tercet", "litert-benchmark", "ratio"), (*pair, pair[0] / pair[1]), strict=True))
    return found


def judge(found: dict[str, Any], empty: dict[str, Any]) -> str:
    """What the figures of one file say beside those of the calls alone; adds the ratio less the calls to them."""
    for key in ("ms_p50", "ms_min"):
        mine, theirs = (found[key][side] - empty[key][side] for side in ("tercet", "litert-benchmark"))
        found[key]["ratio_less_calls"] = mine / theirs if theirs else None
    p50, lowest = found["ms_p50"], found["ms_min"]
    said = f"Tercet {p50['tercet'] * 1e3:.2f} µs, litert-benchmark {p50['litert-benchmark'] * 1e3:.2f} µs: "
    if p50["litert-benchmark"] < CALLS * empty["ms_p50"]["litert-benchmark"]:
        return f"{said}{p50['ratio']:.3f}, mostly calls"
    ratios = (p50["ratio"], p50["ratio_less_calls"], lowest["ratio"], lowest["ratio_less_calls"])
    verdicts = [f"{ratio:.3f} {'within' if abs(ratio - 1) <= GOAL else 'beyond'} {GOAL:.0%}" for ratio in ratios]
    return (
        f"{said}{verdicts[0]}, {verdicts[1]} less the calls; lowest samples {verdicts[2]}, {verdicts[3]} less the calls"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Tercet's latency beside litert-benchmark's.")
    parser.add_argument("files", type=Path, nargs="*", help="models; default: tests/golden and out/artifacts")
    parser.add_argument("--turns", type=int, default=7, help="of each side")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    usual = [path for folder in ("tests/golden", "out/artifacts") for path in sorted(Path(folder).rglob("*.tflite"))]
    empty = compare(EMPTY, options.turns)
    print(f"the calls alone: {judge(empty, empty)}", flush=True)
    found: dict[str, Any] = {}
    for file in options.files or usual:
        try:
            figures = compare(file, options.turns)
        except (DeviceError, ValueError, RuntimeError) as error:  # one side refuses it
            print(f"{file}: not compared: {error}", flush=True)
            continue
        print(f"{file}: {judge(figures, empty)}", flush=True)
        found["/".join(file.parts[-2:])] = figures
    record(options.record, threads=THREADS, goal=GOAL, turns=options.turns, calls=empty, files=found)


if __name__ == "__main__":
    main()
