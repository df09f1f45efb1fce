"""What a model is fitted to: a loss for each of its outputs that the data has a target for, and a teacher's answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ModelError
from tasks.examples import Array, Examples
from tasks.examples.dataset import LABEL, NORMAL, RECONSTRUCTION, TEACHER
from tasks.params.compress import Method
from tasks.quality import heads
from tasks.quality.heads import Head
from tasks.training.asked import Asked

if TYPE_CHECKING:
    import tf_keras

    from tasks.params import Training

Targets = dict[str, Array]
Loss = Callable[[Any, Any], Any]
METRICS: dict[str, list[str]] = {"classes": ["accuracy"], "labels": ["binary_accuracy"], "values": [], "tokens": []}
TINY = 1e-30  # added to a probability before its logarithm


def next_tokens(y_true: Any, y_pred: Any) -> Any:
    """The cross-entropy of next tokens, integers [batch, length], from their scores [batch, length, vocabulary]."""
    import tf_keras as keras

    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


LOSSES: dict[str, str | Loss] = {
    "classes": "sparse_categorical_crossentropy",
    "labels": "binary_crossentropy",
    "values": "mean_squared_error",
    "tokens": next_tokens,
}


@dataclass(frozen=True)
class Objective:
    """Everything by the names of the model's outputs."""

    losses: dict[str, str | Loss]
    metrics: dict[str, list[str | Loss]]
    train: Targets
    validation: Targets  # of plain losses, whoever teaches
    judged: Examples  # the validation examples that those targets are of
    ask: Callable[[Any, Any], Any] | None = None  # a teacher, of each batch of training: see `Asked.beside`


def objective(
    model: "tf_keras.Model",
    train: Examples,
    validation: Examples,
    params: "Training",
    known: tuple[Head, ...] | None = None,
) -> Objective:
    """Choose the losses and shape the targets.

    `tasks.quality.heads` says which target an output learns. Class numbers are learned by cross-entropy from
    probabilities, each of several labels by its binary cross-entropy, values by mean squared error, the next tokens of
    a text by their cross-entropy from scores, the mean over all places. Where the data has a teacher's answers and
    `params` ask for them, they are learned beside the target: see `taught_classes`, `taught_tokens` and `taught_plain`.

    Args:
        model: what is fitted.
        train: what to.
        validation: what it is judged by meanwhile.
        params: whether a teacher is listened to.
        known: the heads, where the outputs have other names than those that they were found by.

    Raises:
        ModelError: no output has a target, or the teacher's answers do not fit the output, or classes are to be
            weighed where there are none.
    """
    found = heads.find(model, train.targets) if known is None else known
    if params.class_weights != "none" and not any(head.kind == "classes" for head in found):
        told = ", ".join(f"{head.target} is {head.kind}" for head in found)
        raise ModelError(f"class_weights: they are of classes, each example of one; {told}: leave them out")
    names, losses, metrics = model.output_names, dict[str, str | Loss](), dict[str, list[str | Loss]]()
    for head in found:
        losses[names[head.place]] = LOSSES[head.kind]
        if head.kind == "classes" and params.class_weights == "balanced":
            losses[names[head.place]] = balanced(train.targets[head.target], model.outputs[head.place].shape[1])
        metrics[names[head.place]] = list(METRICS[head.kind])
    learned = _targets(model, found, train)
    ask = None
    if isinstance(params, Method) and params.teacher is not None and TEACHER in train.targets:
        output, kind, given = _one(found, model), found[0].kind, train.targets[TEACHER]
        if isinstance(given, Asked):
            if kind not in ASKED:
                raise ModelError(f"augment: a teacher is asked about changed images for classes alone, not for {kind}")
            losses[output] = ASKED[kind](params.teacher_weight, params.temperature)
            metrics[output] = [accuracy] if kind == "classes" else []
            ask = _fitting(given, model, kind).beside(output)
        elif kind == "classes":
            answers = _answers(given, model.output_shape, probabilities=True)
            losses[output] = taught_classes(params.teacher_weight, params.temperature)
            metrics[output] = [accuracy]
            learned[output] = np.concatenate([learned[output][:, None].astype(np.float32), answers], axis=1)
        else:
            answers = _answers(given, model.output_shape, probabilities=kind != "values")
            losses[output], metrics[output] = taught_plain(params.teacher_weight, LOSSES[kind]), []
            learned[output] = np.stack([learned[output].astype(np.float32), answers], axis=1)
    if RECONSTRUCTION in validation.targets:  # what is anomalous shall not be reconstructed well
        validation = validation.take(np.flatnonzero(validation.targets[LABEL] == NORMAL))
    return Objective(losses, metrics, learned, _targets(model, found, validation), validation, ask)


def balanced(labels: Array, classes: int) -> Loss:
    """Cross-entropy in which each class has the same weight in sum: n / (classes there * examples of the class).

    As scikit-learn's `class_weight="balanced"` has it: King and Zeng, "Logistic regression in rare events data" (2001).

    Args:
        labels: class numbers of training, [n].
        classes: how many there are; of one without an example the weight means nothing.
    """
    import tensorflow as tf
    import tf_keras as keras

    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))

    def loss(y_true: Any, y_pred: Any) -> Any:
        number = tf.cast(tf.reshape(y_true, [-1]), tf.int32)
        plain = keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
        return plain * tf.gather(tf.constant(weights, plain.dtype), number)

    return loss


