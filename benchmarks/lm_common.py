"""What both sides of `lm_gpu.py` share there: the weights, the prompts, and how a window is timed."""

import time
import zlib
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from lm_sizes import PROMPT

QUEUED = 8  # prompts that are started before the last of them is waited for
Side = Callable[[float], list[float]]  # a window of so many seconds: those of each run


def random_weights(about: dict[str, Any]) -> dict[str, Any]:
    """On the card, by name, the same numbers every time; integers are those nearest to the same numbers."""
    found: dict[str, Any] = {}
    rows = {name: (shape, dtype) for name, shape, dtype in about["weights"]}
    for name, (shape, dtype) in rows.items():
        if name.endswith(".scale"):
            continue
        generator = torch.Generator("cuda").manual_seed(zlib.crc32(name.encode()))
        if len(shape) == 1:
            found[name] = 1 + 0.1 * torch.randn(shape, device="cuda", generator=generator)
            continue
        value = torch.randn(shape, device="cuda", dtype=torch.bfloat16, generator=generator) * shape[1] ** -0.5
        if not dtype.startswith("int"):
            found[name] = value
            continue
        most = 2 ** (int(dtype[3:]) - 1) - 1
        parts = value.float().unflatten(-1, (rows[f"{name}.scale"][0][1], -1))
        scale = parts.abs().amax(-1) / most
        found[name] = (parts / scale[..., None]).round().clamp(-most, most).to(torch.int8).flatten(1)
        found[f"{name}.scale"] = scale
    return {name: found[name] for name in rows}


def prompt_of(size: Any, batch: int) -> Any:
    generator = torch.Generator("cuda").manual_seed(5)
    return torch.randint(0, size.vocabulary, (batch, PROMPT), device="cuda", generator=generator)


def timed(before: Callable[[], None], work: Callable[[], None], seconds: float) -> list[float]:
    """Seconds of each run, back to back for so long; what comes before is not counted."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        before()
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def settled(side: Side) -> float:
    """Seconds of a run, warm."""
    side(0.2)
    return median(side(0.4))
