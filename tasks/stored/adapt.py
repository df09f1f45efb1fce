"""A model of one's own, fitted to the data: its inputs are called as the data's, its answers are probabilities."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.dataset import LABEL, Spec, TensorSpec
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

EXAMPLES = 8
NEAR = 1e-3  # how far a sum of probabilities may be from 1
log = logging.getLogger(__name__)


def adapt(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The same network for the data: its inputs' names and shapes, outputs by name, probabilities of its classes.

    A single input may have any name; several are matched by name. Axes that the model leaves open take the data's
    size. Where a model ends in logits, a softmax follows them: training and scores are of probabilities.

    Raises:
        ModelError: inputs or outputs do not fit the data; the message has both sides.
    """
    model = _with_outputs_by_name(_with_inputs_of(model, spec, source))
    if spec.task == "reconstruction":
        shapes = [tuple(tensor.shape[1:]) for tensor in model.outputs]
        if shapes != [tensor.shape for tensor in spec.inputs.values()]:
            raise ModelError(f"{source}: gives {shapes}; a reconstruction has the shape of the input")
        return model
    return _with_probabilities(model, spec, source)


def _with_inputs_of(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    import tf_keras as keras

    names = spec.names_of(model.input_names, source)
    for name, own, tensor in zip(names, model.input_names, model.inputs, strict=True):
        _check_input(own, tensor, spec.inputs[name], source)
    wanted = [(name, (None, *spec.inputs[name].shape), spec.inputs[name].dtype) for name in names]
    given = [(n, tuple(t.shape), t.dtype.name) for n, t in zip(model.input_names, model.inputs, strict=True)]
    if wanted == given and not isinstance(model.input, dict):
        return model
    inputs = [keras.Input(batch_shape=shape, dtype=dtype, name=name) for name, shape, dtype in wanted]
    try:
        clone = keras.models.clone_model(model, input_tensors=inputs)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{source}: does not fit inputs of {wanted}: {' '.join(str(error).split())[:200]}") from None
    clone.set_weights(model.get_weights())
    return keras.Model(clone.inputs, clone.output, name=clone.name) if isinstance(clone.input, dict) else clone


def _check_input(name: str, tensor: Any, wanted: TensorSpec, source: str) -> None:
    shape = tuple(tensor.shape[1:])
    if len(shape) != len(wanted.shape) or any(a not in (None, b) for a, b in zip(shape, wanted.shape, strict=True)):
        raise ModelError(f"{source}: input {name!r} takes {list(shape)}; the data has {list(wanted.shape)}")
    if tensor.dtype.is_floating != wanted.dtype.startswith("float"):
        raise ModelError(f"{source}: input {name!r} takes {tensor.dtype.name}; the data has {wanted.dtype}")


def _with_outputs_by_name(model: "tf_keras.Model") -> "tf_keras.Model":
    """Outputs that come in a mapping as a list of layers that are called like its keys: by those names they learn."""
    import tf_keras as keras

    if not isinstance(model.output, dict):
        return model
    outputs = [
        tensor if tensor._keras_history.layer.name == key else keras.layers.Activation("linear", name=key)(tensor)
        for key, tensor in sorted(model.output.items())
    ]
    return keras.Model(model.inputs, outputs if len(outputs) > 1 else outputs[0], name=model.name)


def _with_probabilities(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    import tensorflow as tf
    import tf_keras as keras

    names, classes = model.output_names, len(spec.classes)
    if len(names) > 1 and LABEL not in names:
        raise ModelError(
            f"{source}: gives {', '.join(names)}; of several outputs the one that tells the class is called {LABEL!r}"
        )
    place = names.index(LABEL) if len(names) > 1 else 0
    tensor = model.outputs[place]
    shape = list(tensor.shape[1:])
    if shape != [classes]:
        raise ModelError(f"{source}: output {names[place]!r} gives {shape}; the data's classes ask for [{classes}]")
    try:
        answers = tf.nest.flatten(model(_random(model, spec), training=False))[place].numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ModelError(f"{source}: cannot run on the data: {error.message.split(' [')[0]}") from None
    if answers.min() >= 0 and np.abs(answers.sum(axis=1) - 1).max() <= NEAR:
        return model
    last = tensor._keras_history.layer
    if len(names) > 1 or not _is_linear(last):
        raise ModelError(
            f"{source}: output {names[place]!r} gives no probabilities (random inputs give {answers.min():.3g} to "
            f"{answers.max():.3g}, not a sum of 1); end it in a softmax"
        )
    log.warning("%s: it ends in logits; a softmax follows them from here on", source)
    return keras.Model(model.inputs, keras.layers.Softmax(name="probabilities")(tensor), name=model.name)


def _is_linear(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", None) == "linear"


def _random(model: "tf_keras.Model", spec: Spec) -> Any:
    """A few examples such as the data may have, in the model's order."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    made = []
    for name in model.input_names:
        tensor = spec.inputs[name]
        shape = (EXAMPLES, *tensor.shape)
        if tensor.dtype.startswith("float"):
            made.append(tf.constant(rng.standard_normal(shape), tensor.dtype))
        else:
            made.append(tf.constant(rng.integers(0, tensor.vocabulary_size or 1, shape), tensor.dtype))
    return made if len(made) > 1 else made[0]
