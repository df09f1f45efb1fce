"""A language model from a checkpoint: see `tasks.checkpoints` and `tasks.decoder`."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.checkpoints import load
from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.params.models import Decoder

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Decoder, spec: "Spec") -> "tf_keras.Model":
    """Read the model in `params.source` with its weights, and have it tell what the data ask for.

    Input: int32 [batch, length], tokens. Output, where the task is language: float32 [batch, length, vocabulary], the
    scores of every token at each place of the window. Else of the token that follows it, [batch, vocabulary], the
    probabilities; the layer `logits` has those scores.

    Raises:
        ModelError: the checkpoint is not supported or not whole, or the data are not windows of its tokens.
    """
    import tf_keras as keras

    checkpoint = load.load(Path(params.source))
    (name, tensor), *others = spec.inputs.items()
    tasks = ("classification", "language")
    if others or tensor.vocabulary_size is None or len(tensor.shape) != 1 or spec.task not in tasks:
        raise ModelError(
            f"family decoder takes one input of tokens, and tells the next one; the data has {', '.join(spec.inputs)} "
            f"for {spec.task}"
        )
    rows, classes = checkpoint.spec.vocabulary, max(len(spec.classes), tensor.vocabulary_size)
    if classes > rows:
        raise ModelError(f"{params.source}: knows {rows:,} tokens; the data has {classes:,}: they are not its own")
    if tensor.shape[0] > checkpoint.spec.room:
        raise ModelError(
            f"{params.source}: made for {checkpoint.spec.room:,} tokens; a window of the data has {tensor.shape[0]:,}"
        )
    model = checkpoint.model(tensor.shape[0], name)
    if spec.task == "language":
        return model
    last = keras.layers.Reshape((rows,))(keras.layers.Cropping1D((tensor.shape[0] - 1, 0))(model.output))
    answers = keras.layers.Activation("softmax", name="probabilities")(last)
    return keras.Model(model.input, answers, name="decoder")


FAMILY = ModelFamily(schema=Decoder, build=build)
