"""Running an artifact on examples, in a process of its own: a runtime that crashes takes nobody with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.bench.transport import Local
from tasks.errors import UnsupportedError
from tasks.examples import Array, Arrays, Examples, chunks
from tasks.records import Signature
from tasks.scratch import scratch

RESOURCES = ("runner/litert.py", "runner/language.py")  # of the code that is run there
TIMEOUT_S = 1800.0
Kernels = Literal["default", "reference"]


def predict(
    artifact: Path, examples: Examples, kernels: Kernels = "default", calls: Sequence[Signature] = ()
) -> tuple[dict[str, Array], str]:
    """What a LiteRT file answers.

    Args:
        artifact: the file.
        examples: model-ready ones, by the names of its inputs; their targets are not looked at.
        kernels: the runtime's own choice, or its portable reference kernels.
        calls: the file's signatures, where it has several; where one keeps a state, an example is a prompt, and the
            answer are the scores of the token after it.

    Returns:
        The outputs, float32 [n, ...] by name, in the file's order, and the runtime's name and version.

    Raises:
        UnsupportedError: the runtime refuses the artifact.
        DeviceError: it crashed, or did not end in time.
    """
    answered = [_predict(artifact, chunk, kernels, calls) for chunk in chunks(examples)]
    names, runtime = answered[0][0], answered[0][1]
    return {name: np.concatenate([outputs[name] for outputs, _ in answered]) for name in names}, runtime


def _predict(
    artifact: Path, examples: Arrays, kernels: Kernels, calls: Sequence[Signature]
) -> tuple[dict[str, Array], str]:
    with scratch("predict") as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(inputs, allow_pickle=False, **examples.inputs)
        stateful = any(call.state for call in calls)
        told = {"signatures": [call.model_dump() for call in calls]} if stateful else {}
        request = {
            "action": "predict",
            "runtime": "language" if stateful else "litert",
            "options": {"kernels": kernels, "threads": 1, **told},
        }
        files = {"model": artifact, "inputs": inputs}
        response = Local().run(request, files, {"outputs": outputs}, timeout_s=TIMEOUT_S)
        if response.status != "ok":
            raise UnsupportedError(f"{artifact}: {response.reason}")
        with np.load(outputs, allow_pickle=False) as arrays:
            return dict(arrays), response.environment["runtime"]
