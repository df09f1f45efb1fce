"""What a file may ask Keras to build: its own layers and those that the user has registered, and no code."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks import custom
from tasks.errors import ModelError

MODULE = re.compile(r"^(tf_)?keras(\.\w+)*$")
CODE = ("Lambda", "__lambda__")
READERS = ("StringLookup", "IntegerLookup", "TextVectorization")  # they take their words from any file named to them
NETWORKS = ("Functional", "Sequential", "Model")
VALUES = (
    "__tuple__", "__ellipsis__", "__tensor__", "__numpy__", "__bytes__", "__keras_tensor__", "TensorShape",
    "DTypePolicy", "Policy", "slice", "SeedGenerator",
)  # fmt: skip
NAMESPACES = (
    "layers", "initializers", "regularizers", "constraints", "mixed_precision", "optimizers", "losses", "metrics",
)  # fmt: skip
# what Keras 3 calls operations, in whose place tf_keras has layers; `rebuild` knows each
OPS = ("Divide", "TrueDivide", "NotEqual", "Relu", "Relu6", "Sigmoid", "Silu", "Tanh")
OLDER = ("OrthogonalInitializer", "IdentityInitializer")  # what Keras 3 called initializers until 3.6
# operators of TensorFlow that a Functional model may call by name: arithmetic, and nothing that touches a file
OPERATORS = re.compile(r"^(math|nn|linalg|image|signal|compat\.v1\.(math|nn)|__operators__)\.\w+$")
PLAIN = frozenset({
    "add_n", "broadcast_to", "cast", "clip_by_value", "concat", "einsum", "expand_dims", "gather", "gather_nd",
    "identity", "matmul", "one_hot", "ones_like", "pad", "range", "rank", "repeat", "reshape", "reverse", "roll",
    "shape", "slice", "split", "squeeze", "stack", "strided_slice", "tensordot", "tile", "transpose", "unstack",
    "where", "zeros_like", "convert_to_tensor", "stop_gradient",
})  # fmt: skip


def check(path: Path, config: Any, *, lambdas: bool) -> None:
    """Refuse a model's configuration that asks for more than layers.

    Keras imports the module that a configuration names and calls the function that it names, so each name is looked
    at before Keras sees it.

    Args:
        path: the file, for the error.
        config: as parsed from JSON.
        lambdas: let Lambda layers be.

    Raises:
        ModelError: a Lambda layer, a class that neither Keras nor the user's module has, a function that is no
            activation, or a layer that reads files.
    """
    known, own = _known(), custom.objects()
    for layer, entry in _objects(config, "the model"):
        name, where = str(entry["class_name"]), f"{path}: layer {layer!r}"
        if name in CODE:
            if not lambdas:
                raise ModelError(f"{where} (Lambda) holds Python code; `lambdas: true` runs it, if you trust the file")
        elif name in READERS:
            raise ModelError(f"{where} ({name}) reads files; `prepare` makes token numbers of texts")
        elif name == "function":
            _check_function(where, entry, own)
        elif name == "TFOpLambda":
            _check_operator(where, entry)
        elif entry.get("registered_name", name) not in own and not (name in known and _is_ours(entry)):
            raise ModelError(
                f"{where}: {entry.get('registered_name') or name} is no layer of tf_keras; for one of your own, set "
                "`layers` to the Python module that registers it (tf_keras.saving.register_keras_serializable)"
            )


def _known() -> frozenset[str]:
    """The classes of Keras, of either generation, that a configuration may name."""
    import tf_keras as keras

    classes = {name for space in NAMESPACES for name in dir(getattr(keras, space))}
    return frozenset(classes) | {*NETWORKS, *VALUES, "SlicingOpLambda", *OPS, *OLDER}


def _objects(value: Any, layer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object that a configuration describes, at any depth, with the name of the layer that it belongs to."""
    waiting = [(value, layer)]
    while waiting:
        item, layer = waiting.pop()
        if isinstance(item, Mapping):
            if "class_name" in item:
                inner = item.get("config")
                if item["class_name"] not in VALUES and isinstance(inner, Mapping):
                    layer = str(inner.get("name", layer))
                yield layer, item
            waiting += [(part, layer) for part in item.values()]
        elif isinstance(item, list):
            waiting += [(part, layer) for part in item]


def _is_ours(entry: Mapping[str, Any]) -> bool:
    module = entry.get("module")
    return module is None or bool(MODULE.match(str(module)))


def _check_function(where: str, entry: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    import tf_keras as keras

    name = str(entry.get("config"))
    ours = entry.get("module") == "builtins" or _is_ours(entry)
    if name not in own and not (ours and callable(getattr(keras.activations, name, None))):
        raise ModelError(f"{where}: the function {name!r} of {entry.get('module')} is no activation of Keras")


def _check_operator(where: str, entry: Mapping[str, Any]) -> None:
    config = entry.get("config")
    name = str(config.get("function")) if isinstance(config, Mapping) else ""
    if name not in PLAIN and not OPERATORS.match(name):
        raise ModelError(f"{where}: TensorFlow's operator {name!r} is none that a network computes with")
