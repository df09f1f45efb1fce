"""How the layers of a tf_keras model hang together: each is called on tensors that others give, none in a circle.

Keras looks for a tensor that no layer gives for ever, and runs an operator on the spot where it is called on constants.
"""

from collections.abc import Iterator, Mapping
from typing import Any

CONSTANT = "_CONSTANT_VALUE"  # in the place of a layer's name: what follows is a value
Reference = tuple[str, int]  # a layer's name, and which of its calls


class GraphError(Exception):
    """The layers do not hang together; the message says which."""


def check(config: Any) -> None:
    """Check the configuration of a Functional model.

    Raises:
        GraphError: two layers have one name, or one is called on constants alone or on what no layer gives.
    """
    given: set[Reference] = set()
    waiting: dict[Reference, set[Reference]] = {}
    names: set[str] = set()
    for layer in _layers(config):
        name, calls = _name(layer), layer.get("inbound_nodes")
        if name in names or not isinstance(calls, list):
            raise GraphError(f"layer {name!r}: it is described twice, or its inputs are not: the file is damaged")
        names.add(name)
        if layer["class_name"] == "InputLayer":
            given.add((name, 0))
        first = int(_is_network(layer) and _has_inputs(layer))  # a network was called once when it was built
        for index, call in enumerate(calls, first):
            waiting[name, index] = needs = set(_references(call))
            if not needs:
                raise GraphError(f"layer {name!r}: it is called on constants alone, which would run it on the spot")
    _follow(given, waiting)


def _follow(given: set[Reference], waiting: dict[Reference, set[Reference]]) -> None:
    """Take the calls in an order in which each finds its inputs, as Keras does."""
    while waiting:
        before = len(waiting)
        for call in list(waiting):
            if waiting[call] <= given:
                given.add(call)
                del waiting[call]
        if len(waiting) == before:
            raise GraphError(f"layer {next(iter(waiting))[0]!r}: its inputs are missing, or made of its own output")


def _name(layer: Mapping[str, Any]) -> str:
    """A layer's name, which stands in its configuration as well."""
    name, config = layer.get("name"), layer.get("config")
    if not isinstance(name, str) or (isinstance(config, Mapping) and config.get("name", name) != name):
        raise GraphError(f"layer {name!r}: it has no name, or two: the file is damaged")
    return name


def _is_network(layer: Mapping[str, Any]) -> bool:
    return layer["class_name"] in ("Functional", "Sequential", "Model")


def _has_inputs(layer: Mapping[str, Any]) -> bool:
    """Whether a network knows its inputs' shape when it is built; a Sequential one need not."""
    while layer["class_name"] == "Sequential":
        inner = _layers(layer["config"])
        if not inner:
            return True
        layer = inner[0]
    return _is_network(layer) or layer["class_name"] == "InputLayer" or "batch_input_shape" in (layer["config"] or {})


def _layers(config: Any) -> list[Mapping[str, Any]]:
    """The layers that a network's configuration describes; that of a Sequential model may be a list of them."""
    layers = config.get("layers") if isinstance(config, Mapping) else config
    if not isinstance(layers, list):
        raise GraphError("a model's layers are no list: the file is damaged")
    return layers


def _references(value: Any) -> Iterator[Reference]:
    """The calls whose outputs a call takes."""
    parts: list[Any] = []
    if isinstance(value, Mapping):
        items = value.get("items")
        parts = items if value.get("class_name") == "__tuple__" and isinstance(items, list) else list(value.values())
    elif isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str):
            if value[0] != CONSTANT:
                yield value[0], _number(value)
            value = value[3:]
        parts = value
    for part in parts:
        yield from _references(part)


def _number(value: list[Any]) -> int:
    if not isinstance(value[1], int):
        raise GraphError(f"a call of layer {value[0]!r} has no number: the model's description is damaged")
    return value[1]
