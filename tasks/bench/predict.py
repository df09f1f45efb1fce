"""Running an artifact on examples, in a process of its own: a runtime that crashes takes nobody with it.

All that it answers comes here, to be compared; what is judged `judging` keeps where it is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.bench.setup import Setup
from tasks.bench.transport import Local
from tasks.errors import UnsupportedError
from tasks.examples import Array, Examples, save_inputs
from tasks.records import Signature
from tasks.scratch import scratch

RESOURCES = ("runner/litert.py", "runner/language.py")  # of the code that is run there
TIMEOUT_S = 1800.0  # a whole split
Kernels = Literal["default", "reference"]


def predict(
    artifact: Path,
    examples: Examples,
    kernels: Kernels = "default",
    calls: Sequence[Signature] = (),
    asked: str | None = None,
) -> tuple[dict[str, Array], str]:
    """What a LiteRT file answers.

    Args:
        artifact: the file.
        examples: model-ready ones, by the names of its inputs; their targets are not looked at.
        kernels: the runtime's own choice, or its portable reference kernels.
        calls: the file's signatures, where it has several; where one keeps a state, an example is a prompt, and the
            answer are the scores of the token after it.
        asked: the signature that takes the example whole instead, whose answer are the scores at every place.

    Returns:
        The outputs, float32 [n, ...] by name, in the file's order, and the runtime's name and version.

    Raises:
        UnsupportedError: the runtime refuses the artifact.
        DeviceError: it crashed, or did not end in time.
    """
    with scratch("predict") as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        save_inputs(inputs, examples)
        stateful = any(call.state for call in calls)
        told = {"signatures": [call.model_dump() for call in calls], "asked": asked} if stateful else {}
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


def litert(kernels: Kernels = "default") -> Setup:
    """How LiteRT is asked here, by one thread, for what it answers."""
    options = {"kernels": kernels, "threads": 1}
    return Setup(Local(), "litert", options, energy={}, watts_per_core=(0.0, 0.0, 0.0), generates="language")
