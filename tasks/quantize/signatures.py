"""The ways to call a LiteRT file that has several, and what it keeps from one call to the next.

A state is told by its name: what a signature gives under the name, in the shape and in the type of one of its inputs is
that input in the next call, as LiteRT-LM has it of its caches. A file of one signature answers each example by itself.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from tasks.bench.runner.prompts import ROOM
from tasks.errors import ModelError
from tasks.formats import tflite
from tasks.quantize import litert
from tasks.records import Signature, Tensor

DECODE, PREFILL, TOKENS = "decode", "prefill", "tokens"
GIVEN = (TOKENS, "input_pos")
WRITE = "DYNAMIC_UPDATE_SLICE"  # which changes a part of a tensor, and leaves the rest where it is


def read(file: tflite.File) -> tuple[Signature, ...]:
    """Every signature of a file of several; none of any other."""
    if len(file.signatures) < 2:
        return ()
    return tuple(_signature(file.graphs[found.graph], found) for found in file.signatures)


def _signature(graph: tflite.Graph, found: tflite.Signature) -> Signature:
    sides = (
        {name: _whole(graph.tensors[place], name) for name, place in side.items()}
        for side in (found.inputs, found.outputs)
    )
    inputs, outputs = sides
    state = [name for name, tensor in outputs.items() if tensor == inputs.get(name)]
    writes = [_write(graph, found.inputs[name], found.outputs[name]) for name in state]
    rooms = [_room(graph, write) for write in writes if write]
    return Signature(
        name=found.name,
        inputs=tuple(inputs.values()),
        outputs=tuple(outputs.values()),
        state={name: name for name in state},
        in_place=bool(writes) and all(writes),
        places=min((room for room in rooms if room), default=None),
    )


def _whole(found: tflite.Tensor, name: str) -> Tensor:
    """A tensor with all its axes: what a call is given beside an example need not have one for the batch."""
    return litert.tensor(found, name).model_copy(update={"shape": found.shape})


def _write(graph: tflite.Graph, before: int, after: int) -> tflite.Operator | None:
    """The one operator that reads a state as it was, where that is what writes a part of it; else None.

    Only then may both be the same memory: nobody reads the old state once the new one is being written.
    """
    readers = [operator for operator in graph.operators if before in operator.inputs]
    if len(readers) == 1 and readers[0].kind == WRITE and readers[0].inputs[0] == before:
        return readers[0] if readers[0].outputs == (after,) else None
    return None


def _room(graph: tflite.Graph, write: tflite.Operator) -> int | None:
    """How many tokens fit into a state: the size of the one axis along which a part of it is written."""
    whole, part = (graph.tensors[place].shape for place in write.inputs[:2])
    axes = [size for size, written in zip(whole, part, strict=True) if size != written]
    return axes[0] if len(axes) == 1 else None


def language(model: str, found: Sequence[Signature]) -> tuple[Tensor, Tensor]:
    """What a language model takes and gives: its tokens, and the scores of the next one.

    Args:
        model: its name.
        found: the signatures of its file, of which one at least keeps a state.

    Raises:
        ModelError: it is not called as LiteRT-LM calls its files, which is the only way that is known.
    """
    calls = {signature.name: signature for signature in found if signature.state}
    prefills = [signature for name, signature in calls.items() if name.startswith(PREFILL)]
    if DECODE not in calls or not prefills:
        names = ", ".join(signature.name for signature in found)
        raise ModelError(
            f"model {model!r}: a file that keeps a state is called by its signatures {DECODE!r} and {PREFILL!r} (or "
            f"{PREFILL}_…), each with the state; received {names}"
        )
    decode = calls[DECODE]
    scores = _scores(decode)
    for signature in (decode, *prefills):
        _check(model, signature, decode)
    for signature in [call for name, call in calls.items() if ROOM.fullmatch(name)]:
        _check(model, _widened(signature, decode), decode)
    if len(scores) != 1 or any(_scores(prefill) not in ([], scores) for prefill in prefills):
        told = ", ".join(tensor.name for tensor in scores) or "nothing"
        raise ModelError(
            f"model {model!r}: signature {DECODE!r} gives {told} beside its state; one output is expected, the scores "
            f"of the next token, and of {PREFILL} the same one or none"
        )
    (tokens,) = (tensor for tensor in decode.inputs if tensor.name == TOKENS)
    if prod(tokens.shape) != 1:
        raise ModelError(f"model {model!r}: signature {DECODE!r} takes {list(tokens.shape)} tokens; one is expected")
    return tokens, scores[0].model_copy(update={"shape": (prod(scores[0].shape),)})


def state_bytes(found: Sequence[Signature]) -> int | None:
    """What `decode` is given of the text before it; None: nothing, or there is no such signature."""
    states = [tensor for each in found if each.name == DECODE for tensor in each.inputs if tensor.name in each.state]
    return sum(prod(tensor.shape) * np.dtype(tensor.dtype).itemsize for tensor in states) or None


def _scores(signature: Signature) -> list[Tensor]:
    return [tensor for tensor in signature.outputs if tensor.name not in signature.state]


def _widened(signature: Signature, decode: Signature) -> Signature:
    """A signature of a smaller room as it would be in that of `decode`, if all that it lacks is places of the state."""
    found = ROOM.fullmatch(signature.name)
    assert found
    room, states = int(found[1]), {tensor.name: tensor for tensor in decode.inputs if tensor.name in decode.state}
    inputs = []
    for tensor in signature.inputs:
        whole = states.get(tensor.name, tensor)
        other = [sizes for sizes in zip(tensor.shape, whole.shape, strict=False) if sizes[0] != sizes[1]]
        smaller = len(tensor.shape) == len(whole.shape) and other == [(room, decode.places)]
        inputs.append(tensor.model_copy(update={"shape": whole.shape}) if smaller else tensor)
    return signature.model_copy(update={"inputs": tuple(inputs)})


def _check(model: str, signature: Signature, decode: Signature) -> None:
    """Refuse a signature that could not be called, or whose state is not decode's."""
    what = f"model {model!r}: signature {signature.name!r}"
    taken = [tensor.name for tensor in signature.inputs]
    known = (*GIVEN, *signature.state.values())
    if strangers := [name for name in taken if name not in known]:
        raise ModelError(
            f"{what} takes {', '.join(map(repr, strangers))}, which nobody gives it; known are {', '.join(GIVEN)} and "
            "what it gives itself under the same name, in the same shape and type"
        )
    states = [[t for t in each.inputs if t.name in each.state.values()] for each in (signature, decode)]
    if TOKENS not in taken or sorted(states[0], key=lambda t: t.name) != sorted(states[1], key=lambda t: t.name):
        raise ModelError(f"{what} takes {', '.join(taken)}; {TOKENS!r} and the state of {DECODE!r} are expected")
