"""What a file may ask Keras to build: what stands in `listed.py`, and what the user's own module registers.

Keras imports the module that a configuration names, calls the function that it names, and runs an operator on the spot
where its arguments are constants. So a configuration is read here first, and what Keras gets is a new one that holds
nothing but what was understood.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import ModelError
from tasks.foreign import listed, nodes
from tasks.training import custom

KERAS = re.compile(r"(tf_)?keras(\.\w+)*")
DTYPE = re.compile(r"(mixed_)?b?float\d+|u?int\d+|bool|string|complex\d+")
COMPOSITE = "_COMPOSITE_TYPE"  # what follows is JSON that Keras would decode
DEPTH = 64  # of objects, mappings and lists within each other
KEPT = ("name", "inbound_nodes", "build_config", "shared_object_id", "__passive_serialization__")  # of an object
UNNAMED = "Custom>"  # the package of what is registered without one
HOMES = {  # by role: where tf_keras has what the lists name
    "layer": "keras.layers",
    "initializer": "keras.initializers",
    "regularizer": "keras.regularizers",
    "constraint": "keras.constraints",
    "activation": "keras.layers",
}
LISTS = {
    "layer": listed.LAYERS,
    "initializer": listed.INITIALIZERS,
    "regularizer": listed.REGULARIZERS,
    "constraint": listed.CONSTRAINTS,
    "activation": listed.ACTIVATIONS | listed.ACTIVATION_LAYERS,
}
KERAS3 = {
    "layer": listed.KERAS3_OPERATIONS | listed.KERAS3_LAYERS,
    "initializer": listed.KERAS3_INITIALIZERS,
    "activation": listed.KERAS3_ACTIVATIONS,
}
WAY_OUT = "save the model without it, or convert it to .tflite and take that (scheme as-is)"
HOLDERS = ("layer", "layers", "cell", "cells", "backward_layer", "forward_layer")  # keys whose values are layers


def read(path: Path, config: Any, *, lambdas: bool, keras3: bool = False) -> dict[str, Any]:
    """A model's configuration as Keras may have it; what no name is known of is left out.

    Args:
        path: the file, for the error.
        config: `class_name` and `config`, as parsed from JSON.
        lambdas: let Lambda layers be.
        keras3: it was written by Keras 3.

    Raises:
        ModelError: something in it is neither on the lists nor registered by the user's module, a layer is called on
            constants alone, or its layers do not hang together.
    """
    try:
        found: dict[str, Any] = _Reader(path, lambdas, keras3, own()).item(config, "layer", "the model", 0)
    except nodes.GraphError as error:
        raise ModelError(f"{path}: {error}") from None
    return found


def own() -> dict[str, Any]:
    """What the user's module has registered; Keras registers some of its own optimizers in the same place."""
    return {
        name: item
        for name, item in custom.objects().items()
        if not KERAS.fullmatch(str(getattr(item, "__module__", "keras")))
    }


def _asked(registered: Any, name: Any) -> list[str]:
    """The names that an object of the user's may go by: where the file names a package, no other's will do."""
    named = isinstance(registered, str) and ">" in registered and not registered.startswith(UNNAMED)
    return [each for each in ((registered,) if named else (registered, name)) if isinstance(each, str)]


def role_of(key: str) -> str | None:
    """What Keras makes of the value that stands under a key of a layer's configuration; None of a plain value."""
    if key in HOLDERS:
        return "layer"
    if key in ("dtype", "dtype_policy"):
        return "dtype"
    return next((role for role in LISTS if key == role or key.endswith(f"_{role}")), None)


