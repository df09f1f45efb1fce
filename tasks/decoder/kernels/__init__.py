"""Kernels for NVIDIA's GPUs that XLA calls within programs of StableHLO; `int4.ptx` is what nvcc makes of `int4.cu`.

`python -m tasks.decoder.kernels` makes it anew. It runs on compute capability 8.0 and above, with drivers of CUDA 11.4
and above; the driver compiles it when a program is loaded.
"""

import hashlib
import json
import re
import struct
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent / "int4.cu"
MADE = SOURCE.with_suffix(".ptx")
TARGET = "__gpu$xla.gpu.ptx"


@cache
def parts() -> tuple[str, dict[str, str]]:
    """What stands before all kernels, and each of them by its name."""
    head, *kernels = MADE.read_text(encoding="ascii").split(".visible .entry ")
    return head, {text.partition("(")[0]: f".visible .entry {text}" for text in kernels}


def call(name: str, grid: int, threads: int, shared: int, **sizes: int | float) -> str:
    """What XLA is told of a call: the kernel, and over how many threads and how much shared memory it runs.

    Args:
        name: of a kernel.
        grid: blocks.
        threads: of a block.
        shared: bytes of a block.
        sizes: numbers in place of their names; of floats, as float32.
    """
    head, kernels = parts()
    text = re.sub(r"\b[A-Z]+(?=;)", lambda found: _number(sizes[found[0]]), head + kernels[name])
    about = {"grid": (grid, 1, 1), "block": (threads, 1, 1)}
    counts = {f"{side}_{axis}": n for side, each in about.items() for axis, n in zip("xyz", each, strict=True)}
    counts["shared_mem_bytes"] = shared
    words = {"name": name, "kernel_type": "ptx", "kernel_data": text}
    fields = [f"{key} = {json.dumps(word)}" for key, word in words.items()]
    return "{" + ", ".join([*fields, *(f"{key} = {n} : i32" for key, n in counts.items())]) + "}"


def _number(value: int | float) -> str:
    """As PTX writes it."""
    return str(value) if isinstance(value, int) else f"0f{struct.pack('>f', value).hex()}"


def digest() -> str:
    """Of the source, by which the made file says what it is of."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()
