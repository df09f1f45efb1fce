"""A model of one's own, fitted to the data: one plain graph in float32, whose inputs are called as the data's."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ModelError
from tasks.examples import Array
from tasks.examples.dataset import Pixels, Spec, TensorSpec
from tasks.foreign import answers, flat, limits, pixels

if TYPE_CHECKING:
    import tf_keras

APART = {  # how far float32 may move the answers, as the root mean square of the change over theirs, by layers' types
    "float64": 1e-4,
    "float16": 0.05,
    "bfloat16": 0.3,
}
SAME = 1e-5  # likewise, where all is float32 already
RESTORED = 1e-3  # likewise, where pixels were scaled and are scaled back
TINY = 1e-6  # answers are taken for at least so large
log = logging.getLogger(__name__)


def adapt(model: "tf_keras.Model", spec: Spec, source: str) -> "tf_keras.Model":
    """The same network for the data: its inputs' names and shapes, outputs by name, and what is asked of the data.

    A single input may have any name; several are matched by name. Axes that the model leaves open take the data's
    size, and a last axis of 1 may be missing on either side. Where the model scales pixels itself, it is given them as
    they were. Models within the model are taken apart, and layers of another precision compute in float32. What
    becomes of the outputs: see `tasks.foreign.answers`.

    Raises:
        ModelError: inputs or outputs do not fit the data; the message has both sides.
    """
    names = spec.names_of(model.input_names, source)
    for name, own, tensor in zip(names, model.input_names, model.inputs, strict=True):
        _check_input(own, tensor, spec.inputs[name], source)
    model = _with_inputs_of(_plain(model, spec, names, source), spec, names, source)
    limits.check_sizes(Path(source), model)  # of axes that the file left open
    model = _with_outputs_by_name(model)
    if spec.task == "reconstruction":
        return answers.reconstruction(model, spec, source)
    if spec.task == "language":
        return answers.scores(model, spec, source)
    model = answers.further(answers.on_one_axis(model), spec, source)
    if spec.task in ("regression", "multilabel"):
        return answers.numbers(model, spec, source)
    return answers.probabilities(model, spec, source)


def _check_input(name: str, tensor: Any, wanted: TensorSpec, source: str) -> None:
    own, data = tuple(tensor.shape[1:]), wanted.shape
    longer = data[-1:] == (1,) and _fits(own, data[:-1])
    shorter = own[-1:] == (1,) and _fits(own[:-1], data)
    if not (_fits(own, data) or longer or shorter):
        raise ModelError(f"{source}: input {name!r} takes {list(own)}; the data has {list(data)}")
    if tensor.dtype.is_floating != wanted.dtype.startswith("float") and wanted.pixels is None:
        hint = ": give floats there (`x.astype('float32')`)" if tensor.dtype.is_floating else ""
        raise ModelError(f"{source}: input {name!r} takes {tensor.dtype.name}; the data has {wanted.dtype}{hint}")


def _fits(own: tuple[int | None, ...], data: tuple[int, ...]) -> bool:
    return len(own) == len(data) and all(size in (None, other) for size, other in zip(own, data, strict=True))


def _plain(model: "tf_keras.Model", spec: Spec, names: list[str], source: str) -> "tf_keras.Model":
    """The model itself where it is plain already, else one that is and that answers alike."""
    coarse = flat.precisions(model)
    if not coarse and flat.is_flat(model):
        return model
    if coarse:
        log.warning("%s: it computes in %s; from here on in float32", source, ", ".join(coarse))
    made = flat.flat(model)
    allowed = max((bound for name, bound in APART.items() if any(name in each for each in coarse)), default=SAME)
    given = answers.examples(model, spec, names, raw=True)
    _check_same(answers.of(model, given, source), answers.of(made, given, source), allowed, source)
    return made


def _check_same(before: list[Array], after: list[Array], allowed: float, source: str) -> None:
    for old, new in zip(before, after, strict=True):
        known = np.isfinite(old)  # halves overflow where float32 does not
        moved, size = (float(np.sqrt(np.square(x[known]).mean())) if known.any() else 0.0 for x in (new - old, old))
        if not moved <= allowed * max(size, TINY):
            raise ModelError(
                f"{source}: built anew of float32 layers it answers otherwise than the file (by {moved:.2g}, where "
                f"answers are {size:.2g}); save it as one model of float32 layers, for the numbers that prepare gives"
            )


def _with_inputs_of(model: "tf_keras.Model", spec: Spec, names: list[str], source: str) -> "tf_keras.Model":
    import tf_keras as keras

    wanted = [(name, (None, *spec.inputs[name].shape), spec.inputs[name].dtype) for name in names]
    given = [(n, tuple(t.shape), t.dtype.name) for n, t in zip(model.input_names, model.inputs, strict=True)]
    inputs = [keras.Input(batch_shape=shape, dtype=dtype, name=name) for name, shape, dtype in wanted]
    undone = _undone(model, spec, names, source)
    fronts = [
        _front(tensor, own, undone.get(name), source)
        for tensor, own, name in zip(inputs, model.inputs, names, strict=True)
    ]
    changed = any(front is not tensor for front, tensor in zip(fronts, inputs, strict=True))
    if wanted == given and not changed and not isinstance(model.input, dict):
        return model
    try:
        if changed:
            clone = flat.flat(model, fronts)
        else:
            clone = keras.models.clone_model(model, input_tensors=inputs)
            clone.set_weights(model.get_weights())
    except (TypeError, ValueError) as error:
        raise ModelError(f"{source}: does not fit inputs of {wanted}: {' '.join(str(error).split())[:200]}") from None
    if changed:
        _check_same(
            answers.of(model, answers.examples(model, spec, names, raw=True), source),
            answers.of(clone, answers.examples(clone, spec), source),
            RESTORED,
            source,
        )
    return keras.Model(clone.inputs, clone.output, name=clone.name) if isinstance(clone.input, dict) else clone


def _undone(model: "tf_keras.Model", spec: Spec, names: list[str], source: str) -> dict[str, Pixels]:
    """What `prepare` has made of pixels, of the inputs where the model expects them as they were."""
    raw, ready = (answers.examples(model, spec, names, raw=each) for each in (True, False))
    made = {name: spec.inputs[name].pixels for name in names}
    return {
        name: before
        for own, (name, before) in zip(model.inputs, made.items(), strict=True)
        if before is not None and not before.raw and pixels.scaled_by(model, own, raw, ready, source)
    }


def _front(tensor: Any, own: Any, before: Pixels | None, source: str) -> Any:
    """What stands between an input of the data and the model's own: nothing, where they are alike."""
    import tf_keras as keras

    name, shape = tensor.name, tuple(tensor.shape[1:])
    if before is not None:
        log.warning(
            "%s: it scales pixels itself, so what prepare has made of them is undone in front of it; "
            "`prepare.normalize: none` saves both",
            source,
        )
        tensor = pixels.restored(tensor, before, f"{name}_pixels")
    if len(shape) != len(own.shape) - 1:
        tensor = keras.layers.Reshape(answers.other_rank(shape, len(own.shape) - 1), name=f"{name}_shape")(tensor)
    return tensor


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
