"""How fast each pair of a head's numbers turns from one place to the next."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frequencies = NDArray[np.float32]


def plain(theta: float, width: int) -> Frequencies:
    """1 / theta^(2i / width), for the pairs i of the first `width` numbers: Su et al., "RoFormer" (2021)."""
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return (1.0 / np.float32(theta) ** exponents).astype(np.float32)


def linear(frequencies: Frequencies, factor: float) -> Frequencies:
    """Places closer to one another by a factor: Chen et al., "Extending Context Window of LLMs" (2023)."""
    return (frequencies / np.float32(factor)).astype(np.float32)


def llama3(frequencies: Frequencies, factor: float, low: float, high: float, room: int) -> Frequencies:
    """Slow pairs slower by a factor, fast ones as they are, a slope between: as Llama 3.1 does.

    Args:
        frequencies: of a text as long as those that it was first trained on.
        factor: for wavelengths over room / low.
        low: see `factor`.
        high: wavelengths under room / high stay.
        room: tokens that it was first trained for.
    """
    wavelengths = np.float32(2 * math.pi) / frequencies
    slope = np.clip((np.float32(room) / wavelengths - np.float32(low)) / np.float32(high - low), 0, 1)
    found: Frequencies = (1 - slope) * frequencies / np.float32(factor) + slope * frequencies
    return found


SCALINGS: Mapping[str, tuple[Callable[..., Frequencies], dict[str, str]]] = {  # the function, and config.json's names
    "linear": (linear, {"factor": "factor"}),
    "llama3": (
        llama3,
        {
            "factor": "factor", "low": "low_freq_factor", "high": "high_freq_factor",
            "room": "original_max_position_embeddings",
        },
    ),
}  # fmt: skip


def scaled(kind: str, frequencies: Frequencies, known: Mapping[str, Any]) -> Frequencies:
    """The frequencies by a scaling of `SCALINGS`, given what config.json says of it."""
    make, names = SCALINGS[kind]
    return make(frequencies, **{name: known[key] for name, key in names.items()})