@dataclass(frozen=True)
class _Reader:
    path: Path
    lambdas: bool
    keras3: bool
    own: Mapping[str, Any]

    def item(self, entry: Any, role: str, layer: str, depth: int) -> Any:
        """What an object's description says, in the keys that are known."""
        if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
            raise self.refusal(layer, f"{_a(role)} is expected, received {_short(entry)}")
        name = entry["class_name"]
        inner = entry.get("config")
        if role in ("layer", "activation") and isinstance(inner, Mapping):
            layer = str(inner.get("name", layer))
        if name in ("Lambda", "__lambda__"):
            if not self.lambdas:
                raise self.refusal(
                    layer, "(Lambda) holds Python code; `lambdas: true` runs it, if you trust the file", "layer"
                )
            return dict(entry)
        if name == "function" and role == "activation":
            return self.function(entry, layer)
        name, module = self.resolved(entry, role, layer)
        free = name in self.own
        made: dict[str, Any] = {"class_name": name, "config": self.inside(inner, layer, depth + 1, free=free)}
        if "module" in entry:
            made |= {"module": module, "registered_name": name if free else entry.get("registered_name") or None}
        if name in listed.OPERATOR_LAYERS:
            self.operator(name, made["config"], layer)
        if name in ("Functional", "Model") and not self.keras3:  # `rebuild` follows the graphs of Keras 3
            nodes.check(made["config"])
        return made | {key: self.plain(entry[key], layer, depth + 1) for key in KEPT if key in entry}

    def resolved(self, entry: Mapping[str, Any], role: str, layer: str) -> tuple[str, Any]:
        """The name of an object's class, and the module that Keras shall look for it in."""
        name, module = entry["class_name"], entry.get("module")
        registered = entry.get("registered_name") or name
        for candidate in _asked(registered, name):
            if isinstance(self.own.get(candidate), type):
                return candidate, None  # it is found by its name, and no module is imported for it
        known = LISTS[role].union(KERAS3.get(role, ()) if self.keras3 else listed.OPERATOR_LAYERS)
        if not _of_keras(module) or registered not in (name, f"{UNNAMED}{name}") or name not in known:
            raise self.unknown(entry, role, layer)
        if self.keras3 or module is None:
            return name, module
        return name, listed.HOMES.get(name, HOMES[role])

    def function(self, entry: Mapping[str, Any], layer: str) -> str:
        """The name of an activation that is described as a function."""
        name, module = entry.get("config"), entry.get("module")
        registered = entry.get("registered_name") or name
        for candidate in _asked(registered, name):
            if callable(self.own.get(candidate)):
                return candidate
        ours = registered == name and (module == "builtins" or _of_keras(module))
        if ours and isinstance(name, str) and self.named(name, "activation"):
            return name
        raise self.refusal(layer, f"the function {_short(name)} of {_bare(module)} is no activation of Keras")

    def named(self, name: str, role: str) -> bool:
        """Whether something is on the list of a role."""
        return name in LISTS[role] or (self.keras3 and name in KERAS3.get(role, ()))

    def operator(self, kind: str, config: Any, layer: str) -> None:
        """Refuse an operator of TensorFlow that is not on the list."""
        name = config.get("function") if isinstance(config, Mapping) else None
        known = listed.OPERATORS if kind == "TFOpLambda" else listed.SLICES
        if not isinstance(name, str) or not known & {name, name.removeprefix("compat.v1.")}:
            raise self.refusal(layer, f"the operator {_short(name)} is none that is taken from a file; {WAY_OUT}")

    def inside(self, config: Any, layer: str, depth: int, *, free: bool) -> Any:
        """An object's own configuration. `free`: of a class of the user's, which makes of it what it likes."""
        self.no_deeper(layer, depth)
        if config is None:
            return None
        if isinstance(config, list):  # a Sequential model of Keras 2.0
            return [self.item(part, "layer", layer, depth) for part in config]
        if not isinstance(config, Mapping) or "class_name" in config:
            raise self.refusal(layer, f"its configuration is {_short(config)}; a mapping is expected")
        return {key: self.member(key, value, layer, depth, free=free) for key, value in config.items()}

    def member(self, key: str, value: Any, layer: str, depth: int, *, free: bool) -> Any:
        """What stands under a key of an object's configuration."""
        role = role_of(key)
        self.bounded(key, value, layer)
        if role == "dtype":
            if isinstance(value, str) and not DTYPE.fullmatch(value):
                raise self.refusal(layer, f"{key}: {_short(value)} is no type of numbers")
            return self.plain(value, layer, depth)
        if role is None or value is None:
            return self.plain(value, layer, depth, free=free)
        if isinstance(value, Mapping):
            return self.item(value, role, layer, depth)
        if isinstance(value, list) and role == "layer":
            return [self.item(part, role, layer, depth) for part in value]
        if isinstance(value, str) and (self.named(value, role) or value in self.own) and role != "layer":
            return value
        if free:
            return self.plain(value, layer, depth)
        raise self.refusal(layer, f"{key}: {_short(value)} is not {_a(role)} of Keras")

    def plain(self, value: Any, layer: str, depth: int, *, free: bool = False) -> Any:
        """Numbers, words, and lists and mappings of them; `free`: objects on any list as well."""
        self.no_deeper(layer, depth)
        if isinstance(value, list):
            return [self.plain(part, layer, depth + 1, free=free) for part in value]
        if value == COMPOSITE:
            raise self.refusal(layer, "a constant in it is no plain value")
        if not isinstance(value, Mapping):
            return value
        name = value.get("class_name")
        if "class_name" in value and not _is_value(value):
            roles = (role for role in LISTS if isinstance(name, str) and self.named(name, role))
            role = "activation" if name == "function" else next(roles, "layer")
            if free or role == "layer":
                found = self.item(value, role, layer, depth)
                if free:
                    return found
            raise self.refusal(layer, f"{_short(name)} stands where a plain value is expected")
        for key, part in value.items():
            self.bounded(key, part, layer)
        return {key: self.plain(part, layer, depth + 1, free=free) for key, part in value.items()}

    def bounded(self, key: str, value: Any, layer: str) -> None:
        """Refuse a number under a key that says how much of something there is, where no machine has so much."""
        limit = listed.EXTENTS.get(key, math.inf)
        for number in _numbers(value):
            if abs(number) > limit:
                raise self.refusal(layer, f"{key}: {_bare(number)} is more than {limit:,}, the most that is taken")

    def no_deeper(self, layer: str, depth: int) -> None:
        """Keras follows a configuration by recursion, which ends somewhere."""
        if depth > DEPTH:
            raise self.refusal(layer, f"its description is nested deeper than {DEPTH} levels")

    def unknown(self, entry: Mapping[str, Any], role: str, layer: str) -> ModelError:
        """The refusal of a name that stands on no list, with what can be done about it."""
        name, module = entry["class_name"], entry.get("module")
        title = entry.get("registered_name") or name
        kind = str(name).rpartition(">")[2]
        if kind in listed.READERS:
            return self.refusal(layer, f"({kind}) reads files; `prepare` makes token numbers of texts", "layer")
        if kind.endswith("DTypePolicy"):
            return self.refusal(layer, f"it was quantized by Keras ({kind}); save the float model, before `quantize`")
        if kind in listed.TFMOT:
            return self.refusal(layer, f"({kind}) is a wrapper of TensorFlow Model Optimization: {_stripped(kind)}")
        if kind in listed.INSTEAD and title == name:
            return self.refusal(layer, f"({kind}) {listed.INSTEAD[kind]}, or convert it to .tflite", "layer")
        ours = _of_keras(module) and title in (name, f"{UNNAMED}{name}")
        if self.keras3 and ours and module and role == "layer":
            what = "operation" if str(module).startswith("keras.src.ops.") else "layer"
            return self.refusal(
                layer,
                f"{name} is {_a(what)} of Keras 3 that tf_keras has no match for; {WAY_OUT}",
                what,
            )
        if role != "layer":
            return self.refusal(layer, f"{_bare(title)} is no {role} of tf_keras")
        if ours and _in_keras(str(name)):
            return self.refusal(layer, f"{name} is none of the layers that are taken from a file; {WAY_OUT}")
        return self.refusal(
            layer,
            f"{_bare(title)} is no layer of tf_keras; for one of your own, set `layers` to the Python module that "
            "registers it (tf_keras.saving.register_keras_serializable)",
        )

    def refusal(self, layer: str, why: str, kind: str = "layer") -> ModelError:
        """The error that names the layer."""
        place = layer if layer == "the model" else f"{kind} {layer!r}"
        return ModelError(f"{self.path}: {place}{' ' if why.startswith('(') else ': '}{why}")


