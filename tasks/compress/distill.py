"""Distillation: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015).

Its loss is in `tasks.training.losses`. Features, if asked for, after Romero et al., "FitNets: Hints for Thin Deep
Nets" (2014), all in one go with the answers.
"""

from typing import TYPE_CHECKING, Any

from tasks.compress import masks
from tasks.errors import ModelError, suggest
from tasks.examples import dataset
from tasks.members import FAMILIES, CompressionMethod
from tasks.params.compress import Distill
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples


def apply(
    model: "tf_keras.Model",
    params: Distill,
    train: "Examples",
    validation: "Examples",
    on_epoch: fit.OnEpoch,
    teacher: "tf_keras.Model",
) -> tuple["tf_keras.Model", fit.History]:
    """Fit a student to the answers in `train`, and to the teacher's features where `params.features` pairs layers.

    Args:
        model: the parent, which is the student, and keeps the zeros of what was pruned, unless `params.model`
            describes another one, of new weights.
        params: the student's family or None, the pairs of layers, and the fitting.
        train: its targets hold the teacher's answers.
        validation: judged by the labels alone.
        on_epoch: called after each epoch.
        teacher: the model that gave the answers, whose features are the hints.

    Raises:
        ModelError: a layer named in `params.features` does not exist, or two that are paired differ in positions.
    """
    student = model
    if params.model is not None:
        student = FAMILIES.load(params.model.family).build(params.model, dataset.spec())
    fitted = student
    if params.features:
        fitted = hinted(student, teacher, params.features)
    callbacks = masks.keep(student)
    return student, fit.fit(fitted, train, validation, params, label="distill", callbacks=callbacks, on_epoch=on_epoch)


def hinted(student: "tf_keras.Model", teacher: "tf_keras.Model", pairs: dict[str, str]) -> "tf_keras.Model":
    """A model of the student's layers, inputs and outputs whose loss, while training, holds that of its features too.

    For each pair: the mean squared error between the student's feature, projected linearly onto the teacher's channels
    (a 1x1 convolution, learned beside), and the teacher's. The teacher runs on every batch and is not trained.

    Args:
        student: its layers are shared with the result.
        teacher: takes the student's inputs, by name.
        pairs: names of the student's layers, each with that of a layer of the teacher.

    Raises:
        ModelError: as `apply` says.
    """
    import tf_keras as keras

    model = keras.Model(student.inputs, student.outputs, name=student.name)
    teacher.trainable = False
    taken = dict(zip(model.input_names, model.inputs, strict=True))
    for ours, theirs in pairs.items():
        feature, hint = _layer(student, ours, "student").output, _layer(teacher, theirs, "teacher").output
        if feature.shape[1:-1] != hint.shape[1:-1]:
            raise ModelError(
                f"distill.features: the student's {ours} gives {list(feature.shape[1:])}, the teacher's {theirs} "
                f"{list(hint.shape[1:])}; all but the last axis must agree: pair layers of equal resolution"
            )
        observer = keras.Model(teacher.inputs, hint, name=f"{ours}_teacher")
        hint = observer([taken[name] for name in observer.input_names], training=False)
        projection = keras.layers.Dense(hint.shape[-1], name=f"{ours}_projection")
        model.add_loss(_difference(f"{ours}_difference")([projection(feature), hint]))
    return model


def _layer(model: "tf_keras.Model", name: str, whose: str) -> Any:
    layers = {layer.name: layer for layer in model.layers if layer.__class__.__name__ != "InputLayer"}
    if name not in layers:
        raise ModelError(f"distill.features: the {whose} {model.name} has no layer {name!r}; {suggest(name, layers)}")
    return layers[name]


def _difference(name: str) -> Any:
    """A layer that gives the mean squared difference of two tensors while training, and 0 else."""
    import tensorflow as tf
    import tf_keras as keras

    class Difference(keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
        def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: FBT001  # as Keras calls it
            ours, theirs = inputs
            return tf.reduce_mean(tf.math.squared_difference(ours, theirs)) if training else tf.constant(0.0)

    return Difference(name=name)


METHOD = CompressionMethod(schema=Distill, apply=apply, hinted=True, reshapes=True, renames=True)
