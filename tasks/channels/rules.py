"""What each Keras layer does with channels, for tasks/channels/groups.py.

A layer of one's own takes part when it says so by the attribute `channel_rule`:

- `"pass"`: each channel of its output depends on the same channel of its inputs and on no other. Weights whose last
  axis has one place a channel are cut with them; other weights must have one place there.
- `"fix"`: it needs all of its inputs' channels, and gives ones of its own: nothing before or behind it hangs together
  through it, and neither may shrink.
- `"heads"`: its channels are those of its `heads`, one behind the other, and each head is treated alone and alike.
- `"attention"`: its first inputs are queries, keys and values so, of `heads` and `kv_heads`.

Its configuration must not hold another number of channels: the slimmed model builds the layer again from it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.channels import heads, recurrent
from tasks.channels.groups import OUTPUTS, Ids, Tracer, Visit

DIMENSIONS = (1, 2, 3)
PASS = {
    *("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "ActivityRegularization", "RepeatVector", "Resizing"),
    *("GaussianNoise", "GaussianDropout", "AlphaDropout", "CenterCrop", "PReLU", "Identity"),
    *(f"Random{what}" for what in ("Flip", "Rotation", "Zoom", "Translation", "Contrast", "Brightness", "Crop")),
    *("RandomHeight", "RandomWidth"),
    *(f"{how}Pooling{n}D" for how in ("Max", "Average", "GlobalMax", "GlobalAverage") for n in DIMENSIONS),
    *(f"{what}{n}D" for what in ("ZeroPadding", "Cropping", "UpSampling", "SpatialDropout") for n in DIMENSIONS),
}
MERGES = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"}
FIXES = {"LayerNormalization", "GroupNormalization", "UnitNormalization", "Softmax", "Normalization", "Masking"}
CHANNELWISE = {  # activations that look at each number alone
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "sigmoid", "hard_sigmoid", "tanh", "swish"),
    *("silu", "softplus", "softsign", "exponential", "mish"),
}
OPERATIONS = {  # of TensorFlow, called on the tensors of a Functional model: as `x + y`
    *("__operators__.add", "math.add", "math.subtract", "math.multiply", "math.maximum", "math.minimum"),
    *("math.truediv", "math.divide", "math.divide_no_nan", "math.squared_difference", "math.pow", "nn.bias_add"),
    *("nn.relu", "nn.relu6", "nn.elu", "nn.gelu", "nn.silu", "nn.selu", "nn.leaky_relu", "math.sigmoid", "math.tanh"),
    *("math.negative", "math.abs", "math.square", "math.sqrt", "math.rsqrt", "math.exp", "math.log", "math.log1p"),
    *("math.softplus", "math.reciprocal", "math.floor", "math.round", "clip_by_value", "cast", "identity"),
    *("stop_gradient", "image.resize"),
}
Rule = Callable[[Tracer, Visit], Ids]


def apply(tracer: Tracer, visit: Visit) -> Ids:
    """Tell `tracer` what a layer does with its input's channels, and return its output's.

    Raises:
        ModelError: the layer is unknown or used in a way that cannot be followed.
    """
    rule = _rule(visit)
    if getattr(visit.layer, "data_format", None) == "channels_first":
        raise visit.refuse("has its channels first; build the model with channels_last")
    return rule(tracer, visit)


def _rule(visit: Visit) -> Rule:
    kind = type(visit.layer)
    if kind.__module__.startswith("tf_keras."):
        if kind.__name__ in RULES:
            return RULES[kind.__name__]
        if hasattr(visit.layer, "layers"):
            raise visit.refuse("is a model inside the model; build its layers into the outer one")
    else:
        declared = getattr(visit.layer, "channel_rule", None)
        if declared in DECLARED:
            return DECLARED[declared]
        if declared is not None:
            raise visit.refuse(f"declares channel_rule {declared!r}; allowed: {', '.join(sorted(DECLARED))}")
    raise visit.refuse(
        "is none whose channels can be followed; use prune, cluster or factorize, "
        "or, where the layer is your own, declare its `channel_rule`"
    )


def _input(tracer: Tracer, visit: Visit) -> Ids:
    width = visit.output_shape[-1]
    if width is None:
        raise visit.refuse("has an axis of channels of unknown size; give its shape")
    return tracer.fix(tracer.new(width), f"are the model's input {visit.owner.name!r}")


def _pass(tracer: Tracer, visit: Visit) -> Ids:
    """One channel in, the same one out; weights that count channels are cut with them."""
    channels = _merge(tracer, visit)
    for weight in visit.layer.weights:
        places = weight.shape[-1] if weight.shape.rank else 1
        if places == len(channels):
            tracer.cut(visit.owner, weight, -1, channels, "follows")
        elif places != 1:
            raise visit.refuse(f"has a weight of shape {tuple(weight.shape)}, whose last axis is not the channels")
    return channels


def _merge(tracer: Tracer, visit: Visit) -> Ids:
    """All inputs at once; a single channel among wider ones is spread over all of theirs."""
    width = max(len(ids) for ids in visit.inputs)
    for ids in visit.inputs:
        if len(ids) != width:
            tracer.fix(ids, f"are spread by {visit.owner.name!r}")
    return tracer.unite(*(ids for ids in visit.inputs if len(ids) == width))


def _fix(tracer: Tracer, visit: Visit) -> Ids:
    for ids in visit.read.values():
        tracer.fix(ids, f"are all needed by {visit.owner.name!r}")
    return tracer.fix(tracer.new(visit.output_shape[-1] or 0), f"are all needed by {visit.owner.name!r}")


def _activation(tracer: Tracer, visit: Visit) -> Ids:
    return _activated(tracer, visit, visit.inputs[0])


def _activated(tracer: Tracer, visit: Visit, channels: Ids) -> Ids:
    """The layer's own activation; one that looks at all channels, as softmax does, needs them all."""
    name = getattr(visit.layer.activation, "__name__", None)
    if name not in CHANNELWISE:
        tracer.fix(channels, f"are all needed by the activation of {visit.owner.name!r}")
    return channels