def _numbers(value: Any) -> list[int]:
    """The whole numbers that a key holds, alone, in a list or in what stands for a tuple."""
    if isinstance(value, Mapping):
        value = value.get("items")
    parts = value if isinstance(value, list) else [value]
    return [part for part in parts if isinstance(part, int)]


def _of_keras(module: Any) -> bool:
    return module is None or (isinstance(module, str) and KERAS.fullmatch(module) is not None)


def _is_value(entry: Mapping[str, Any]) -> bool:
    """Whether a mapping stands for a plain value that JSON has no word for."""
    name = entry["class_name"]
    registered = entry.get("registered_name")
    return (
        isinstance(name, str)
        and name in listed.VALUES
        and _of_keras(entry.get("module"))
        and registered in (None, name)
    )


def _in_keras(name: str) -> bool:
    """Whether tf_keras has a layer of that name."""
    import tf_keras as keras

    return hasattr(keras.layers, name) or hasattr(keras.layers.experimental, name)


def _stripped(kind: str) -> str:
    way = listed.TFMOT[kind]
    return f"take it off before saving ({way}(model))" if way else "save the model before quantize_apply, and use aware"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aio" else f"a {noun}"


def _short(value: Any) -> str:
    return _bare(repr(value) if isinstance(value, str) else value)


def _bare(value: Any) -> str:
    said = " ".join(str(value).split())
    return said if len(said) < 80 else f"{said[:80]} …"
