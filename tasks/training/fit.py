"""Fitting a Keras model, so that a run repeats bit by bit and a killed one goes on where it was.

`train`, every method of `compress` and quantization-aware training share this one loop. The order of the
examples is a function of (seed, epoch), the learning rate of the step, and early stopping of the history, so
the state of a run is its variables, those of the callbacks, and its history: these are the checkpoint.
"""

import atexit
import gc
import logging
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import imports
from tasks.errors import ModelError
from tasks.examples.feed import BATCH, epochs, feed, own_words
from tasks.examples.files import held
from tasks.scratch import scratch
from tasks.training import checkpoint as checkpoints
from tasks.training import padding, precision
from tasks.training.asked import in_steps
from tasks.training.augment import augmented
from tasks.training.losses import Objective, objective
from tasks.training.optimizers import optimizer

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples
    from tasks.params import Training
    from tasks.quality.heads import Head
    from tasks.training.spread import Spread

Metrics = dict[str, float | None]  # null: it was no finite number
History = dict[str, list[float | None]]
OnEpoch = Callable[[int, Metrics], None]
log = logging.getLogger(__name__)


@cache
def _keep_rewritten_code() -> None:
    """TensorFlow writes each function that it rewrites to TMPDIR, where those of a killed process would stay for good.

    It knows no other place for them, so its module gets a `tempfile` of its own.
    """
    from tensorflow.python.autograph.pyct import loader

    kept = ExitStack()
    folder = kept.enter_context(scratch("autograph"))
    atexit.register(kept.close)
    loader.tempfile = SimpleNamespace(NamedTemporaryFile=partial(tempfile.NamedTemporaryFile, dir=folder))


