"""A language model from a checkpoint: see `tasks.checkpoints` and `tasks.decoder`."""

from typing import TYPE_CHECKING

from tasks.checkpoints import load
from tasks.errors import ModelError
from tasks.members import ModelFamily
from tasks.models.tokens import telling, window
from tasks.packages import located
from tasks.params.models import Decoder

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec


def build(params: Decoder, spec: "Spec") -> "tf_keras.Model":
    """Read the model in `params.source` with its weights, and have it tell what the data ask for.

    Input: int32 [batch, length], tokens. Output: see `tasks.models.tokens.telling`.

    Raises:
        ModelError: the checkpoint is not supported or not whole, or the data are not windows of its tokens.
    """
    checkpoint = load.load(located(params.source))
    name, tensor, classes = window(spec, params.family)
    rows = checkpoint.spec.vocabulary
    if classes > rows:
        raise ModelError(f"{params.source}: knows {rows:,} tokens; the data has {classes:,}: they are not its own")
    if tensor.shape[0] > checkpoint.spec.room:
        raise ModelError(
            f"{params.source}: made for {checkpoint.spec.room:,} tokens; a window of the data has {tensor.shape[0]:,}"
        )
    return telling(checkpoint.model(tensor.shape[0], name), spec)


FAMILY = ModelFamily(schema=Decoder, build=build)
