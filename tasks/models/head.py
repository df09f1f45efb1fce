"""The end of every family that reconstructs nothing: what is told of an example."""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError

if TYPE_CHECKING:
    from tasks.examples.dataset import Spec


def answer(x: Any, spec: "Spec") -> Any:
    """A dense layer over features [batch, n]: float32 [batch, answers].

    They are the probabilities of the classes, which sum to 1, or of each label by itself, or a regression's values.

    Raises:
        ModelError: every token of a window is to be told.
    """
    import tf_keras as keras

    if spec.task == "language":
        raise ModelError(
            "this family answers once a window; where every token is told (task language) use `transformer`"
        )
    if spec.values is not None:  # steps of an optimizer are small: the last layer learns numbers around 0 and 1
        scale, mean = (list(each) if len(each) > 1 else each[0] for each in (spec.values.scale, spec.values.mean))
        return keras.layers.Rescaling(scale, mean, name="values")(keras.layers.Dense(spec.answers)(x))
    activation = "sigmoid" if spec.task == "multilabel" else "softmax"
    return keras.layers.Dense(spec.answers, activation=activation, name="probabilities")(x)