def _dropout(tracer: Tracer, visit: Visit) -> Ids:
    if visit.layer.noise_shape is not None and visit.layer.noise_shape[-1] not in (None, 1):
        tracer.fix(visit.inputs[0], f"are counted by the noise_shape of {visit.owner.name!r}")
    return visit.inputs[0]


def _rescaling(tracer: Tracer, visit: Visit) -> Ids:
    if np.ndim(visit.layer.scale) or np.ndim(visit.layer.offset):
        tracer.fix(visit.inputs[0], f"are each scaled by {visit.owner.name!r}")
    return visit.inputs[0]


def _normalization(tracer: Tracer, visit: Visit) -> Ids:
    layer, (channels,) = visit.layer, visit.inputs
    axis = layer.axis if isinstance(layer.axis, int) else list(layer.axis)
    if axis not in (-1, len(visit.shapes[0]), [len(visit.shapes[0])]):
        raise visit.refuse(f"normalizes axis {axis}, not the channels")
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        tracer.cut(visit.owner, weight, 0, channels, "follows")
    return channels


def _kernel(key: str, made: int = -1, read: int = -2) -> Rule:
    """A layer with one kernel, whose axes `made` and `read` are its output's and its input's channels."""

    def rule(tracer: Tracer, visit: Visit) -> Ids:
        layer = visit.layer
        if getattr(layer, "groups", 1) != 1:
            raise visit.refuse(f"is a convolution in {layer.groups} groups, which are not slimmed")
        channels = tracer.make(visit.owner, key, getattr(layer, key))
        tracer.cut(visit.owner, layer.kernel, read, visit.inputs[0], "reads")
        tracer.cut(visit.owner, layer.kernel, made, channels, "makes")
        tracer.cut(visit.owner, layer.bias, 0, channels, "makes")
        return _activated(tracer, visit, channels)

    return rule


