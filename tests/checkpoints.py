"""Tiny random checkpoints: their weights are made anew from numbers, so only what transformers says of them is kept.

`golden/checkpoints/` has, for each, its config.json with the names and shapes of its tensors, and the logits of
`TOKENS`: see `tasks/checkpoints/make_reference.py`.
"""

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
VOCABULARY, LENGTH = 96, 32
TOKENS = np.random.RandomState(3).randint(0, VOCABULARY, LENGTH).astype(np.int32)


def weight(name: str, shape: list[int]) -> np.ndarray:
    """The same numbers everywhere and always: the legacy generator of numpy is frozen, and integers are exact."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).randint(-(1 << 15), 1 << 15, shape)
    uniform = numbers.astype(np.float32) / np.float32(1 << 15)
    if name.endswith(".bias"):
        return uniform / np.float32(4)
    if len(shape) == 1:  # a norm
        return np.float32(0.5) + uniform / np.float32(4)
    return uniform * np.float32(0.25)


def about(name: str) -> dict:
    """Its config.json and its tensors: `{"config": …, "tensors": {name: shape}}`."""
    return json.loads((GOLDEN / "checkpoints.json").read_text())[name]


def names() -> list[str]:
    return list(json.loads((GOLDEN / "checkpoints.json").read_text()))


def logits(name: str) -> np.ndarray:
    """What transformers says of `TOKENS`: float32 [LENGTH, VOCABULARY]."""
    with np.load(GOLDEN / "logits.npz") as arrays:
        return arrays[name]


def write(folder: Path, config: dict, tensors: dict[str, list[int]]) -> Path:
    """A folder of Hugging Face."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: weight(name, shape) for name, shape in tensors.items()}, folder / "model.safetensors")
    return folder


def make(folder: Path, name: str) -> Path:
    """The folder of a reference."""
    known = about(name)
    return write(folder / name, known["config"], known["tensors"])
