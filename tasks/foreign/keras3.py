"""Models of Keras 3, rebuilt in tf_keras with their weights, and compared with the original layer by layer.

Keras 3 itself is never imported here: it runs in a process of its own (`keras3_reader.py`), reads the file there, and
tells what the weights are and what each layer answers to random inputs.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ModelError
from tasks.foreign import keras3_reader, limits, padding, rebuild
from tasks.process import told
from tasks.scratch import scratch

if TYPE_CHECKING:
    import tf_keras

    from tasks.params import Stored

EXAMPLES = 4
FREE = 64  # the size of an axis that the model leaves open
TOLERANCE = 1e-4  # of a layer's largest answer: both compute in float32, in another order
TIMEOUT_S = 600.0
AS_IS = "convert it to .tflite in Keras 3, and take that (scheme as-is)"
Config = dict[str, Any]
Arrays = dict[str, Any]


def load(path: Path, config: Config, params: "Stored", clean: Path, numbers: int) -> "tf_keras.Model":
    """Rebuild the model of a file of Keras 3.

    Args:
        path: the file, for errors.
        config: its configuration, as `safety.read` gives it.
        params: of the file.
        clean: a copy with that configuration and the weights, for Keras 3 to read.
        numbers: that its weights are.

    Raises:
        ModelError: a layer has no counterpart in tf_keras, Keras 3 cannot read the file, or a layer answers otherwise;
            the message names the layer.
    """
    try:
        with limits.budget(numbers):
            rebuilt = rebuild.network(config)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    limits.check_sizes(path, rebuilt.model)
    inputs = random_inputs(rebuilt.model, config)
    testimony = ask(path, params, inputs, list(rebuilt.outputs), clean)
    copy_weights(path, rebuilt.model, testimony)
    compare(path, rebuilt, inputs, testimony)
    return rebuilt.model


def random_inputs(model: "tf_keras.Model", config: Config) -> Arrays:
    """A few examples by input name, padded: normal values, or numbers that every embedding of the model knows."""
    rng = np.random.default_rng(0)
    count = min(_vocabularies(config), default=2)
    inputs = {}
    for place, (name, tensor) in enumerate(zip(model.input_names, model.inputs, strict=True)):
        shape = (tensor.shape[0] or EXAMPLES, *(size or FREE for size in tensor.shape[1:]))
        real = tensor.dtype.is_floating and padding.words(model, tensor) is None
        made = rng.standard_normal(shape) if real else rng.integers(0, count, shape)
        padding.pad(made, padding.kept_out(model, real=real), place)
        inputs[name] = made.astype(tensor.dtype.as_numpy_dtype)
    return inputs


def _vocabularies(config: Any) -> Iterator[int]:
    if isinstance(config, dict):
        if config.get("class_name") == "Embedding":
            yield int(config["config"]["input_dim"])
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _vocabularies(part)


def ask(path: Path, params: "Stored", inputs: Arrays, layers: list[str], clean: Path) -> Arrays:
    """What Keras 3 says of the file: `weights/<layer>/<i>`, `output/<layer>`, and `answer/<i>` of the whole model.

    Raises:
        ModelError: it cannot read or run the model, or takes too long.
    """
    request = {
        "path": str(clean.resolve()), "module": params.layers, "lambdas": params.lambdas, "layers": layers,
        "caller": os.getpid(),
    }  # fmt: skip
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    with scratch("keras3") as folder:
        given, answers = Path(folder, "inputs.npz"), Path(folder, "answers.npz")
        np.savez(given, allow_pickle=False, **inputs)
        command = [sys.executable, "-P", keras3_reader.__file__, json.dumps(request), str(given), str(answers)]
        what = f"{path}: reading and running it in Keras 3"
        done = told(command, timeout_s=TIMEOUT_S, what=what, error=ModelError, environment=environment)
        if done.code:
            raise ModelError(f"{path}: Keras 3 cannot read and run it (code {done.code}): {done.last_words}")
        with np.load(answers, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def copy_weights(path: Path, model: "tf_keras.Model", testimony: Arrays) -> None:
    """Set each layer's weights to those that Keras 3 has read for the layer of the same name.

    Raises:
        ModelError: a layer has other weights in Keras 3.
    """
    for name, layer in leaves(model):
        count = sum(key.rpartition("/")[0] == f"weights/{name}" for key in testimony)
        weights = [testimony[f"weights/{name}/{i}"] for i in range(count)]
        try:
            layer.set_weights(weights)
        except ValueError:
            theirs, ours = ([tuple(w.shape) for w in some] for some in (weights, layer.weights))
            raise ModelError(f"{path}: layer {name!r}: its weights are {theirs} in Keras 3, {ours} here") from None
        if hasattr(layer, "finalize_state"):  # a normalization keeps what its weights say beside them
            layer.finalize_state()


def leaves(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a model of either generation, those of nested models among them, by path."""
    for layer in model.layers:
        if hasattr(layer, "layers") and hasattr(layer, "inputs"):
            yield from leaves(layer, f"{prefix}{layer.name}.")
        else:
            yield f"{prefix}{layer.name}", layer


def compare(path: Path, rebuilt: rebuild.Rebuilt, inputs: Arrays, testimony: Arrays) -> None:
    """Check that every layer, where its mask leaves nothing out, and the model answer as in Keras 3.

    Raises:
        ModelError: one does not; of several, the first is named.
    """
    import tensorflow as tf
    import tf_keras as keras

    model = rebuilt.model
    told = [name for name in rebuilt.outputs if f"output/{name}" in testimony]
    tensors = [rebuilt.outputs[name] for name in told]
    given = [tf.constant(inputs[name]) for name in model.input_names]
    found = tf.nest.flatten(keras.Model(model.inputs, tensors + tf.nest.flatten(model.outputs))(given, training=False))
    theirs = [testimony[f"output/{name}"] for name in told]
    theirs += [testimony[f"answer/{i}"] for i in range(len(found) - len(told))]
    for place, (tensor, b) in enumerate(zip(found, theirs, strict=True)):
        layer, a = place < len(told), tensor.numpy()
        name = f"layer {told[place]!r}" if layer else "the model"
        if a.shape != b.shape:
            raise ModelError(f"{path}: {name} gives {a.shape} in tf_keras, {b.shape} in Keras 3; {AS_IS}")
        a, b = (_heeded(each, tensor) for each in (a, b)) if layer else (a, b)
        distance = np.abs(a.astype(np.float64) - b).max(initial=0)
        if not distance <= TOLERANCE * max(1.0, np.abs(b).max(initial=0)):
            raise ModelError(
                f"{path}: {name} answers otherwise in tf_keras than in Keras 3: on random inputs they are "
                f"{distance:.3g} apart, so the model cannot be taken over; {AS_IS}"
            )


def _heeded(answer: Any, tensor: Any) -> Any:
    """A layer's answer with 0 where its mask leaves it out: who heeds no masks is compared, and named, by itself."""
    mask = getattr(tensor, "_keras_mask", None)
    if mask is None or tuple(mask.shape) != answer.shape[: len(mask.shape)]:
        return answer
    return np.where(mask.numpy().reshape(mask.shape + (1,) * (answer.ndim - len(mask.shape))), answer, 0)