def import_tensorflow() -> None:
    """Import TensorFlow and TFMOT without Keras 3, which nothing here uses and which takes seconds more."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # TFMOT looks here for a name of old, would get all of Keras 3 for its pains, and goes on without
    sys.modules.setdefault("keras.engine", None)  # type: ignore[arg-type]  # None: "there is no such module"
    with imports.alone:
        import tensorflow_model_optimization  # noqa: F401

    _keep_rewritten_code()


def reset(seed: int) -> None:
    """Start a stage from a clean slate: no names, layers or random state of an earlier stage of this process."""
    import_tensorflow()
    import tensorflow as tf
    import tf_keras as keras

    keras.backend.clear_session()
    _forget_gradients()
    keras.utils.set_random_seed(seed)
    keras.backend.experimental.enable_tf_random_generator()  # the state of what draws is then known, and can be kept
    tf.config.experimental.enable_op_determinism()


def _forget_gradients() -> None:
    """Drop what TensorFlow would keep for good of a graph with a gradient of its own (`silu`): it, and its weights.

    Its registry of gradients has no way to take one out; there is no other hold on them, and no graph that needs them.
    """
    from tensorflow.python.framework import ops

    known = ops.gradient_registry._registry
    for name in [name for name in known if name.startswith("CustomGradient-")]:
        del known[name]
    gc.collect()


def fit(
    model: "tf_keras.Model",
    train: "Examples",
    validation: "Examples",
    params: "Training",
    *,
    label: str,
    callbacks: Sequence[Any] = (),
    checkpoint: Path | None = None,
    patience: int | None = None,
    on_epoch: OnEpoch | None = None,
    heads: tuple["Head", ...] | None = None,
    spread: "Spread | None" = None,
) -> History:
    """Fit `model` in place and return one value per epoch of each metric.

    Args:
        model: takes the inputs of `train` by name; `tasks.quality.heads` says which targets its outputs learn.
        train: n examples; each epoch sees all of them once. They may hold a teacher's answers.
        validation: what early stopping and the curves look at.
        params: epochs (0: nothing is done), batch size, optimizer, rate, clipping, precision, augmentation, seed.
        label: names the progress bar.
        callbacks: further Keras callbacks; what one keeps beside the weights it lists as its `variables`.
        checkpoint: a folder that is written after each epoch and resumed from; None: that of `checkpoint.kept`, if any.
        patience: stop after so many epochs without a lower validation loss, and keep the best epoch's weights.
        on_epoch: called with the epoch (from 0) and its metrics.
        heads: which targets the outputs learn, found by `tasks.quality.heads` before a wrapper gave them other names.
        spread: over which workers batches go, where it is called within their strategy's scope; null: there is one.

    Raises:
        ModelError: the loss is not finite, the outputs and the targets do not fit, or there are no images to change.
        DataError: a file that an example is read from is not what it was.
    """
    if not params.epochs:
        return {}
    train, validation = held(train), held(validation)
    steps = math.ceil(len(train) / params.batch_size)
    aim = objective(model, train, validation, params, heads)
    model.compile(optimizer(params, steps * params.epochs, model), loss=aim.losses, metrics=aim.metrics)
    model.optimizer.build(model.trainable_variables)
    state, checkpoint = _state(model, callbacks), checkpoint or checkpoints.place()
    history: History = checkpoints.resume(checkpoint, state) if checkpoint else {}
    done = len(history.get("loss", []))
    if done:
        log.info("%s: resumed after epoch %d of %d", label, done, params.epochs)
    if done < params.epochs and not _exhausted(history, patience):
        after_epoch = _after_epoch(model, history, params.epochs, label, checkpoint, state, patience, on_epoch)
        still = [] if spread else padding.held(model)
        with own_words(), precision.chosen(params), in_steps(model, aim.ask):
            model.fit(
                **_given(aim, train, params, done, spread),
                epochs=params.epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                verbose=0,
                callbacks=[*still, *callbacks, after_epoch, _progress(label, params.epochs, done, steps)],
            )
    if patience is not None and checkpoint is not None:
        checkpoints.restore_best(checkpoint, model.variables)
    return history


def _state(model: "tf_keras.Model", callbacks: Sequence[Any]) -> list[Any]:
    """All that a fitting changes: the variables of model and optimizer, what random layers drew, what callbacks keep.

    Layers that draw at random do so by a generator each, as `reset` has it; there is no public way to it.
    """
    makers = (getattr(layer, "_random_generator", None) for layer in model._flatten_layers(include_self=False))
    generators = (getattr(maker, "_generator", None) for maker in makers)
    drawn = [generator.state for generator in generators if generator is not None]
    kept = [variable for callback in callbacks for variable in getattr(callback, "variables", ())]
    return [*model.variables, *model.optimizer.variables, *drawn, *kept]


def _keep(
    checkpoint: Path, model: "tf_keras.Model", state: Sequence[Any], patience: int | None, history: History
) -> None:
    is_best = patience is not None and best_epoch(history) == len(history["val_loss"]) - 1
    checkpoints.save(checkpoint, state, history, model.variables if is_best else None)


def _given(aim: Objective, train: "Examples", params: "Training", done: int, spread: "Spread | None") -> dict[str, Any]:
    """What Keras is fitted to after so many epochs, and what it is judged by."""
    batches = epochs(train, aim.train, params.batch_size, params.seed, range(done, params.epochs))
    before = done * math.ceil(len(train) / params.batch_size)
    changed, judged = augmented(batches, params, before), feed(aim.judged, aim.validation)
    if spread is None:
        return {"x": changed, "validation_data": judged}
    steps = math.ceil(len(aim.judged) / BATCH)
    return {"x": spread.taught(changed), "validation_data": spread.judged(judged), "validation_steps": steps}


def best_epoch(history: History) -> int:
    """The epoch (from 0) of the lowest validation loss, the first of equals; one that is no number is never it."""
    losses = np.array(history["val_loss"], np.float64)  # null becomes NaN
    return int(np.argmin(np.nan_to_num(losses, nan=np.inf)))


def _exhausted(history: History, patience: int | None) -> bool:
    losses = history.get("val_loss", [])
    return patience is not None and bool(losses) and len(losses) - 1 - best_epoch(history) >= patience


def _after_epoch(
    model: "tf_keras.Model",
    history: History,
    last: int,
    label: str,
    checkpoint: Path | None,
    state: Sequence[Any],
    patience: int | None,
    on_epoch: OnEpoch | None,
) -> Any:
    import tf_keras as keras

    def after(epoch: int, logs: dict[str, float]) -> None:
        if not math.isfinite(logs["loss"]):
            raise ModelError(f"{label}: the loss of epoch {epoch + 1} is not finite; try a lower learning_rate")
        metrics: Metrics = {name: float(value) if math.isfinite(value) else None for name, value in logs.items()}
        for name, value in metrics.items():
            history.setdefault(name, []).append(value)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        log.info("%s: epoch %d of %d  %s", label, epoch + 1, last, figures)
        if checkpoint is not None:
            _keep(checkpoint, model, state, patience, history)
        if on_epoch is not None:
            on_epoch(epoch, metrics)
        model.stop_training = _exhausted(history, patience)

    return keras.callbacks.LambdaCallback(on_epoch_end=after)


def _progress(label: str, last: int, done: int, steps: int) -> Any:
    """A progress bar over all steps; silent where standard error is no terminal."""
    import tf_keras as keras
    from tqdm import tqdm

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]  # tf_keras ships no types
        _supports_tf_logs = True  # or Keras copies the metrics to the host after every batch

        def on_train_begin(self, _logs: Any = None) -> None:
            self.bar = tqdm(total=last * steps, initial=done * steps, desc=label, disable=None, leave=False)

        def on_train_batch_end(self, _batch: int, _logs: Any = None) -> None:
            self.bar.update()

        def on_train_end(self, _logs: Any = None) -> None:
            self.bar.close()

    return Progress()
