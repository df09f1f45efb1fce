"""What a model of one's own answers: probabilities of classes or labels, values, or a reconstruction of the input."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ModelError
from tasks.examples import Array
from tasks.examples.dataset import LABEL, Spec
from tasks.foreign import padding

if TYPE_CHECKING:
    import tf_keras

EXAMPLES = 8
NEAR = 1e-3  # how far a sum of probabilities may be from 1
SCOPE = (
    "in scope are one class of several (softmax or logits), two classes (one sigmoid unit, or its logit), and by "
    "`prepare.task` values (regression), several labels at once (multilabel: sigmoid units) and reconstructions of the "
    "input (reconstruction)"
)
STRAIGHT = {  # layers that bend no number, so that logits are logits behind them
    *("Flatten", "Reshape", "Permute", "Identity", "Dropout", "BatchNormalization", "Rescaling", "Add", "Average"),
    *(f"{how}AveragePooling{n}D" for how in ("", "Global") for n in (1, 2, 3)),
}
STRAIGHT_OPERATORS = {  # likewise
    *("__operators__.add", "math.add", "math.subtract", "math.multiply", "math.truediv", "nn.bias_add"),
    *("reshape", "squeeze", "math.reduce_mean", "math.reduce_sum", "identity", "cast"),
}
log = logging.getLogger(__name__)


def reconstruction(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The model, if it gives what it takes; of several outputs that one alone.

    Raises:
        ModelError: it does not.
    """
    import tf_keras as keras

    shapes = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    wanted = [tensor.shape for tensor in spec.inputs.values()]
    if len(wanted) == 1 < len(shapes) and shapes.count(wanted[0]) == 1:
        log.warning("%s: of its outputs %s, that which reconstructs is kept", source, ", ".join(model.output_names))
        place = shapes.index(wanted[0])
        model, shapes = keras.Model(model.inputs, model.outputs[place], name=model.name), wanted
    if shapes != wanted:
        raise ModelError(f"{source}: gives {shapes}; a reconstruction has the shape of the input, {wanted}")
    (answer,) = of(model, examples(model, spec), source)
    _check_finite(answer, model.output_names[0], source)
    return model


