"""Does `tercet gate` find what it promises, and leave alone what did not change? On real files, trial by trial.

`make` builds a convolutional network for 28×28 images that takes about 0.3 ms in LiteRT, and the same one with a branch
beside it whose answer counts for nothing and which takes about a twentieth as long. `truth` measures how long, in so
many turns that the interval is narrow. `trials` are what the gate does for a variant on a device, its own code and no
other: by turns one trial of the network against itself in another file, one of the padded against the plain one,
each at most 180 s long, until the time is up; it goes on where it was. `record` puts all together, with the seeded
trials of quality and size, which take no device.

    python benchmarks/gate.py make --work FOLDER
    python benchmarks/gate.py truth --work FOLDER --seconds 300
    python benchmarks/gate.py trials --work FOLDER --seconds 540
    python benchmarks/gate.py record --work FOLDER --record benchmarks/records/gate.json

Goal: of 100 trials each at least 95 find the loss, and at most one raises an alarm where nothing changed.
"""

import argparse
import json
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tasks.bench import devices, locks, timed
from tasks.bench.request import Artifact, Request
from tasks.files import sha256
from tasks.gate import quality
from tasks.gate.decide import exact, grown, judge
from tasks.gate.turns import logarithms, measured
from tasks.params import Gate, Protocol
from tasks.quality.score import grade, keep
from tasks.quantize.litert import inspect
from tasks.records import Runnable, Score

LIMITS = Gate().max_growth.limits
SECONDS = Gate().seconds
DEVICE = "host-cpu"
PADDED = 8  # filters of the branch: chosen by `truth`
TRIALS = 100
DROP = Gate().max_quality_drop or 0.0
RIGHT = 0.95  # of the examples, before
OUTCOMES = ("passed", "breach", "undecided")
PAIRS = {"unchanged": ("twin", "plain"), "slower": ("padded", "plain")}


def network(filters: int) -> Any:
    """The network; with so many filters of a branch beside it that is multiplied by 0."""
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    image = x = keras.Input((28, 28, 1), name="image")
    for width in (32, 64):
        x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(width, 3, activation="relu")(x))
    x = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(x))
    x = keras.layers.Dense(10)(x)
    if filters:
        beside = keras.layers.Conv2D(filters, 3, strides=(1, 2), activation="relu")(image)
        beside = keras.layers.GlobalAveragePooling2D()(beside)
        x = keras.layers.Add()([x, keras.layers.Dense(10, kernel_initializer="zeros")(beside)])
    return keras.Model(image, x)


