"""One process of a parallel training: `parallel.py` starts it, and holds its input open for as long as it wants it.

It gets lines of JSON, what to do and, of several hosts, where all of them are, and writes lines of JSON: where it is,
that it is ready, what is logged, each epoch, and the history at the end. The first one, on this machine, is the chief:
what it writes is the result. What others write in their own folders is gone with them.
"""

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.bench.locks import hold
from tasks.errors import ModelError, TercetError
from tasks.examples import dataset
from tasks.params import Train
from tasks.training import fit, keras_files
from tasks.training.split import join, split
from tasks.training.spread import Spread, check, synchronize

if TYPE_CHECKING:
    import tf_keras

PACKAGES = ("tensorflow", "tf_keras")  # that must be the same everywhere
WEIGHTS = "weights.npz"
OFTEN_S = 1.0
Speak = Callable[..., None]


def main() -> None:
    """Do what the first line of standard input asks for; ends with its end, wherever it is."""
    speak = _speaker()
    asked = json.loads(sys.stdin.buffer.readline())
    if asked["way"] == "hosts":
        _meet(asked["number"], speak)
    threading.Thread(target=_leash, daemon=True).start()
    try:
        with hold("local", exclusive=False):
            speak(done=_fitted(asked, speak))
    except TercetError as error:
        speak(error=str(error), kind=type(error).__name__)


def _speaker() -> Speak:
    """What writes a line to standard output, of which libraries get standard error instead."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def speak(**words: Any) -> None:
        print(json.dumps(words), file=out, flush=True)

    return speak


def _leash() -> None:
    while os.read(0, 4096):  # not by `sys.stdin`, whose lock an interpreter that ends waits for
        pass
    os._exit(1)  # whoever started it is gone


def _meet(number: int, speak: Speak) -> None:
    """Tell where this one can be reached, hear where all are, and have TensorFlow know."""
    there = (os.environ.get("SSH_CONNECTION") or "").split()
    with socket.socket(socket.AF_INET6 if ":" in "".join(there) else socket.AF_INET) as found:
        found.bind(("", 0))
        speak(at={"port": found.getsockname()[1], "ssh": there}, versions={name: version(name) for name in PACKAGES})
    cluster = json.loads(sys.stdin.buffer.readline())
    task = {"type": "worker", "index": number}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})


def _fitted(asked: dict[str, Any], speak: Speak) -> fit.History:
    """Fit the model in the folder that is asked for, leave its weights there, and return the history."""
    params, folder = Train.model_validate(asked["train"]), Path(asked["folder"])
    fit.import_tensorflow()
    import tensorflow as tf
    import tf_keras as keras

    strategy, devices = _devices(asked["way"], asked["parts"])
    speak(ready=True)
    fit.reset(params.seed)
    keras.backend.experimental.disable_tf_random_generator()  # one that workers share would have all drop the same
    with strategy.scope() if strategy else tf.device("CPU:0"):
        model = _model(folder)
    train, validation = dataset.load("train"), dataset.load("validation")
    fitted = model if strategy else split(model, devices)
    if strategy:
        check(len(train), params.batch_size, strategy.num_replicas_in_sync)
        synchronize(model)
        tf.random.set_seed(params.seed + asked["number"])  # hosts drop other units than each other
    with strategy.scope() if strategy else tf.device(None), _logged(speak):
        history = fit.fit(
            fitted,
            train,
            validation,
            params,
            label=asked["label"],
            callbacks=[pace(len(train), speak)],
            checkpoint=Path(asked["checkpoint"]) if asked["checkpoint"] else None,
            patience=asked["patience"],
            on_epoch=lambda epoch, metrics: speak(epoch=epoch, metrics=metrics),
            spread=Spread(strategy) if strategy else None,
        )
    if fitted is not model:
        join(fitted, model)
    np.savez(folder / WEIGHTS, *model.get_weights())
    return history


def _devices(way: str, parts: int) -> tuple[Any, list[str]]:
    """The strategy that workers share, or None, and the devices of this machine.

    Raises:
        ModelError: the machine has GPUs, and too few.
    """
    import tensorflow as tf

    if way == "hosts":
        return tf.distribute.MultiWorkerMirroredStrategy(), []
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    found = tf.config.list_physical_devices(kind)
    if kind == "CPU":
        tf.config.set_logical_device_configuration(found[0], [tf.config.LogicalDeviceConfiguration()] * parts)
    elif len(found) < parts:
        raise ModelError(f"train.parallel.{way}: received {parts}; this machine has {len(found)} GPUs")
    devices = [f"{kind}:{number}" for number in range(parts)]
    return (tf.distribute.MirroredStrategy(devices) if way == "workers" else None), devices


def _model(folder: Path) -> "tf_keras.Model":
    import tf_keras as keras

    from tasks.training import attention, layers  # noqa: F401  # registered, for the models that have them

    return keras.models.load_model(folder / keras_files.FILE, compile=False, safe_mode=True)


@contextmanager
def _logged(speak: Speak) -> Iterator[None]:
    """Within it what our modules log is told, too."""
    handler = logging.Handler()
    handler.emit = lambda record: speak(log=record.getMessage())  # type: ignore[method-assign]  # all that it is for
    ours = logging.getLogger("tasks")
    ours.setLevel(logging.INFO)
    ours.addHandler(handler)
    yield
    ours.removeHandler(handler)


def pace(examples: int, speak: Speak) -> Any:
    """A callback of Keras that tells how many examples a second each epoch learns from, and meanwhile that it goes on.

    Args:
        examples: of an epoch.
        speak: called with `pace`, examples a second between an epoch's beginning and that of its validation, or with
            `step`, a number, about once a second.
    """
    import tf_keras as keras

    class Pace(keras.callbacks.Callback):  # type: ignore[misc]  # tf_keras ships no types
        _supports_tf_logs = True  # or Keras copies the metrics to the host after every batch
        told = 0.0

        def on_epoch_begin(self, _epoch: int, _logs: Any = None) -> None:
            self.begun = time.monotonic()

        def on_train_batch_end(self, batch: int, _logs: Any = None) -> None:
            if time.monotonic() - self.told > OFTEN_S:
                self.told = time.monotonic()
                speak(step=batch)

        def on_test_begin(self, _logs: Any = None) -> None:
            speak(pace=examples / (time.monotonic() - self.begun))

        def on_test_batch_end(self, batch: int, _logs: Any = None) -> None:
            self.on_train_batch_end(batch)

    return Pace()


if __name__ == "__main__":
    main()