def probabilities(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The model with probabilities of the data's classes: behind logits comes a softmax, one unit becomes two.

    Raises:
        ModelError: it gives anything else; the message says what that looks like, and what is in scope.
    """
    names = list(model.output_names)
    if len(names) > 1 and LABEL not in names:
        raise ModelError(
            f"{source}: gives {', '.join(names)}; of several outputs the one that tells the class is called {LABEL!r}"
        )
    return _of_classes(model, names.index(LABEL) if len(names) > 1 else 0, spec.classes, spec, source)


def further(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The model with probabilities, too, where another output than the judged one tells classes of a further target.

    Raises:
        ModelError: likewise.
    """
    for place, name in enumerate(model.output_names if len(model.outputs) > 1 else ()):
        shape = tuple(model.outputs[place].shape[1:])
        if name in spec.further and len(shape) == 1:
            least = max(spec.further[name], 2)
            count = least if shape == (1,) else max(least, shape[0])  # it may know of classes that the data lack
            model = _of_classes(model, place, tuple(map(str, range(count))), spec, source)
    return model


def _of_classes(
    model: "tf_keras.Model", place: int, classes: tuple[str, ...], spec: Spec, source: str
) -> "tf_keras.Model":
    """The model with probabilities of the classes as one of its outputs."""
    name = model.output_names[place]
    told = f"{source}: output {name!r}"
    _check_floats(model.outputs[place], told)
    shape, inputs = tuple(model.outputs[place].shape[1:]), [tensor.shape for tensor in spec.inputs.values()]
    single = shape == (1,) and len(classes) == 2
    if shape != (len(classes),) and not single:
        raise ModelError(
            f"{told} gives {list(shape)}; the data's classes ask for [{len(classes)}]{_other(shape, inputs)}"
        )
    answer = of(model, examples(model, spec), source)[place]
    _check_finite(answer, name, source)
    if not single and answer.min() >= 0 and np.abs(answer.sum(axis=1) - 1).max() <= NEAR:
        return model
    return _completed(model, place, _kind(model.outputs[place], answer, told, single=single), classes, source)


def numbers(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The model, if it gives the values of a regression, or the probability of each label by itself.

    Raises:
        ModelError: it does not.
    """
    names = list(model.output_names)
    if len(names) > 1 and LABEL not in names:
        raise ModelError(f"{source}: gives {', '.join(names)}; of several outputs the one that is judged is {LABEL!r}")
    place = names.index(LABEL) if len(names) > 1 else 0
    _check_floats(model.outputs[place], f"{source}: output {names[place]!r}")
    shape = tuple(model.outputs[place].shape[1:])
    if shape != (spec.answers,):
        raise ModelError(f"{source}: gives {list(shape)}; the {spec.task} of the data asks for [{spec.answers}]")
    answer = of(model, examples(model, spec), source)[place]
    _check_finite(answer, names[place], source)
    if spec.task == "multilabel" and (answer.min() < 0 or answer.max() > 1):
        raise ModelError(
            f"{source}: gives {answer.min():.3g} to {answer.max():.3g} for random inputs; the probability of each "
            "label by itself expected: end it in sigmoid units"
        )
    return model


def scores(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The model, if it gives a score of each token at each place of a window.

    Raises:
        ModelError: it does not.
    """
    (tensor,) = spec.inputs.values()
    wanted, shapes = (*tensor.shape, spec.answers), [tuple(each.shape[1:]) for each in model.outputs]
    if shapes != [wanted]:
        raise ModelError(f"{source}: gives {shapes}; a score of each token at each place is expected, {list(wanted)}")
    (answer,) = of(model, examples(model, spec), source)
    _check_finite(answer, model.output_names[0], source)
    if answer.min() >= 0 and np.abs(answer.sum(axis=-1) - 1).max() <= NEAR:
        raise ModelError(f"{source}: gives probabilities; the scores before the softmax are expected")
    return model


def _other(shape: tuple[int | None, ...], inputs: list[tuple[int, ...]]) -> str:
    """What another output than of classes may be meant for."""
    if shape in inputs:
        return ": it reconstructs its input: set `prepare.task: reconstruction`, with class 0 normal and 1 anomalous"
    if shape == (1,):
        return f": one number an example, as of a regression; {SCOPE}"
    return f"; {SCOPE}"


def on_one_axis(model: "tf_keras.Model") -> "tf_keras.Model":
    """The model; where its only output is one number without an axis, or has further axes of 1, with one axis."""
    import tf_keras as keras

    tensor, shape = model.outputs[0], tuple(model.outputs[0].shape[1:])
    if len(model.outputs) > 1 or len(shape) == 1 or None in shape or sum(size > 1 for size in shape) > 1:
        return model
    row = keras.layers.Reshape((max(shape, default=1),), name=_free(model, f"{model.output_names[0]}_row"))
    return keras.Model(model.inputs, row(tensor), name=model.name)


def _kind(tensor: Any, answer: Array, told: str, *, single: bool) -> str:
    """Of answers that are no probabilities of all classes: `sigmoid` of one unit, or `logits`.

    Raises:
        ModelError: they are neither.
    """
    last = _last(tensor)
    within = answer.min() >= 0 and answer.max() <= 1
    if last == {"linear"} or (last == {"log_softmax"} and not single):  # whose softmax is the softmax itself
        return "logits"
    if single and last == {"softmax"}:
        raise ModelError(f"{told} is a softmax of one unit, which is 1 whatever comes in; give it a sigmoid or 2 units")
    if single and within and last <= {"sigmoid", "hard_sigmoid", None}:
        return "sigmoid"
    given = f"{told} gives {answer.min():.3g} to {answer.max():.3g} for random inputs"
    if last == {"sigmoid"} or within:
        raise ModelError(f"{given}, which do not sum to 1, as of several labels at once; {SCOPE}")
    raise ModelError(f"{given}, which are neither probabilities nor logits of a linear last layer; {SCOPE}")


def _last(tensor: Any) -> set[str | None]:
    """The activations that numbers went through last, by name; None stands for what has no such name."""
    layer = tensor._keras_history.layer
    kind, name = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", None)
    function = layer.get_config().get("function") if kind == "TFOpLambda" else None
    if kind == "Softmax" or function == "nn.log_softmax":
        return {"softmax" if kind == "Softmax" else "log_softmax"}
    if kind in STRAIGHT or function in STRAIGHT_OPERATORS or (kind == "Activation" and name == "linear"):
        return set().union(*map(_last, tensor.node.keras_inputs))
    return {name}


def _completed(
    model: "tf_keras.Model", place: int, kind: str, classes: tuple[str, ...], source: str
) -> "tf_keras.Model":
    """The model with another layer at the end of one output."""
    import tf_keras as keras

    outputs = list(model.outputs)
    tensor, name = outputs[place], _free(model, "probabilities")
    if len(outputs) > 1:  # the layer that comes behind it is called like the output from here on
        name = model.output_names[place]
        tensor._keras_history.layer._name = _free(model, f"{name}_logits")
    if tensor.shape[-1] == 1:
        log.warning("%s: its one unit tells %r from %r; from here on by two probabilities", source, *classes[::-1])
        outputs[place] = _pair(tensor, kind, name)
    else:
        log.warning("%s: it ends in logits; a softmax follows them from here on", source)
        outputs[place] = keras.layers.Softmax(name=name)(tensor)
    return keras.Model(model.inputs, outputs if len(outputs) > 1 else outputs[0], name=model.name)


def _pair(tensor: Any, kind: str, name: str) -> Any:
    """Two probabilities for the one number of a unit: softmax(-z/2, z/2) is (1 - sigmoid(z), sigmoid(z))."""
    import tf_keras as keras

    layer = tensor._keras_history.layer
    ends = {"sigmoid": "sigmoid", "linear": "logits"}
    if (
        type(layer) is keras.layers.Dense and ends.get(layer.activation.__name__) == kind
    ):  # half of its weights, with either sign, need no operator more
        weights = [np.concatenate([-weight / 2, weight / 2], axis=-1) for weight in layer.get_weights()]
        made = keras.layers.Dense.from_config(layer.get_config() | {"units": 2, "activation": "softmax", "name": name})
        found = made(*tensor.node.call_args)
        made.set_weights(weights)
        return found
    if kind == "sigmoid":
        other = keras.layers.Rescaling(-1.0, 1.0, name=f"{name}_other")(tensor)
        return keras.layers.Concatenate(name=name)([other, tensor])
    halves = [keras.layers.Rescaling(half, name=f"{name}_{i}")(tensor) for i, half in enumerate((-0.5, 0.5))]
    return keras.layers.Softmax(name=name)(keras.layers.Concatenate(name=f"{name}_logits")(halves))


def _free(model: "tf_keras.Model", name: str) -> str:
    """A name that none of the model's layers has."""
    taken = {layer.name for layer in model.layers}
    return next(each for each in (name, *(f"{name}_{i}" for i in range(1, len(taken) + 2))) if each not in taken)


def _check_floats(tensor: Any, told: str) -> None:
    if not tensor.dtype.is_floating:
        raise ModelError(
            f"{told} gives {tensor.dtype.name}: an answer that was chosen already, as by argmax or a threshold; save "
            "the model without that step, up to the probabilities, logits or values that it is chosen by"
        )


def _check_finite(answer: Array, name: str, source: str) -> None:
    if wrong := int(np.count_nonzero(~np.isfinite(answer))):
        raise ModelError(
            f"{source}: output {name!r} gives NaN or infinity in {wrong} of {answer.size} numbers for random inputs; "
            "train it anew, or look at its weights and its normalisation"
        )


def of(model: "tf_keras.Model", inputs: list[Array], source: str) -> list[Array]:
    """What a model answers, float64 [n, ...] by output.

    Raises:
        ModelError: it cannot run on such inputs.
    """
    import tensorflow as tf

    given = [tf.cast(array, tensor.dtype) for array, tensor in zip(inputs, model.inputs, strict=True)]
    try:
        found = model(given if len(given) > 1 else given[0], training=False)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        message = error.message if isinstance(error, tf.errors.InvalidArgumentError) else str(error)
        raise ModelError(f"{source}: cannot run on the data: {' '.join(message.split(' [')[0].split())}") from None
    return [np.asarray(tf.cast(array, tf.float64)) for array in tf.nest.flatten(found)]


def examples(model: "tf_keras.Model", spec: Spec, names: list[str] | None = None, *, raw: bool = False) -> list[Array]:
    """A few examples such as the data may have, in the model's order and shapes, and padded.

    Args:
        model: its inputs are called as the data's, or `names` says which is which.
        spec: the data's inputs.
        names: of the data's inputs, in the model's order.
        raw: pixels as they are, from 0 to 255, whatever `prepare` has made of them.
    """
    rng = np.random.default_rng(0)
    made: list[Any] = []
    for place, (name, own) in enumerate(zip(names or model.input_names, model.inputs, strict=True)):
        tensor, shape = spec.inputs[name], (EXAMPLES, *spec.inputs[name].shape)
        if tensor.pixels is not None:
            values: Any = rng.integers(0, 256, shape)
            values[0] //= 16  # dark and bright ones stay so, however many neighbours are averaged
            values[1] = 255 - values[1] // 16
            if not raw:
                values = (values - np.array(tensor.pixels.mean)) / np.array(tensor.pixels.scale)
        else:
            real = tensor.dtype.startswith("float") and padding.words(model, own) is None
            count = tensor.vocabulary_size or padding.words(model, own) or 1
            values = rng.standard_normal(shape) if real else rng.integers(0, count, shape)
            padding.pad(values, padding.kept_out(model, real=real), place)
        made.append(values.reshape(EXAMPLES, *other_rank(shape[1:], len(own.shape) - 1)))
    return made


def other_rank(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """A shape with so many axes: a last one of 1 is added, or left out, or it is as it is."""
    return {len(shape): shape, len(shape) - 1: shape[:-1], len(shape) + 1: (*shape, 1)}[rank]
