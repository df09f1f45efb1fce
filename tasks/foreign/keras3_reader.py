"""What Keras 3 reads in a file and computes: `keras3_reader.py REQUEST INPUTS ANSWERS`, in a process of its own.

It imports nothing of Tercet, and is the only place where Keras 3 is imported at all. REQUEST is JSON: `path`, `module`
(of the user's own layers, or null), `lambdas`, `layers` (whose outputs are wanted), `caller` (whose end is its own).
INPUTS and ANSWERS are `.npz`.
"""

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def main() -> None:
    """Answer the request that the command line holds."""
    import keras

    request = json.loads(sys.argv[1])
    if request["module"]:
        # a module that is written for tf_keras registers its layers here too: what it uses goes by the same names
        sys.modules["tf_keras"] = keras
        sys.path.insert(0, str(Path.cwd()))
        import_module(request["module"])
    model = keras.saving.load_model(request["path"], compile=False, safe_mode=not request["lambdas"])
    answers = {
        f"weights/{name}/{i}": weight for name, layer in leaves(model) for i, weight in enumerate(layer.get_weights())
    }
    with np.load(sys.argv[2], allow_pickle=False) as inputs:
        answers |= outputs(keras, model, {name: inputs[name] for name in inputs.files}, set(request["layers"]))
    np.savez(sys.argv[3], allow_pickle=False, **answers)


def end_with(caller: int) -> None:
    """End when the caller does: after a kill -9 nobody is left who would stop what takes for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != caller:
            raise SystemExit("the caller has ended")


def leaves(model: Any, prefix: str = "") -> Any:
    """The layers of a model, those of nested models among them, by path."""
    for layer in model.layers:
        if nested(layer):
            yield from leaves(layer, f"{prefix}{layer.name}.")
        else:
            yield f"{prefix}{layer.name}", layer


def nested(operation: Any) -> bool:
    """Whether a layer is a model within the model."""
    return hasattr(operation, "layers") and hasattr(operation, "inputs")


def outputs(keras: Any, model: Any, inputs: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """`output/<layer>` for each layer that is wanted and has one output, and `answer/<i>` of the whole model."""
    known = {}
    for operation in getattr(model, "operations", None) or model.layers:
        tensor = single(operation) if operation.name in wanted and not nested(operation) else None
        if tensor is not None:
            known[operation.name] = tensor
    final = keras.tree.flatten(model.outputs)
    given = [inputs[tensor._keras_history.operation.name] for tensor in keras.tree.flatten(model.inputs)]
    found = keras.Model(model.inputs, [*known.values(), *final])(given, training=False)
    arrays = [np.asarray(array) for array in keras.tree.flatten(found)]
    named = {f"output/{name}": array for name, array in zip(known, arrays, strict=False)}
    return named | {f"answer/{i}": array for i, array in enumerate(arrays[len(known) :])}


def single(operation: Any) -> Any:
    """The tensor that a layer gives; None where it was called never or twice, or gives several."""
    try:
        tensor = operation.output
    except (AttributeError, ValueError):
        return None
    return None if isinstance(tensor, list | tuple | dict) else tensor


if __name__ == "__main__":
    end_with(json.loads(sys.argv[1])["caller"])
    main()