def _depthwise(tracer: Tracer, visit: Visit) -> Ids:
    """Each channel becomes `depth_multiplier` ones beside each other, which stay or go with it."""
    layer, (channels,) = visit.layer, visit.inputs
    if layer.depth_multiplier != 1:
        channels = np.repeat(channels, layer.depth_multiplier)
    tracer.cut(visit.owner, layer.depthwise_kernel, -2, visit.inputs[0], "follows")
    tracer.cut(visit.owner, layer.bias, 0, channels, "follows")
    return _activated(tracer, visit, channels)


def _separable(tracer: Tracer, visit: Visit) -> Ids:
    layer, (channels,) = visit.layer, visit.inputs
    tracer.cut(visit.owner, layer.depthwise_kernel, -2, channels, "follows")
    made = tracer.make(visit.owner, "filters", layer.filters)
    tracer.cut(visit.owner, layer.pointwise_kernel, -2, np.repeat(channels, layer.depth_multiplier), "reads")
    tracer.cut(visit.owner, layer.pointwise_kernel, -1, made, "makes")
    tracer.cut(visit.owner, layer.bias, 0, made, "makes")
    return _activated(tracer, visit, made)


def _embedding(tracer: Tracer, visit: Visit) -> Ids:
    channels = tracer.make(visit.owner, "output_dim", visit.layer.output_dim)
    tracer.cut(visit.owner, visit.layer.embeddings, 1, channels, "makes")
    return channels


def _concatenate(tracer: Tracer, visit: Visit) -> Ids:
    rank = len(visit.shapes[0]) + 1
    if visit.layer.axis % rank == rank - 1:
        return np.concatenate(visit.inputs)
    return tracer.unite(*visit.inputs)


def _flatten(_tracer: Tracer, visit: Visit) -> Ids:
    return np.broadcast_to(visit.inputs[0], _known(visit)).reshape(-1)


def _reshape(tracer: Tracer, visit: Visit) -> Ids:
    """Channels that land on the same place of the last axis stay or go together."""
    width = visit.output_shape[-1]
    assert width is not None
    rows = np.broadcast_to(visit.inputs[0], _known(visit)).reshape(-1, width)
    channels = tracer.unite(*np.unique(rows, axis=0))
    tracer.resize(visit.owner, "target_shape", channels, visit.output_shape[:-1])
    return channels


def _known(visit: Visit) -> tuple[int, ...]:
    if None in visit.shapes[0] or None in visit.output_shape:
        raise visit.refuse(f"reshapes a tensor of unknown size {visit.shapes[0]}; give the model's inputs a shape")
    return visit.shapes[0]  # type: ignore[return-value]  # no None is in it


def _permute(tracer: Tracer, visit: Visit) -> Ids:
    if visit.layer.dims[-1] == len(visit.shapes[0]):
        return visit.inputs[0]
    return _fix(tracer, visit)


def _attention(tracer: Tracer, visit: Visit) -> Ids:
    """Products of queries and keys, channel by channel; then the values."""
    query, value, *keys = visit.inputs
    tracer.unite(query, keys[0] if keys else value)
    scale = getattr(visit.layer, "scale", None)
    if scale is not None and scale.shape.rank:
        tracer.cut(visit.owner, scale, 0, query, "follows")
    return value


def _multi_head_attention(tracer: Tracer, visit: Visit) -> Ids:
    """Whole heads are what it makes; its output's channels are further ones."""
    layer, owner = visit.layer, visit.owner
    sides = _sides(visit)
    for tensor, ids in visit.read.items():
        if tensor not in {side for side, _ in sides.values()}:
            tracer.fix(ids, f"are the mask of {owner.name!r}")
    heads = tracer.make(owner, "num_heads", layer._num_heads)
    for side, (_, ids) in sides.items():
        dense = getattr(layer, f"_{side}_dense")
        tracer.cut(owner, dense.kernel, 0, ids, "reads")
        tracer.cut(owner, dense.kernel, 1, heads, "makes")
        tracer.cut(owner, dense.bias, 0, heads, "makes")
        shape = tuple(getattr(layer, f"_{side}_shape"))
        tracer.resize(owner, f"{side}_shape", ids, shape[:-1])
    out = layer._output_dense
    if out.kernel.shape.rank != 3:
        raise visit.refuse("gives more than one axis of channels")
    channels = tracer.make(owner, OUTPUTS, out.kernel.shape[-1])
    tracer.cut(owner, out.kernel, 0, heads, "reads")
    tracer.cut(owner, out.kernel, -1, channels, "makes")
    tracer.cut(owner, out.bias, 0, channels, "makes")
    return channels


