"""The configuration of a Keras 3 model, built again of tf_keras layers: the same names and the same calls."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import custom
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

Build = Callable[..., Any]  # tensors in, tensors out
Config = Mapping[str, Any]
Tensors = dict[tuple[str, int, int], Any]  # by layer, call and position among what it gives
NETWORKS = ("Functional", "Sequential")
OPERATIONS = "keras.src.ops."  # the modules of what stands among the layers and is none
SAME = frozenset(  # in both generations by the same name and formula; hard_sigmoid is another one in Keras 3
    ("elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign",
     "swish", "tanh")
)  # fmt: skip
CALLED = {"silu": "swish"}
RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
UNITARY = {"Relu": "relu", "Sigmoid": "sigmoid", "Silu": "swish", "Tanh": "tanh", "Softmax": "softmax"}


@dataclass
class Rebuilt:
    """A network without its weights, and the tensor that each of its layers gives first."""

    model: "tf_keras.Model"
    outputs: dict[str, Any] = field(default_factory=dict)  # by layer, of those called once


def network(entry: Config) -> Rebuilt:
    """Build a Functional or Sequential model, without its weights.

    Args:
        entry: what Keras 3 writes of a model: `class_name` and `config`.

    Raises:
        ModelError: it is subclassed, or a layer, activation or operation of it has no counterpart in tf_keras.
    """
    name = entry.get("class_name")
    try:
        if name == "Functional":
            return _functional(entry["config"])
        if name == "Sequential":
            return _sequential(entry["config"])
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ModelError(f"the model's description is damaged: {type(error).__name__} {error}") from None
    raise ModelError(
        f"{name} is a subclassed model, whose layers are joined by its code; save a Sequential or Functional one"
    )


def _functional(config: Config) -> Rebuilt:
    import tf_keras as keras

    builds: dict[str, Build] = {}
    waiting: list[tuple[str, int, Config]] = []
    tensors: Tensors = {}
    for entry in config["layers"]:
        name = entry["name"]
        if entry["class_name"] == "InputLayer":
            tensors[name, 0, 0] = _input(entry["config"])
            continue
        builds[name] = layer(entry)
        waiting += [(name, index, node) for index, node in enumerate(entry["inbound_nodes"])]
    while waiting:
        ready = [item for item in waiting if _needs(item[2]) <= tensors.keys()]
        if not ready:
            raise ModelError(f"layer {waiting[0][0]!r}: its inputs are missing: the model's description is damaged")
        for name, index, node in ready:
            given = _call(name, builds[name], node, tensors)
            tensors |= {(name, index, i): tensor for i, tensor in enumerate(_flat(given))}
        waiting = [item for item in waiting if item not in ready]
    nested = {entry["name"] for entry in config["layers"] if entry["class_name"] == "Functional"}
    # where a model is itself an output, its calls are counted from 1, and from 0 everywhere else
    ends = tensors | {(name, index + 1, i): t for (name, index, i), t in tensors.items() if name in nested}
    inputs, outputs = (_at(config[side], ends) for side in ("input_layers", "output_layers"))
    model = keras.Model(_flat(inputs), outputs, name=config["name"])
    nodes = [name for name, _, i in tensors if i == 0]
    return Rebuilt(model, {n: tensors[n, 0, 0] for n in nodes if nodes.count(n) == 1 and tensors[n, 0, 0] is not None})


def _sequential(config: Config) -> Rebuilt:
    import tf_keras as keras

    entries = list(config["layers"])
    if entries and entries[0]["class_name"] == "InputLayer":
        x = inputs = _input(entries.pop(0)["config"])
    elif config.get("build_input_shape"):
        x = inputs = keras.Input(batch_shape=_plain(config["build_input_shape"]))
    else:
        raise ModelError("the model was never built, so its input's shape is not known; build it and save it again")
    outputs = {}
    for entry in entries:
        name = entry["config"]["name"]
        x = _call(name, layer(entry), None, {}, x)
        if entry["class_name"] not in NETWORKS:
            outputs[name] = x
    # `Sequential` would be built of the layers once more; over the graph that is there it is the same network
    return Rebuilt(keras.Model(inputs, x, name=config["name"]), outputs)


def _input(config: Config) -> Any:
    import tf_keras as keras

    shape = config.get("batch_shape") or config["batch_input_shape"]
    return keras.Input(batch_shape=_plain(shape), dtype=_dtype(config["dtype"]), name=config["name"])


def _call(name: str, build: Build, node: Config | None, tensors: Tensors, *args: Any) -> Any:
    """Call a layer as one node of the graph has it."""
    kwargs: dict[str, Any] = {}
    if node is not None:
        args = tuple(_at(arg, tensors) for arg in node["args"])
        # Keras 3 writes what `training` was when the graph was drawn, be it the layer's default or the user's word;
        # when the model runs, the model's own `training` replaces both
        kwargs = {key: _at(value, tensors) for key, value in node["kwargs"].items() if key != "training"}
    try:
        return build(*args, **{key: value for key, value in kwargs.items() if value is not None})
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"layer {name!r} cannot be built in tf_keras: {said}") from None


def _needs(node: Any) -> set[tuple[str, int, int]]:
    """The tensors that a node, or a part of one, refers to."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            name, index, position = node["config"]["keras_history"]
            return {(name, index, position)}
        return {need for part in node.values() for need in _needs(part)}
    return {need for part in node for need in _needs(part)} if isinstance(node, list) else set()


