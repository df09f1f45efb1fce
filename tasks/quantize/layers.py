"""Which operators of a LiteRT file a layer of the Keras model has become, by the names that the converter leaves."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.errors import ConversionError, ParamsError, suggest
from tasks.formats import tflite
from tasks.formats.schemes import SCHEMES

if TYPE_CHECKING:
    import tf_keras

# they pass values on and compute none
MOVES = {
    "CAST", "DEPTH_TO_SPACE", "DEQUANTIZE", "EXPAND_DIMS", "MAX_POOL_2D", "PACK", "PAD", "PADV2", "QUANTIZE", "RESHAPE",
    "REVERSE_V2", "SHAPE", "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK",
}  # fmt: skip
BETWEEN = {"DEQUANTIZE", "QUANTIZE"}  # floats and integers
WEIGHTS = {  # where an operator has its weights among its inputs, if it has any
    "BATCH_MATMUL": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "EMBEDDING_LOOKUP": 1, "FULLY_CONNECTED": 1, "GATHER": 0,
    "TRANSPOSE_CONV": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """One operator of the main graph."""

    kind: str  # as in the schema: CONV_2D
    scope: str  # the names of its outputs, each with a semicolon: how ai-edge-quantizer tells operators apart
    layers: tuple[str, ...]  # the Keras layers that it is made of; the first one owns it
    weights: str | None  # the type of its weights: float32, int8, int4; None: it has none
    floats: bool  # it reads or writes a float32 tensor


def names(model: "tf_keras.Model") -> dict[str, bool]:
    """The name of every layer, those of nested models too, and whether it has a kernel: a weight of several axes."""
    import tf_keras as keras

    found: dict[str, bool] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= names(layer)
        else:
            found[layer.name] = any(len(weight.shape) > 1 for weight in layer.weights)
    return found


def read(
    content: bytes, known: Mapping[str, bool], ends: tuple[str, ...] = (), within: str = ""
) -> tuple[Operator, ...]:
    """The operators of a file's main graph, in its order.

    Args:
        content: the file.
        known: see `names`.
        ends: the Keras layers of the model's outputs: the converter renames what stands at the end of a graph.
        within: the model's name, which stands before its layers' and may be that of one of them.
    """
    graph = tflite.parse(content).main
    tensors = [tensor.name for tensor in graph.tensors]
    stored = {i: tensor.dtype for i, tensor in enumerate(graph.tensors) if tensor.stored is not None}
    constant = set(stored)
    made: dict[int, tuple[str, ...]] = {}  # by tensor: the layers of what computes it
    found = []
    for operator in graph.operators:
        kind = operator.kind
        inputs, outputs = ([i for i in side if i >= 0] for side in (operator.inputs, operator.outputs))
        layers = named([tensors[i] for i in outputs], known, within) or named(
            [tensors[i] for i in inputs if i in constant], known, within
        )
        if not layers and set(outputs) & set(graph.outputs):
            layers = tuple(name for name in ends if name in known)[:1] if len(ends) == 1 else ()
        layers = layers or next((made[i] for i in inputs if i in made), ())
        made |= dict.fromkeys(outputs, layers)
        if kind == "DEQUANTIZE" and inputs[0] in stored:
            stored[outputs[0]] = stored[inputs[0]]
        weights = stored.get(inputs[WEIGHTS[kind]]) if kind in WEIGHTS else None
        floats = any(graph.tensors[i].dtype == "float32" for i in (*inputs, *outputs))
        found.append(Operator(kind, "".join(f"{tensors[i]};" for i in outputs), layers, weights, floats))
    return tuple(found)


def floats(content: bytes) -> tuple[Operator, ...]:
    """The operators of a file's main graph that read or write a float32 tensor."""
    return tuple(operator for operator in read(content, {}) if operator.floats)