def make(work: Path, filters: int) -> None:
    """Write the files; the twin has the same operators and weights of other names."""
    import tensorflow as tf

    work.mkdir(parents=True, exist_ok=True)
    for name, count in (("plain", 0), ("padded", filters)):
        (work / f"{name}.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(network(count)).convert())
    (work / "twin.tflite").write_bytes((work / "plain.tflite").read_bytes() + bytes(4096))
    np.savez(work / "inputs.npz", image=np.random.default_rng(0).random((32, 28, 28, 1), np.float32))


def artifact(work: Path, name: str) -> Artifact:
    path = work / f"{name}.tflite"
    graph = inspect(path.read_bytes())
    card = Runnable(variant=name, scheme="float32", sha256=sha256(path), inputs=graph.inputs, outputs=graph.outputs)
    return Artifact(card, path)


def request(work: Path, now: str, before: str, windows: int | None = None) -> Request:
    sides = artifact(work, now), artifact(work, before)
    return Request(*sides, devices.load(DEVICE), Protocol(mode="quick", windows=windows), work / "inputs.npz")


def truth(work: Path, seconds: float) -> None:
    """How much longer the padded network takes, by as many turns as there is time for; adds to what is known."""
    path = work / "truth.json"
    known: dict[str, list[float]] = json.loads(path.read_text()) if path.exists() else {kind: [] for kind in PAIRS}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for kind, names in PAIRS.items():
            asked = request(work, *names, windows=4)
            opened = timed.opened(asked.device)
            assert opened
            with locks.hold("local", exclusive=True), opened as setup:
                shots = timed.shoot(asked, setup)
            known[kind] += logarithms(shots, asked.variant, ["latency_ms"], setup).get("latency_ms", [])
        path.write_text(json.dumps(known))
        print({kind: (len(logs), grown(logs)) for kind, logs in known.items()}, flush=True)


def trial(work: Path, kind: str) -> dict[str, Any]:
    """One of them, as the gate makes it."""
    asked, load, began = request(work, *PAIRS[kind]), os.getloadavg()[0], time.monotonic()
    opened = timed.opened(asked.device)
    assert opened
    with locks.hold("local", exclusive=True), opened as setup:
        found = measured(asked, setup, {"latency_ms": LIMITS["latency_ms"]}, SECONDS)
    change, turns = found.get("latency_ms", (None, 0))
    known = {"kind": kind, "turns": turns, "seconds": time.monotonic() - began, "load": load}
    if change is None:
        return known | {"outcome": "undecided"}
    outcome = judge(change, LIMITS["latency_ms"])
    return known | {"outcome": outcome, "value": change.value, "low": change.low, "high": change.high}


def trials(work: Path, seconds: float) -> None:
    """One of each by turns, as long as there is time for a whole one."""
    end, path = time.monotonic() + seconds, work / "trials.jsonl"
    done = path.read_text().count("\n") if path.exists() else 0
    while done < TRIALS * len(PAIRS) and time.monotonic() + SECONDS < end:
        found = trial(work, list(PAIRS)[done % len(PAIRS)])
        with path.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
        done += 1


def seeded_quality(loss: float, both: float, seed: int) -> str:
    """What is told where a share of 10,000 examples was lost in the mean, and `both` lost and won besides."""
    rng = np.random.default_rng(seed)
    labels, was = rng.integers(0, 10, 10_000), rng.random(10_000) < RIGHT
    chance = rng.random(len(labels))
    now = (was & (chance >= (loss + both) / RIGHT)) | (~was & (chance < both / (1 - RIGHT)))
    change = quality.drop(scored(now, labels), scored(was, labels), labels)
    assert change
    return judge(change, DROP)


def scored(right: Any, labels: Any) -> Score:
    answers = np.eye(10, dtype=np.float32)[np.where(right, labels, (labels + 1) % 10)]
    return grade(keep(answers, {}, "accuracy"), labels, "default", "test", "accuracy")


def seeded_size(work: Path, growth: float, seed: int) -> str:
    """What is told of a file that is so much larger; the bytes behind it are of chance."""
    sizes = [len((work / "plain.tflite").read_bytes())]
    sizes.append(sizes[0] + len(np.random.default_rng(seed).bytes(math.ceil(growth * sizes[0]))))
    return judge(exact(sizes[1], sizes[0]), LIMITS["bytes"])


def summary(work: Path) -> dict[str, Any]:
    """All that there is, by what was seeded."""
    lines = [json.loads(line) for line in (work / "trials.jsonl").read_text().splitlines()]
    latency = {}
    for kind in PAIRS:
        own = [line for line in lines if line["kind"] == kind]
        latency[kind] = {
            "trials": len(own),
            **{outcome: sum(line["outcome"] == outcome for line in own) for outcome in OUTCOMES},
            **{f"{key}_median": float(np.median([line[key] for line in own])) for key in ("seconds", "turns", "load")},
            "seconds_most": max(line["seconds"] for line in own),
        }
    truths = {kind: grown(logs) for kind, logs in json.loads((work / "truth.json").read_text()).items()}
    both = {share: {loss: Counter(seeded_quality(loss, share, i) for i in range(TRIALS)) for loss in (DROP, 0.0)}
            for share in (0.0, 0.002, 0.005)}  # fmt: skip
    sizes = {growth: Counter(seeded_size(work, growth, i) for i in range(TRIALS)) for growth in (0.1, 0.0)}
    return {
        "limits": LIMITS | {"quality": DROP},
        "true_growth": {kind: vars(found) for kind, found in truths.items() if found},
        "latency": latency,
        "quality_by_share_won_and_lost_besides": both,
        "size": sizes,
        "trials": lines,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Seeded trials of the gate.")
    parser.add_argument("what", choices=["make", "truth", "trials", "record"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--filters", type=int, default=PADDED)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--beside", default="", help="what else ran on the machine, in a sentence")
    options = parser.parse_args()
    if options.what == "make":
        make(options.work, options.filters)
    elif options.what == "record":
        from machine import record

        found = summary(options.work)
        print(json.dumps({key: value for key, value in found.items() if key != "trials"}, indent=1))
        record(options.record, beside=options.beside, **found)
    else:
        {"truth": truth, "trials": trials}[options.what](options.work, options.seconds)


if __name__ == "__main__":
    main()
