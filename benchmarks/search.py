"""Which sampler finds the best front of bit widths in so many trials: NSGA-II, TPE, the annealed QUBO, or chance.

A network of six layers with weights is trained on scikit-learn's digits, and the weights of each layer are then rounded
to 2, 4 or 8 bits (symmetric, by output channel): 729 assignments, each with its validation accuracy and the bytes of
its weights. All stand in one table, so that the whole front is known and every sampler can search it many times. The
figure is the hypervolume of what a sampler has found over that of the whole front, by trials. Each seed begins with the
same two trials: all layers at 8 bits, and all at 4.

`qubo` knows what the bytes of a choice are, which is arithmetic. `qubo, sensitivity` knows besides what each layer
loses alone, and pays for it: each of those 12 assignments is one of its trials.

    python benchmarks/search.py [--trials 40] [--seeds 20] [--record FILE]

Takes some minutes. Seen: README.md, beside this.
"""

import argparse
import itertools
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import record

from tasks.data import digits
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Spec, TensorSpec
from tasks.models import cnn
from tasks.params import Cnn, Prepare, Search, Train
from tasks.search.front import hypervolume
from tasks.search.study import distribution, sampler
from tasks.training import fit

BITS = (2, 4, 8)
MARKS = (10, 20, 40)  # trials after which the figure is taken
Table = dict[tuple[int, ...], tuple[float, float]]  # bits by layer: loss of accuracy, bytes
Layers = dict[str, int]  # parameters of the kernel by layer
EXACT = "qubo, sensitivity"


def examples() -> tuple[Arrays, Arrays]:
    """1,000 digits to train on, the rest to judge by."""
    source = digits.load(Prepare(source="digits")).train
    image = source.inputs["image"].astype(np.float32) / 255
    order = np.random.default_rng(0).permutation(len(image))
    parts = [
        Arrays({"image": image[part]}, {LABEL: source.targets[LABEL][part]}) for part in (order[:1000], order[1000:])
    ]
    return parts[0], parts[1]


def network(train: Arrays, validation: Arrays) -> Any:
    """A trained network of six layers with weights."""
    fit.reset(0)
    shape = train.inputs["image"].shape[1:]
    spec = Spec({"image": TensorSpec(shape, "float32")}, tuple("0123456789"))
    model = cnn.build(Cnn(family="cnn", filters=(8, 16, 16), dense=(32, 24)), spec)
    fit.fit(model, train, validation, Train(epochs=12, batch_size=32, learning_rate=0.002), label="train")
    return model


def rounded(kernel: Any, bits: int) -> Any:
    """The kernel at so many bits: symmetric, a scale for each output channel."""
    steps = 2 ** (bits - 1) - 1
    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True) / steps
    return np.round(kernel / np.where(scale, scale, 1)) * scale


def tabulate(model: Any, validation: Arrays) -> tuple[Layers, Table]:
    """Every assignment's loss of accuracy and bytes."""
    layers = [layer for layer in model.layers if layer.weights]
    kernels = [layer.get_weights()[0] for layer in layers]
    table: Table = {}
    current: list[int | None] = [None] * len(layers)
    for bits in itertools.product(BITS, repeat=len(layers)):
        for i, width in enumerate(bits):
            if current[i] != width:
                layers[i].set_weights([rounded(kernels[i], width), *layers[i].get_weights()[1:]])
                current[i] = width
        scores = model.predict_on_batch(validation.inputs)
        accuracy = float((scores.argmax(axis=1) == validation.targets[LABEL]).mean())
        table[bits] = 1 - accuracy, sum(kernel.size * width / 8 for kernel, width in zip(kernels, bits, strict=True))
    return {layer.name: kernel.size for layer, kernel in zip(layers, kernels, strict=True)}, table


def search(name: str, layers: Layers, table: Table, trials: int, seed: int) -> Iterator[tuple[float, float]]:
    """What each trial of a sampler gives."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {f"bits.{layer}": BITS for layer in layers}
    distributions = {key: distribution(found) for key, found in space.items()}
    study = optuna.create_study(directions=["minimize", "minimize"])
    size = {(f"bits.{layer}", i): n * bits / 8 for layer, n in layers.items() for i, bits in enumerate(BITS)}
    loss: dict[Any, float] = {}
    if name == "random":
        study.sampler = optuna.samplers.RandomSampler(seed=seed)
    else:
        objectives = [{"of": "quality"}, {"of": "bytes"}]
        settings = Search.model_validate(
            {"objectives": objectives, "trials": trials, "sampler": name.partition(",")[0]}
        )
        study.sampler = sampler(settings, space, distributions, [loss, size], seed)
    first = [(8,) * len(layers), (4,) * len(layers), *(alone(layers) if name == EXACT else [])]
    for number in range(trials):
        if number < len(first):
            study.enqueue_trial(dict(zip(space, first[number], strict=True)))
        trial = study.ask(distributions)
        bits = tuple(trial.params[key] for key in space)
        if name == EXACT and number < len(first):
            changed = [(key, bit) for key, bit in zip(space, bits, strict=True) if bit != 8]
            if len(changed) == 1:
                loss[changed[0][0], BITS.index(changed[0][1])] = table[bits][0] - table[first[0]][0]
        study.tell(trial, list(table[bits]))
        yield table[bits]


def alone(layers: Sequence[str] | Mapping[str, int]) -> list[tuple[int, ...]]:
    """Each layer at each width below 8, the others at 8."""
    count = len(layers)
    return [tuple(bits if i == j else 8 for j in range(count)) for i in range(count) for bits in BITS[:-1]]


def share(points: Sequence[tuple[float, float]], table: Table) -> float:
    """The hypervolume of points over that of all there are, in the box of all."""
    every = np.array(list(table.values()))
    low, span = every.min(axis=0), np.ptp(every, axis=0)
    scaled = [tuple(point) for point in ((np.array(points) - low) / span).tolist()]
    return hypervolume(scaled, (1.1, 1.1)) / hypervolume(
        [tuple(p) for p in ((every - low) / span).tolist()], (1.1, 1.1)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    train, validation = examples()
    start = time.monotonic()
    layers, table = tabulate(network(train, validation), validation)
    whole = 1 - table[(8,) * len(layers)][0]
    print(f"{len(table)} assignments in {time.monotonic() - start:.0f} s; accuracy at 8 bits {whole:.4f}", flush=True)
    marks = [mark for mark in (*MARKS, options.trials) if mark <= options.trials]
    results: dict[str, dict[int, list[float]]] = {}
    seconds = {}
    for name in ("random", "nsga2", "tpe", "qubo", EXACT):
        start = time.monotonic()
        runs = [list(search(name, layers, table, options.trials, seed)) for seed in range(options.seeds)]
        seconds[name] = (time.monotonic() - start) / (options.seeds * options.trials)
        results[name] = {mark: [share(run[:mark], table) for run in runs] for mark in dict.fromkeys(marks)}
        told = "  ".join(
            f"{mark} trials {np.median(found):.4f} ({np.percentile(found, 25):.4f}–{np.percentile(found, 75):.4f})"
            for mark, found in results[name].items()
        )
        print(f"{name:<18} {told}  {seconds[name] * 1e3:.0f} ms a trial", flush=True)
    record(
        options.record,
        layers=layers,
        accuracy=whole,
        share=results,
        seconds_per_trial=seconds,
    )


if __name__ == "__main__":
    main()
