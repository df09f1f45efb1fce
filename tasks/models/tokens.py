"""What families of texts have in common: how tokens go in, and what language models are asked for."""

from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.models import vectors
from tasks.params.models import Words
from tasks.training import padding

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec, TensorSpec


def embedded(inputs: Any, tensor: "TensorSpec", width: int, params: Words, *, averaged: bool = False) -> Any:
    """A vector of each token that is learnt, float32 [batch, length, width]; whole tokens are dropped in training.

    Where they are to be averaged that of padding is 0; `tasks.training.padding` says why.

    Raises:
        DataError: the file of vectors is not as it should be.
        ModelError: there is one, and the data are no words.
    """
    import tf_keras as keras

    assert tensor.vocabulary_size is not None  # the family has looked
    layer = keras.layers.Embedding(tensor.vocabulary_size, width)
    x = layer(inputs)
    if params.vectors:
        layer.set_weights([vectors.beginning(params.vectors, tensor.words, *layer.get_weights())])
    if averaged and tensor.words:  # what is no text has no padding
        padding.mute(layer)
    dropout = params.token_dropout
    return keras.layers.Dropout(dropout, noise_shape=(None, *tensor.shape, 1))(x) if dropout else x


def window(spec: "Spec", family: str) -> tuple[str, "TensorSpec", int]:
    """The data's only input, by its name, and how many tokens there are.

    Raises:
        ModelError: the data are not windows of tokens of which one, or each, is to be told.
    """
    (name, tensor), *others = spec.inputs.items()
    tasks = ("classification", "language")
    if others or tensor.vocabulary_size is None or len(tensor.shape) != 1 or spec.task not in tasks:
        raise ModelError(
            f"family {family} takes one input of tokens, and tells the next one; the data has {', '.join(spec.inputs)} "
            f"for {spec.task}"
        )
    return name, tensor, max(len(spec.classes), tensor.vocabulary_size)


def telling(model: "tf_keras.Model", spec: "Spec") -> "tf_keras.Model":
    """A decoder that gives what the data ask for.

    Args:
        model: int32 [batch, length] gives scores, float32 [batch, length, vocabulary].
        spec: of the data.

    Returns:
        Where the task is language, the model. Else the same with the probabilities of the token that follows the
        window, float32 [batch, vocabulary]; the layer `logits` has those scores.
    """
    import tf_keras as keras

    if spec.task == "language":
        return model
    _, length, rows = model.output_shape
    last = keras.layers.Reshape((rows,))(keras.layers.Cropping1D((length - 1, 0))(model.output))
    answers = keras.layers.Activation("softmax", name="probabilities")(last)
    return keras.Model(model.input, answers, name="decoder")
