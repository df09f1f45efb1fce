"""What shapes a result beside data and parameters: the libraries, our own code, and the processor."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from tasks import files
from tasks.bench.runner import machine

LIBRARIES = (  # that train, compress and convert; what measures stands in the devices' fingerprints
    "ai-edge-quantizer",
    "h5py",
    "keras",
    "numpy",
    "scipy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
)
RUNTIME = "ai-edge-litert"  # what artifacts are evaluated with


def libraries() -> dict[str, str | None]:
    """The version of each library that shapes a model or a file; null where it is not installed."""
    return {name: machine.installed(name) for name in LIBRARIES}


def evaluator() -> dict[str, Any]:
    """What an evaluation hangs from: this processor, which chooses the kernels, and the runtime's version."""
    return {**machine.processor(), RUNTIME: machine.installed(RUNTIME), "numpy": machine.installed("numpy")}


@cache
def code() -> str:
    """The SHA-256 of all of Tercet's own code that stages run, in hex; read once a process."""
    folder = Path(__file__).parent
    told = [f"{path.relative_to(folder).as_posix()} {files.sha256(path)}" for path in sorted(folder.rglob("*.py"))]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