def taught_classes(weight: float, temperature: float) -> Loss:
    """The loss of Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), between probabilities.

    weight * T^2 * KL(teacher_T || student_T) + (1 - weight) * cross-entropy with the label, per example, where p_T is
    proportional to p^(1 / T): the softmax of log p / T.

    Args:
        weight: of the teacher against the label, from 0 to 1.
        temperature: T, at least 1.

    Returns:
        A Keras loss of `y_true` float32 [batch, 1 + classes], the label and the teacher's probabilities, and `y_pred`
        float32 [batch, classes]. Labels alone, [batch, 1], are judged by cross-entropy.
    """
    import tensorflow as tf
    import tf_keras as keras

    def taught(y_true: Any, y_pred: Any) -> Any:
        answers = y_true[:, 1:]
        plain = keras.losses.sparse_categorical_crossentropy(y_true[:, :1], y_pred)
        if not answers.shape[-1]:
            return plain
        theirs, ours = (tf.math.log(p + TINY) for p in (answers, y_pred))
        return _mixed(weight, _soft(theirs, ours, temperature), plain)

    return taught


def taught_tokens(weight: float, temperature: float) -> Loss:
    """The same of every token of a text, between scores.

    Args:
        weight: see `taught_classes`.
        temperature: likewise.

    Returns:
        A Keras loss of `y_true` float32 [batch, length, 1 + vocabulary], the next tokens and the teacher's scores, and
        `y_pred` float32 [batch, length, vocabulary]. Tokens alone, [batch, length], are judged by cross-entropy.
    """

    def taught(y_true: Any, y_pred: Any) -> Any:
        if len(y_true.shape) < len(y_pred.shape):
            return next_tokens(y_true, y_pred)
        return _mixed(weight, _soft(y_true[..., 1:], y_pred, temperature), next_tokens(y_true[..., 0], y_pred))

    return taught


def _soft(theirs: Any, ours: Any, temperature: float) -> Any:
    """T^2 * KL(teacher_T || student_T), of scores."""
    import tensorflow as tf

    theirs, ours = (tf.nn.log_softmax(scores / temperature) for scores in (theirs, ours))
    return temperature**2 * tf.reduce_sum(tf.exp(theirs) * (theirs - ours), axis=-1)


def _mixed(weight: float, soft: Any, plain: Any) -> Any:
    """By weight; a label that counts nothing is not looked at."""
    return soft if weight == 1 else weight * soft + (1 - weight) * plain


def taught_plain(weight: float, loss: str | Loss) -> Loss:
    """The loss weight * loss(teacher, student) + (1 - weight) * loss(target, student), per example.

    Args:
        weight: of the teacher against the target, from 0 to 1.
        loss: the plain one, or Keras's name of it.

    Returns:
        A Keras loss of `y_true` float32 [batch, 2, ...], the target and the teacher's answer, and `y_pred` float32
        [batch, ...]. Targets alone, [batch, ...], are judged by the plain one.
    """
    import tf_keras as keras

    plain = keras.losses.get(loss)

    def both(y_true: Any, y_pred: Any) -> Any:
        if len(y_true.shape) == len(y_pred.shape):
            return plain(y_true, y_pred)
        target, answer = (plain(y_true[:, i], y_pred) for i in (0, 1))
        return weight * answer + (1 - weight) * target

    return both


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether the likeliest class is the label, `y_true[:, 0]`, whatever stands beside it."""
    import tf_keras as keras

    return keras.metrics.sparse_categorical_accuracy(y_true[:, :1], y_pred)


ASKED: dict[str, Callable[[float, float], Loss]] = {"tokens": taught_tokens, "classes": taught_classes}


def _targets(model: "tf_keras.Model", found: tuple[Head, ...], examples: Examples) -> Targets:
    """What each output is to give, by its name, in its shape: Keras would spread [n] over [n, 1] to [n, n]."""
    targets = {}
    for head in found:
        values, shape = examples.targets[head.target], model.outputs[head.place].shape[1:]
        targets[model.output_names[head.place]] = (
            values if head.kind in ("classes", "tokens") else values.reshape(len(values), *shape)
        )
    return targets


def _one(found: tuple[Head, ...], model: "tf_keras.Model") -> str:
    names: list[str] = model.output_names
    if len(names) > 1:
        raise ModelError(f"{model.name}: a teacher teaches one output; the model has {', '.join(names)}")
    return names[found[0].place]


def _fitting(asked: Asked, model: "tf_keras.Model", kind: str) -> Asked:
    """A teacher that knows the same tokens, or classes."""
    theirs, ours = (each.output_shape for each in (asked.teacher, model))
    if theirs != ours and kind == "classes":
        raise ModelError(f"the teacher's answers: {list(ours[1:])} as the model's expected; received {theirs}")
    if theirs != ours:
        raise ModelError(
            f"the teacher gives scores of {theirs[-1]:,} tokens at {theirs[1]} places, the model of {ours[-1]:,} at "
            f"{ours[1]}: a teacher has the same tokenizer, and as many rows of an embedding"
        )
    return asked


def _answers(answers: Any, shape: tuple[int | None, ...], *, probabilities: bool) -> Array:
    if not isinstance(answers, np.ndarray) or answers.shape[1:] != shape[1:]:
        received = list(answers.shape[1:]) if isinstance(answers, np.ndarray) else f"{len(answers)} outputs"
        raise ModelError(f"the teacher's answers: {list(shape[1:])} as the model's expected; received {received}")
    if probabilities and answers.min() < 0:
        raise ModelError("the teacher's answers: probabilities expected; received negative ones: end it in a softmax")
    return answers
