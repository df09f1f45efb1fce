"""The configuration of a Keras 3 model, built again of tf_keras layers: the same names and the same calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.foreign import listed, values

if TYPE_CHECKING:
    import tf_keras

Build = Callable[..., Any]  # tensors in, tensors out
Config = Mapping[str, Any]
Tensors = dict[tuple[str, int, int], Any]  # by layer, call and position among what it gives
MASKS = ("mask", "query_mask", "value_mask", "key_mask")


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
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ModelError(f"the model's description is damaged: {type(error).__name__} {said}") from None
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
        builds[name] = _counterpart(entry)
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
        x = inputs = keras.Input(batch_shape=values.plain(config["build_input_shape"]))
    else:
        raise ModelError("the model was never built, so its input's shape is not known; build it and save it again")
    outputs = {}
    for entry in entries:
        name = entry["config"]["name"]
        x = _call(name, _counterpart(entry), None, {}, x)
        if entry["class_name"] not in listed.NETWORKS:
            outputs[name] = x
    # `Sequential` would be built of the layers once more; over the graph that is there it is the same network
    return Rebuilt(keras.Model(inputs, x, name=config["name"]), outputs)


def _input(config: Config) -> Any:
    import tf_keras as keras

    shape = config.get("batch_shape") or config["batch_input_shape"]
    return keras.Input(batch_shape=values.plain(shape), dtype=values.dtype(config["dtype"]), name=config["name"])


def _call(name: str, build: Build, node: Config | None, tensors: Tensors, *args: Any) -> Any:
    """Call a layer as one node of the graph has it."""
    kwargs: dict[str, Any] = {}
    if node is not None:
        args = tuple(_at(arg, tensors) for arg in node["args"])
        # Keras 3 writes what `training` was when the graph was drawn, be it the layer's default or the user's word;
        # when the model runs, the model's own `training` replaces both
        kwargs = {key: _at(value, tensors) for key, value in node["kwargs"].items() if key != "training"}
        if any(getattr(tensor, "_keras_mask", None) is not None for tensor in _flat(args)):
            # it writes the masks that layers hand on, too; tf_keras hands on its own
            kwargs = {key: value for key, value in kwargs.items() if key not in MASKS}
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
        if value.get("class_name") == "__tuple__":
            return tuple(_at(part, tensors) for part in value["items"])
        if "class_name" in value:
            return values.plain(value)
        return {key: _at(part, tensors) for key, part in value.items()}
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str):  # as a model refers to its inputs and outputs
            return tensors[tuple(value)]
        return [_at(part, tensors) for part in value]
    return value


def _flat(value: Any) -> list[Any]:
    import tensorflow as tf

    return [value] if value is None else list(tf.nest.flatten(value))


def _counterpart(entry: Config) -> Build:
    from tasks.foreign import counterparts  # which needs TensorFlow

    return counterparts.of(entry, lambda nested: network(nested).model)
