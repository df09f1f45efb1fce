"""What does in tf_keras what a layer or an operation of Keras 3 does."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tasks.errors import ModelError
from tasks.foreign import listed, operations, values
from tasks.foreign.arithmetic import is_masked
from tasks.foreign.safety import WAY_OUT
from tasks.training import custom, layers

Build = Callable[..., Any]  # tensors in, tensors out
Config = Mapping[str, Any]
OPERATIONS = "keras.src.ops."  # the modules of what stands among the layers and is none
SAME = frozenset(  # activations in both generations by the same name and formula
    ("elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign",
     "swish", "tanh")
)  # fmt: skip
CALLED = {"silu": "swish", "hard_swish": "hard_silu"}
HIDDEN = ("leaky_relu", "log_softmax", "relu6")  # tf_keras knows them by name, though not as its own
BEHIND = {  # activations by the operation that stands behind the layer in their place
    "celu": "Celu", "glu": "Glu", "hard_shrink": "HardShrink", "hard_sigmoid": "HardSigmoid", "hard_silu": "HardSilu",
    "hard_tanh": "HardTanh", "leaky_relu": "LeakyRelu", "log_sigmoid": "LogSigmoid", "log_softmax": "LogSoftmax",
    "relu6": "Relu6", "soft_shrink": "SoftShrink", "squareplus": "Squareplus", "tanh_shrink": "TanhShrink",
    "threshold": "Threshold",
}  # fmt: skip
ENDS_IN_IT = (  # layers whose activation is the last that they do
    "Activation", "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose",
    "Conv3DTranspose", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
)  # fmt: skip
MERGES = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
UNREAD = ("SpectralNormalization",)  # tf_keras has it, and does not read again what it writes of it


def of(entry: Config, network: Callable[[Config], Build], *, within: bool = False) -> Build:
    """What is called on tensors of tf_keras as Keras 3 calls the layer, operation or network that `entry` describes.

    Args:
        entry: its `class_name`, `config`, `module`.
        network: builds a network within the network.
        within: it is part of another layer, which calls it, so that nothing can stand behind it.

    Raises:
        ModelError: there is nothing that computes the same.
    """
    kind, config = entry["class_name"], entry["config"]
    name = config.get("name") or entry.get("name") or kind
    if kind in listed.NETWORKS:
        return network(entry)
    if str(entry.get("module")).startswith(OPERATIONS):
        return _operation(kind, name, config)
    own = custom.objects().get(entry.get("registered_name") or kind)
    if own is not None:
        built: Build = own.from_config({key: values.plain(value) for key, value in config.items()})
        return built
    if kind == "Lambda":
        return _lambda(config)
    if config.get("stateful"):
        raise ModelError(
            f"layer {name!r}: stateful, so an answer hangs from the examples before it, and here each stands by "
            "itself; build the model with stateful=False"
        )
    cls = getattr(layers, kind, None) or getattr(keras.layers, kind, None)
    if cls is None or kind in UNREAD:
        raise ModelError(f"layer {name!r}: tf_keras has no {kind} that computes and is stored alike; {WAY_OUT}")
    kept = _arguments(cls, kind, config, network)
    made = _layer(cls, name, kept, _activation(name, kept, last=kind in ENDS_IN_IT and not within))
    return _merge(name, made) if kind in MERGES and not within else made


def _layer(cls: Any, name: str, kept: dict[str, Any], behind: Build | None) -> Build:
    if cls is keras.layers.Activation and behind is not None:
        return _Named(name, behind)
    made = _made(cls, name, kept)
    if behind is None:
        return made
    standing = _Named(f"{name}_activation", behind)
    return lambda *args, **kwargs: standing(made(*args, **kwargs))


def _made(cls: Any, name: str, arguments: dict[str, Any]) -> Build:
    try:
        made: Build = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ModelError(f"layer {name!r}: tf_keras refuses it: {' '.join(str(error).split())}") from None
    return made


def _arguments(cls: Any, kind: str, config: Config, network: Callable[[Config], Build]) -> dict[str, Any]:
    """What both generations know of a layer. What only Keras 3 knows is left out, and the outputs are compared."""
    known = {"name", "trainable", "dtype"}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            known |= set(inspect.signature(base.__init__).parameters)
    kept = {}
    for key, value in config.items():
        key = RENAMED.get(kind, {}).get(key, key)
        if key in known - {"self", "args", "kwargs"} and not key.endswith("_initializer"):  # the weights are copied
            kept[key] = values.dtype(value) if key == "dtype" else _value(value, network)
    return kept


def _value(value: Any, network: Callable[[Config], Build]) -> Any:
    """An argument of a layer: a plain value, an object of Keras, or a layer that it wraps."""
    if isinstance(value, list):
        return [_value(part, network) for part in value]
    if not isinstance(value, Mapping) or "class_name" not in value:
        return value
    kind = value["class_name"]
    if kind == "function":
        return value["config"]
    if kind in listed.NETWORKS or hasattr(keras.layers, kind) or kind in custom.objects():
        return of(value, network, within=True)
    for space in (keras.regularizers, keras.constraints):
        if hasattr(space, kind):
            return getattr(space, kind)(**value["config"])
    return None if kind == "SeedGenerator" else values.plain(value)


def _activation(name: str, arguments: dict[str, Any], *, last: bool) -> Build | None:
    """Make the activations among a layer's arguments those of tf_keras; return what stands behind it in one's place.

    Args:
        name: of the layer, for the error.
        arguments: of the layer; changed.
        last: whether the activation is the last that the layer does.

    Raises:
        ModelError: tf_keras has none that computes the same in that place.
    """
    behind = None
    for key in [key for key in arguments if key == "activation" or key.endswith("_activation")]:
        value = arguments[key]
        called = CALLED.get(value, value) if isinstance(value, str) else value
        if called is None or called in SAME or called in custom.objects():
            arguments[key] = called
        elif last and called in BEHIND:
            arguments[key], behind = "linear", operations.TABLE[BEHIND[called]]
        elif last and isinstance(called, keras.layers.Layer):
            arguments[key], behind = "linear", called
        elif called in HIDDEN:
            arguments[key] = called
        else:
            raise ModelError(
                f"layer {name!r}: activation {getattr(called, 'name', called)!r} of Keras 3: tf_keras has none that "
                f"computes the same; {WAY_OUT}"
            )
    return behind


def _operation(kind: str, name: str, config: Config) -> Build:
    """An operation that stands among the layers, such as `x + y`."""
    operation = operations.TABLE.get(kind)
    if operation is None:
        raise ModelError(f"operation {name!r}: nothing in tf_keras computes {kind}; {WAY_OUT}")
    if config.get("data_format") == "channels_first":
        raise ModelError(f"operation {name!r} has its channels first; build the model with channels_last")
    settings = {key: values.plain(value) for key, value in config.items() if key not in ("name", "data_format")}
    return _Named(name, lambda *args, **kwargs: operation(*args, **kwargs, **settings))


class _Named:
    """Something that makes layers as it is called, which get names after its own.

    Names that tf_keras thinks of itself could be those of other layers in the file.
    """

    def __init__(self, name: str, build: Build) -> None:
        self.name, self.build, self.calls = name, build, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = [tensor for tensor in tf.nest.flatten((args, kwargs)) if hasattr(tensor, "_keras_history")]
        if not given:
            raise ValueError("it is called on constants alone")
        # a mask goes on through layers of Keras 3, and not through its operations
        made = tf.nest.map_structure(_unmasked, self.build(*args, **kwargs))
        before = {id(tensor._keras_history.layer) for tensor in given}
        name = f"{self.name}_call{self.calls}" if self.calls else self.name
        for index, layer in enumerate(_between(before, tf.nest.flatten(made))):
            layer._name = f"{name}_part{index}" if index else name
        self.calls += 1
        return made


def _merge(name: str, layer: Any) -> Build:
    """A layer that merges tensors, without a mask where the generations make different ones of theirs.

    Of a tensor without a mask Keras 3 makes a sum without one, where tf_keras hands the other's on; of two masks it
    takes what is in either, tf_keras what is in both (`compute_mask` of either's `base_merge.py` and
    `concatenate.py`). Where Keras 3 has one, the file names it for each layer behind, which is given that.
    MultiHeadAttention takes the masks off what it is called on there (`multi_head_attention.py`), so behind a sum of
    that and its answer the next attention sees the padding.
    """
    standing = _Named(name, lambda inputs: layer([_unmasked(tensor) for tensor in inputs]))

    def merged(inputs: list[Any]) -> Any:
        origins = {None if is_masked(tensor) and _is_attended(tensor) else _origin(tensor) for tensor in inputs}
        alike = None not in origins and (len(origins) == 1 or _is_apart(layer, inputs[0]))
        return layer(inputs) if alike or not any(map(is_masked, inputs)) else standing(inputs)

    return merged


def _origin(tensor: Any) -> tuple[int, ...] | None:
    """What a tensor's mask comes from: the same for two that are alike; None for none."""
    while is_masked(tensor):
        layer, given = tensor.node.layer, tensor.node.keras_inputs[0]
        if isinstance(layer, keras.layers.Embedding):
            return (id(given),)
        if not is_masked(given) or isinstance(layer, keras.layers.Masking) or _is_apart(layer, given):
            return id(layer), id(given)
        tensor = given  # a mask that is handed on is that of the first
    return None