def _sides(visit: Visit) -> dict[str, tuple[int, Ids]]:
    """The query, value and key of an attention: the tensor and its channels."""
    given = dict(zip(("query", "value", "key"), visit.node.call_args, strict=False)) | visit.node.call_kwargs
    if given.get("key") is None:
        given["key"] = given["value"]
    return {side: (id(given[side]), visit.read[id(given[side])]) for side in ("query", "value", "key")}


def _time_distributed(tracer: Tracer, visit: Visit) -> Ids:
    inner = replace(
        visit,
        layer=visit.layer.layer,
        shapes=tuple(shape[1:] for shape in visit.shapes),
        output_shape=visit.output_shape[1:],
    )
    if not inner.output_shape:
        raise visit.refuse("gives one number a step, which has no axis of channels")
    return apply(tracer, inner)


def _operation(tracer: Tracer, visit: Visit) -> Ids:
    """A function of TensorFlow, number by number, on tensors of the graph and constants."""
    function = visit.layer.get_config()["function"]
    if function not in OPERATIONS:
        raise visit.refuse(f"calls {function}, whose channels cannot be followed; use the Keras layer that does it")
    channels = _merge(tracer, replace(visit, inputs=tuple(visit.read.values())))
    given = [*visit.node.call_args, *visit.node.call_kwargs.values()]
    widths = [np.shape(value)[-1] for value in _constants(given, visit)]
    if function != "image.resize" and any(width != 1 for width in widths):
        if visit.output_shape[-1] != len(channels):
            raise visit.refuse(f"calls {function} with a constant that makes channels of one")
        tracer.fix(channels, f"have numbers of their own in {visit.owner.name!r}")
    return channels


def _constants(given: Any, visit: Visit) -> list[Any]:
    """What has axes and is no tensor of the graph: an array, or the list of numbers that a file has in its place."""
    import tensorflow as tf

    if id(given) in visit.read:
        return []
    if isinstance(given, list | tuple) and any(id(each) in visit.read for each in tf.nest.flatten(given)):
        return [found for each in given for found in _constants(each, visit)]
    return [given] if np.ndim(given) else []


def _slice(tracer: Tracer, visit: Visit) -> Ids:
    """A part of a tensor, such as `x[..., ::-1]`: which channels it holds is not asked, so all stay."""
    return _fix(tracer, visit)


DECLARED: dict[str, Rule] = {"pass": _pass, "fix": _fix, "heads": heads.alone, "attention": heads.attended}
RULES: dict[str, Rule] = {
    "InputLayer": _input,
    **dict.fromkeys(PASS, _pass),
    **dict.fromkeys(MERGES, _merge),
    **dict.fromkeys(FIXES, _fix),
    "Activation": _activation,
    "Dropout": _dropout,
    "Rescaling": _rescaling,
    "BatchNormalization": _normalization,
    "SyncBatchNormalization": _normalization,
    "Dense": _kernel("units"),
    **{f"Conv{n}D": _kernel("filters") for n in DIMENSIONS},
    **{f"Conv{n}DTranspose": _kernel("filters", made=-2, read=-1) for n in DIMENSIONS},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable for n in (1, 2)},
    "Embedding": _embedding,
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "Attention": _attention,
    "AdditiveAttention": _attention,
    "MultiHeadAttention": _multi_head_attention,
    **dict.fromkeys(recurrent.GATES, recurrent.units),
    "TimeDistributed": _time_distributed,
    "TFOpLambda": _operation,
    "SlicingOpLambda": _slice,
}
