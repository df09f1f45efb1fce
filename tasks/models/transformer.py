"""A language model of one's own sizes: the decoder of Qwen3 (Yang et al., "Qwen3 Technical Report", 2025).

RMS norms before attention and feed-forward, rotary places, a norm of each head's queries and keys, a gated
feed-forward (SwiGLU), no biases.
"""

from typing import TYPE_CHECKING

from tasks.decoder import rotary
from tasks.decoder.spec import Block, DecoderSpec
from tasks.members import ModelFamily
from tasks.models.tokens import telling, window
from tasks.params.models import Transformer

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples.dataset import Spec

THETA = 10_000.0  # of the rotary places
SMALL = 0.02  # deviation of the embedding and of what gives scores
AHEAD = 2  # windows that a text may be long: rotary places go on, though none beyond a window was trained
LAST = ("output", "down")  # parts that add to what goes from layer to layer


def build(params: Transformer, spec: "Spec") -> "tf_keras.Model":
    """A decoder of new weights.

    Input: int32 [batch, length], tokens. Output: see `tasks.models.tokens.telling`.

    Raises:
        ModelError: the data are not windows of tokens.
    """
    from tasks.decoder import network

    name, tensor, _ = window(spec, params.family)
    model = network.build(of_data(params, spec), tensor.shape[0], name)
    _begin(model, params.layers)
    return telling(model, spec)


def of_data(params: Transformer, spec: "Spec") -> DecoderSpec:
    """The decoder for the tokens and windows of the data.

    Raises:
        ModelError: the data are not windows of tokens.
    """
    _, tensor, vocabulary = window(spec, params.family)
    return described(params, vocabulary, AHEAD * tensor.shape[0])


def described(params: Transformer, vocabulary: int, room: int) -> DecoderSpec:
    """The decoder of such sizes, for so many tokens and texts as long as `room`."""
    width = params.width // params.heads
    frequencies = tuple(rotary.plain(THETA, width).tolist())
    return DecoderSpec(
        vocabulary=vocabulary,
        width=params.width,
        hidden=params.feed_forward or -(-8 * params.width // 24) * 8,
        heads=params.heads,
        kv_heads=params.kv_heads or params.heads,
        head_width=width,
        blocks=(Block(frequencies),) * params.layers,
        room=room,
        query_norm="head",
        tied=params.tied,
        attention_scale=width**-0.5,
    )


def _begin(model: "tf_keras.Model", layers: int) -> None:
    """Give the weights values to start from, so that each layer hands numbers of about one size on.

    LeCun et al., "Efficient BackProp" (1998); what is added from layer to layer is smaller the more of them there are,
    as in Radford et al., "Language Models are Unsupervised Multitask Learners" (2019). Scores are near 0 at first.
    """
    import tensorflow as tf

    from tasks.decoder import network

    for name, (variable, turned) in network.variables(model):
        if len(variable.shape) != 2:  # norms begin at 1
            continue
        part = name.removesuffix(".weight").rpartition("_")[2]
        deviation = variable.shape[0] ** -0.5 if turned else SMALL
        if name == "head.weight":
            deviation = SMALL
        if part in LAST:
            deviation *= (2 * layers) ** -0.5
        variable.assign(tf.random.normal(variable.shape, stddev=deviation))


FAMILY = ModelFamily(schema=Transformer, build=build)
