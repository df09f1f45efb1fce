"""How fast the project fits a model, side by side with a plain `model.fit`.

The same network (the family cnn), arrays, optimizer, batches and validation data. `tasks.training.fit.fit` shuffles
reproducibly, under TensorFlow's deterministic ops, and writes a checkpoint after each epoch; plain Keras does nothing
of that. Both run in one process and take turns, epoch by epoch; the first epoch of each, which compiles, is left out.
Processor time is given too: it suffers less than wall time where other work runs.

    python benchmarks/fitting.py [--epochs 9] [--record FILE]

Goal: a ratio of at least 1. Seen: README.md, beside this.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Semaphore
from typing import Any

import numpy as np
from machine import record

from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, Spec, TensorSpec
from tasks.examples.feed import BATCH
from tasks.models import cnn
from tasks.params import Cnn, Training
from tasks.training import fit

EXAMPLES, VALIDATION, CLASSES, SHAPE = 12_800, 1_280, 10, (28, 28, 1)
TURN_S = 600  # no epoch takes so long
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def examples(count: int) -> Arrays:
    """Noise of the size of MNIST: how fast a network trains does not hang from what it sees."""
    rng = np.random.default_rng(count)
    images = rng.random((count, *SHAPE), np.float32)
    return Arrays({"image": images}, {LABEL: rng.integers(0, CLASSES, count)})


def model() -> Any:
    """The network of the presets."""
    spec = Spec({"image": TensorSpec(SHAPE, "float32")}, tuple(map(str, range(CLASSES))))
    return cnn.build(Cnn(family="cnn"), spec)


def turns(mine: Semaphore, others: Semaphore, *, deterministic: bool) -> Any:
    """A Keras callback that lets a fit run only in its turn, and keeps the seconds of each epoch in `epochs`."""
    import tf_keras as keras
    from tensorflow.python.framework import config  # `disable_op_determinism` is in no public module

    set_determinism = config.enable_op_determinism if deterministic else config.disable_op_determinism

    class Turns(keras.callbacks.Callback):
        def on_train_begin(self, _logs=None):
            self.epochs: list[dict[str, float]] = []

        def on_epoch_begin(self, epoch, _logs=None):
            if epoch:
                self._hand_over()
            if not mine.acquire(timeout=TURN_S):
                raise TimeoutError(f"the other fit has not ended its epoch within {TURN_S} s; it may have failed")
            set_determinism()
            self.start = {name: clock() for name, clock in CLOCKS.items()}

        def on_train_end(self, _logs=None):
            self._hand_over()

        def _hand_over(self):  # only after an epoch's other callbacks, which are part of what it costs
            self.epochs.append({name: clock() - self.start[name] for name, clock in CLOCKS.items()})
            others.release()

    return Turns()


def ours(network: Any, train: Arrays, validation: Arrays, params: Training, callback: Any) -> None:
    """Fit as the stage `train` does."""
    with TemporaryDirectory(prefix="tercet-fitting-") as folder:
        checkpoint = Path(folder, "checkpoint")
        fit.fit(network, train, validation, params, label="fit", callbacks=[callback], checkpoint=checkpoint)


def plain(network: Any, train: Arrays, validation: Arrays, params: Training, callback: Any) -> None:
    """Fit as the guide of Keras does."""
    import tf_keras as keras

    network.compile(keras.optimizers.Adam(params.learning_rate), "sparse_categorical_crossentropy", ["accuracy"])
    network.fit(
        train.inputs["image"],
        train.targets[LABEL],
        batch_size=params.batch_size,
        epochs=params.epochs,
        validation_data=(validation.inputs["image"], validation.targets[LABEL]),
        validation_batch_size=BATCH,
        verbose=0,
        callbacks=[callback],
    )


def side_by_side(epochs: int) -> dict[str, list[dict[str, float]]]:
    """The seconds of each epoch but the first, of both."""
    fit.reset(0)
    params = Training(epochs=epochs + 1, batch_size=64, optimizer="adam")
    data = examples(EXAMPLES), examples(VALIDATION)
    first, second = Semaphore(1), Semaphore(0)
    callbacks = turns(first, second, deterministic=True), turns(second, first, deterministic=False)
    functions: tuple[Callable[..., None], ...] = (ours, plain)
    with ThreadPoolExecutor(2) as pool:
        jobs = zip(functions, (model(), model()), callbacks, strict=True)
        running = [pool.submit(function, network, *data, params, callback) for function, network, callback in jobs]
        for job in running:
            job.result()
    return {"fit": callbacks[0].epochs[1:], "plain": callbacks[1].epochs[1:]}


def compared(seconds: dict[str, list[dict[str, float]]], clock: str) -> dict[str, Any]:
    """Throughput of each epoch, medians, and the ratio of throughputs: above 1, `fit` is the faster."""
    speeds = {name: [EXAMPLES / epoch[clock] for epoch in epochs] for name, epochs in seconds.items()}
    ratios = [ours / plain for ours, plain in zip(speeds["fit"], speeds["plain"], strict=True)]
    medians = {name: median(values) for name, values in speeds.items()}
    print(f"{clock} time: fit {medians['fit']:.0f}, plain {medians['plain']:.0f} examples/s (medians); ", end="")
    print(f"ratio {median(ratios):.3f} (epochs: {min(ratios):.3f} to {max(ratios):.3f})")
    return {"examples_per_s": speeds, "median_examples_per_s": medians, "ratios": ratios, "ratio": median(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of tasks.training.fit against a plain model.fit.")
    parser.add_argument("--epochs", type=int, default=9, help="of each, beside the first")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    seconds = side_by_side(options.epochs)
    record(options.record, examples=EXAMPLES, **{clock: compared(seconds, clock) for clock in CLOCKS})


if __name__ == "__main__":
    main()
