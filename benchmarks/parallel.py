"""Examples a second of one training process, of two workers, and of dense layers on two devices, by turns.

The network and the digits of the preset `digits-cnn`, its batch of 64, one fitting after the other; the first epoch of
each, which makes the graph too, is left out. Where a machine has no GPU, the workers are two parts of its processor: a
single process uses all of that already, so the figure tells what sharing costs, not what a second machine would bring.
`--host` measures this machine with another one of your ssh configuration instead.

    python benchmarks/parallel.py [--repeats 3] [--epochs 4] [--host NAME --python PYTHON] [--record FILE]

Takes some minutes on two cores. Seen: README.md, beside this.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from machine import ROOT, record

from tasks import params as schema
from tasks.examples import dataset
from tasks.members import FAMILIES
from tasks.params import Params
from tasks.stages.prepare import prepare
from tasks.training import fit, parallel
from tasks.training.worker import pace

PRESET = ROOT / "infra" / "presets" / "digits-cnn.yaml"


def paces(settings: Params, way: dict[str, Any] | None, epochs: int) -> list[float]:
    """Examples a second of each epoch but the first."""
    asked = settings.train.model_dump() | {"epochs": epochs + 1, "parallel": way}
    params, found = type(settings.train).model_validate(asked), list[float]()
    fit.reset(params.seed)
    model = FAMILIES.load(settings.model.family).build(settings.model, dataset.spec())
    if way:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "checkpoint"
            parallel.fit(model, params, label="parallel", checkpoint=place, on_pace=found.append)
    else:
        train, validation = dataset.load("train"), dataset.load("validation")
        told = pace(len(train), lambda **words: found.append(words["pace"]) if "pace" in words else None)
        fit.fit(model, train, validation, params, label="alone", callbacks=[told])
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of a training in parallel, and of each worker.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="of each fitting, beside the first")
    parser.add_argument("--host", help="of your ssh configuration: this machine and that one")
    parser.add_argument("--python", default="python3", help="of that host, with TensorFlow")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    target = options.record.resolve() if options.record else None
    hosts = {"two hosts": {"hosts": [options.host], "python": options.python}}
    here = {"two workers": {"workers": 2}, "layers on two devices": {"layers": 2}}
    ways: dict[str, Any] = {"alone": None, **(hosts if options.host else here)}
    settings = schema.load(PRESET)
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(settings)
        for repeat in range(options.repeats):
            for name, way in ways.items():
                speeds[name].append(median(paces(settings, way, options.epochs)))
                print(f"{repeat + 1}: {name}: {speeds[name][-1]:,.0f} examples/s", flush=True)
        os.chdir(ROOT)
    ratios = {
        name: [mine / alone for mine, alone in zip(speeds[name], speeds["alone"], strict=True)] for name in speeds
    }
    for name, values in ratios.items():
        workers = 1 if name in ("alone", "layers on two devices") else 2
        each = median(speeds[name]) / workers
        print(
            f"{name}: {median(values):.2f} ({min(values):.2f} to {max(values):.2f}) of one, {each:,.0f} by each worker"
        )
    record(target, cpus=os.cpu_count(), epochs=options.epochs, examples_per_s=speeds, ratios=ratios)


if __name__ == "__main__":
    main()