def refuse_floats(kept: Sequence[Operator], scheme: str, *ways: str) -> None:
    """Refuse what is to be integers throughout and is not.

    Args:
        kept: the operators that should not have stayed float32.
        scheme: of the file.
        ways: what else there is to do.

    Raises:
        ConversionError: there are some; the message has the layers that they come from, and what to do.
    """
    if not kept:
        return
    kept = [operator for operator in kept if operator.kind not in BETWEEN] or kept
    said = [f"{each.kind} ({f'layer {each.layers[0]}' if each.layers else each.scope.rstrip(';')})" for each in kept]
    left = dict.fromkeys(name for operator in kept for name in operator.layers[:1])
    if "exclude" in SCHEMES.load(scheme).takes and all(operator.layers for operator in kept):
        ways = (f"leave out what has no integers by `exclude: [{', '.join(left)}]`", *ways)
    raise ConversionError(
        f"scheme {scheme}: {', '.join(dict.fromkeys(said))} stayed float32, so the variant would not run on an integer "
        f"device; {', '.join((*ways, 'use scheme dynamic'))}, or a model without that operator"
    )


def of(operators: Iterable[Operator], name: str, key: str) -> list[Operator]:
    """The operators that a layer is part of.

    Args:
        operators: of the file.
        name: of the layer.
        key: of params.yaml, for the error.

    Raises:
        ParamsError: no operator is made of it; the message has a near match and all layers that there are.
    """
    operators = list(operators)
    found = [operator for operator in operators if name in operator.layers]
    if not found:
        allowed = {layer for operator in operators for layer in operator.layers}
        raise ParamsError(f"{key}: no operator of the artifact comes from a layer {name!r}; {suggest(name, allowed)}")
    return found


def meant(operators: Iterable[Operator], name: str, key: str, *, weighted: bool) -> list[str]:
    """The layers that a name means: the one that is called so, or those that a name with `*`, `?` or `[` in it fits.

    Args:
        operators: of the file.
        name: as it was asked for; no layer can be called by one of these signs.
        key: of params.yaml, for the error.
        weighted: whether such a name means only layers that have weights.

    Raises:
        ParamsError: there are none; see `of`.
    """
    operators = list(operators)
    if is_pattern(name) and (found := fnmatch.filter(owners(operators, weighted=weighted), name)):
        return found
    of(operators, name, key)
    return [name]


def is_pattern(name: str) -> bool:
    """Whether a name may mean several layers."""
    return not set(name).isdisjoint("*?[")


def owners(operators: Iterable[Operator], *, weighted: bool) -> dict[str, list[Operator]]:
    """The operators by the layer that owns them, in the graph's order, without layers that only move values.

    Args:
        operators: of the file.
        weighted: only layers that have weights.
    """
    found: dict[str, list[Operator]] = {}
    for operator in operators:
        if operator.layers:
            found.setdefault(operator.layers[0], []).append(operator)
    return {
        name: owned
        for name, owned in found.items()
        if any(operator.weights if weighted else operator.kind not in MOVES for operator in owned)
    }


def named(tensors: Iterable[str], known: Mapping[str, bool], within: str = "") -> tuple[str, ...]:
    """The layers in names like `model/relu/Relu;model/conv/Conv2D`, those with a kernel first.

    A layer's own name may have slashes, and begin like another's: of all that stand at a place the longest is meant.
    """
    longest = max((name.count("/") + 1 for name in known), default=0)
    found: dict[str, None] = {}
    for path in (path for name in tensors for path in name.split(";")):
        steps = path.split("/")[:-1]  # what stands last is the operation
        if within in steps[:-1][:2]:  # before the model's name stands that of what calls it
            del steps[: steps.index(within) + 1]
        start = 0
        while start < len(steps):
            ends = range(min(start + longest, len(steps)), start, -1)
            end = next((end for end in ends if "/".join(steps[start:end]) in known), None)
            if end is not None:
                found["/".join(steps[start:end])] = None
            start = end or start + 1
    return tuple(sorted(found, key=lambda name: not known[name]))