def _is_attended(tensor: Any) -> bool:
    """Whether a MultiHeadAttention was called on it already."""
    return any(
        isinstance(node.layer, keras.layers.MultiHeadAttention) and any(each is tensor for each in node.keras_inputs)
        for node in tensor.node.layer._outbound_nodes
    )


def _is_apart(layer: Any, given: Any) -> bool:
    """Whether a layer puts tensors behind each other so that each place keeps its own mask, in both generations."""
    return isinstance(layer, keras.layers.Concatenate) and layer.axis not in (-1, given.shape.rank - 1)


def _unmasked(tensor: Any) -> Any:
    return tf.identity(tensor) if is_masked(tensor) else tensor


def _between(before: set[int], tensors: list[Any]) -> list[Any]:
    """The layers that lead to the tensors from those before, the last one first."""
    found: list[Any] = []
    waiting = list(tensors)
    while waiting:
        layer, node, _ = waiting.pop(0)._keras_history
        if id(layer) not in before:
            before = before | {id(layer)}
            found.append(layer)
            waiting += layer._inbound_nodes[node].keras_inputs
    return found


def _lambda(config: Config) -> Build:
    """Only reached where the user lets Lambda layers run."""
    function = config["function"]
    if function.get("class_name") != "__lambda__":
        raise ModelError(f"layer {config['name']!r}: a Lambda layer of a named function; register the function")
    code = [function["config"][key] for key in ("code", "defaults", "closure")]
    made: Build = keras.layers.Lambda.from_config(
        {
            "name": config["name"], "function": code, "function_type": "lambda", "module": None,
            "output_shape": None, "output_shape_type": "raw", "output_shape_module": None,
            "arguments": config.get("arguments") or {},
        }
    )  # fmt: skip
    return made