def _at(value: Any, tensors: Tensors) -> Any:
    """A structure of references, with the tensors in their place."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return tensors[tuple(value["config"]["keras_history"])]
        if "class_name" in value:
            return _plain(value)
        return {key: _at(part, tensors) for key, part in value.items()}
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str):  # as a model refers to its inputs and outputs
            return tensors[tuple(value)]
        return [_at(part, tensors) for part in value]
    return value


def _flat(value: Any) -> list[Any]:
    import tensorflow as tf

    return [value] if value is None else list(tf.nest.flatten(value))


def layer(entry: Config) -> Build:
    """What does in tf_keras what a layer or an operation of Keras 3 does.

    Raises:
        ModelError: nothing does.
    """
    import tf_keras as keras

    kind, config = entry["class_name"], entry["config"]
    name = config.get("name", kind)
    if kind in NETWORKS:
        nested: Build = network(entry).model
        return nested
    own = custom.objects().get(entry.get("registered_name") or kind)
    if own is not None:
        built: Build = own.from_config({key: _plain(value) for key, value in config.items()})
        return built
    if str(entry.get("module")).startswith(OPERATIONS):
        return _operation(kind, config)
    if kind == "Lambda":
        return _lambda(config)
    cls = getattr(keras.layers, kind, None)
    if cls is None:
        raise ModelError(f"layer {name!r}: tf_keras has no {kind}")
    kept = _arguments(cls, kind, config)
    activation, behind = _activation(name, kept.pop("activation", None))
    if activation is not None:
        kept["activation"] = activation
    if kind == "Activation" and behind is not None:
        standing: Build = behind(name)
        return standing
    made = _made(cls, name, kept)
    if behind is None:
        return made
    last = behind(f"{name}_activation")
    return lambda *args, **kwargs: last(made(*args, **kwargs))


def _made(cls: Any, name: str, arguments: dict[str, Any]) -> Build:
    try:
        made: Build = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ModelError(f"layer {name!r}: tf_keras refuses it: {' '.join(str(error).split())}") from None
    return made


def _arguments(cls: Any, kind: str, config: Config) -> dict[str, Any]:
    """What both generations know of a layer. What only Keras 3 knows is left out, and the outputs are compared."""
    known = {"name", "trainable", "dtype"}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            known |= set(inspect.signature(base.__init__).parameters)
    kept = {}
    for key, value in config.items():
        key = RENAMED.get(kind, {}).get(key, key)
        if key in known - {"self", "args", "kwargs"} and not key.endswith("_initializer"):  # the weights are copied
            kept[key] = _dtype(value) if key == "dtype" else _value(value)
    return kept


def _value(value: Any) -> Any:
    """An argument of a layer: a plain value, an object of Keras, or a layer that it wraps."""
    import tf_keras as keras

    if isinstance(value, list):
        return [_value(part) for part in value]
    if not isinstance(value, Mapping) or "class_name" not in value:
        return value
    kind = value["class_name"]
    if kind == "function":
        return value["config"]
    if kind in NETWORKS or hasattr(keras.layers, kind) or kind in custom.objects():
        made = layer(value)
        if not isinstance(made, keras.layers.Layer):
            raise ModelError(f"layer {value['config'].get('name')!r}: an activation within a wrapped layer: {kind}")
        return made
    for space in (keras.regularizers, keras.constraints):
        if hasattr(space, kind):
            return getattr(space, kind)(**value["config"])
    return None if kind == "SeedGenerator" else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        if value.get("class_name") in ("__numpy__", "__tensor__"):
            return np.array(value["config"]["value"], value["config"]["dtype"])
        if value.get("class_name") == "__tuple__":
            return tuple(_plain(part) for part in value["items"])
        if value.get("class_name") == "DTypePolicy":
            return _dtype(value)
    return value


def _dtype(value: Any) -> Any:
    """The name of a type, whether it is given as such or as a policy."""
    return value["config"]["name"] if isinstance(value, Mapping) else value


def _activation(name: str, value: Any) -> tuple[Any, Build | None]:
    """An activation by its name in tf_keras, or the layer that follows in its place."""
    import tf_keras as keras

    if value is None or value in custom.objects():
        return value, None
    called = CALLED.get(value, value)
    if called in SAME:
        return called, None
    if called == "relu6":
        return "linear", lambda name: keras.layers.ReLU(6.0, name=name)
    if called == "leaky_relu":
        return "linear", lambda name: keras.layers.LeakyReLU(0.2, name=name)
    raise ModelError(f"layer {name!r}: tf_keras has no activation {value!r} that computes the same")


def _operation(kind: str, config: Config) -> Build:
    """An operation that stands among the layers, such as `x + y`."""
    import tf_keras as keras

    name, layers = config.get("name", kind), keras.layers
    if kind == "NotEqual":  # the mask of an embedding, which tf_keras draws itself
        return lambda *_args, **_kwargs: None
    if kind in UNITARY:
        return layers.Activation(UNITARY[kind], name=name)  # type: ignore[no-any-return]  # tf_keras ships no types
    if kind == "Relu6":
        return layers.ReLU(6.0, name=name)  # type: ignore[no-any-return]  # tf_keras ships no types
    if kind in MERGES or kind in ("Divide", "TrueDivide"):
        return lambda a, b: _merged(kind, name, a, b)
    raise ModelError(f"operation {name!r}: tf_keras has no layer for {kind}")


def _merged(kind: str, name: str, a: Any, b: Any) -> Any:
    import tf_keras as keras

    if kind in MERGES and not any(isinstance(x, int | float) for x in (a, b)):
        return getattr(keras.layers, kind)(name=name)([a, b])
    match kind, a, b:
        case "Add", int() | float(), _:
            return keras.layers.Rescaling(1.0, a, name=name)(b)
        case "Add", _, int() | float():
            return keras.layers.Rescaling(1.0, b, name=name)(a)
        case "Subtract", _, int() | float():
            return keras.layers.Rescaling(1.0, -b, name=name)(a)
        case "Multiply", int() | float(), _:
            return keras.layers.Rescaling(a, name=name)(b)
        case "Multiply", _, int() | float():
            return keras.layers.Rescaling(b, name=name)(a)
        case "Divide" | "TrueDivide", _, int() | float():
            return keras.layers.Rescaling(1.0 / b, name=name)(a)
    raise ModelError(f"operation {name!r}: tf_keras has no layer for {kind} of these operands")


def _lambda(config: Config) -> Build:
    """Only reached where the user lets Lambda layers run."""
    import tf_keras as keras

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
