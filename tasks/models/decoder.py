"""A language model from a checkpoint: see `tasks.checkpoints` and `tasks.decoder`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.checkpoints import load, tokenizer
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
    if tensor.tokenized:
        _check_words(checkpoint.path, spec.classes)
    return telling(checkpoint.model(tensor.shape[0], name), spec)


def _check_words(path: Path, classes: Sequence[str]) -> None:
    """See that a number means the same token to a checkpoint as in the data, where it says what its tokens are.

    Raises:
        ModelError: another one.
    """
    words = tokenizer.known(path) or []
    for number, (theirs, ours) in enumerate(zip(words, classes, strict=False)):  # some know more tokens than they use
        if theirs != ours:
            raise ModelError(
                f"{path}: its token {number} is {theirs!r}, that of the data {ours!r}: they have different tokenizers; "
                "see prepare.tokenizer"
            )


FAMILY = ModelFamily(schema=Decoder, build=build)
