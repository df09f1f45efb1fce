"""From raw inputs to what the model reads. The pipeline uses this file, and bundles ship it: stdlib and numpy only.

`preprocess.json` says what to do with each input:

    {"kind": "image", "shape": [28, 28, 1], "mean": [0.0], "scale": [255.0]}     one mean and scale per channel
    {"kind": "text", "length": 64, "vocabulary": ["[padding]", "[unknown]", "the", ...]}
    {"kind": "array", "shape": [49, 10], "dtype": "int32"}     as they are, int32 or float32, or standardised:
    {"kind": "array", "shape": [2], "dtype": "float32", "mean": [0.1, 7.0], "scale": [1.0, 2.5]}     along the last axis
    {"kind": "number" or "series", ...}     an array of float32
    {"kind": "id", "category" or "tokens", "shape": [1], "vocabulary": 50}     integers under 50, as they are: int32

Errors are ValueErrors, because nothing of the project is there on a device.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 1
ARRAYS = ("array", "number", "series")
NUMBERED = ("id", "category", "tokens")
PADDING, UNKNOWN = 0, 1  # token numbers
RESERVED = ("[padding]", "[unknown]")  # no token looks like these: a bracket is a token of its own
TOKEN = re.compile(r"'?\w+(?:'\w+)*|[^\w\s]")  # don't, 's and single signs


def read(path: Path) -> dict[str, Any]:
    """Read preprocess.json: `inputs` and `targets` by name.

    Raises:
        FileNotFoundError: there is none.
        ValueError: not JSON, or of another schema.
    """
    described: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    version = described.get("schema_version") if isinstance(described, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {SCHEMA_VERSION} expected; received {version!r}")
    return dict(described)


def apply(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[Any]:
    """Make one input model-ready.

    Args:
        spec: the input's entry of preprocess.json.
        raw: a batch: uint8 [n, height, width, channels] for images, of which grey ones may leave the last axis out, str
            [n] for text, numbers [n, ...] for arrays.

    Returns:
        (raw - mean) / scale as float32 [n, height, width, channels], token numbers as int32 [n, length], or the
        numbers in the array's own type [n, ...].

    Raises:
        ValueError: `raw` is not what `spec` describes.
    """
    if spec["kind"] == "image":
        return _image(spec, raw)
    if spec["kind"] == "text":
        return _text(spec, raw)
    if spec["kind"] in ARRAYS:
        return _array(spec, raw)
    if spec["kind"] in NUMBERED:
        return _numbered(spec, raw)
    kinds = ("image", "text", *ARRAYS, *NUMBERED)
    raise ValueError(f"an input of kind {', '.join(kinds[:-1])} or {kinds[-1]} expected; received {spec['kind']!r}")


def tokens(text: str) -> list[str]:
    """The lower-case words and signs of a text, in order."""
    return TOKEN.findall(text.lower())


def _image(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.float32]:
    shape = tuple(spec["shape"])
    if shape[-1] == 1 and raw.ndim == len(shape):  # as programs for images give grey ones
        raw = raw[..., np.newaxis]
    if raw.dtype != np.uint8 or raw.shape[1:] != shape or raw.ndim != len(shape) + 1:
        raise ValueError(f"images of uint8 [n, {str(shape)[1:-1]}] expected; received {raw.dtype} {list(raw.shape)}")
    return _standardised(spec, raw)


def _array(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[Any]:
    shape = tuple(spec["shape"])
    integers = spec["dtype"] == "int32"
    if raw.dtype.kind not in ("iu" if integers else "iuf") or raw.shape[1:] != shape or raw.ndim != len(shape) + 1:
        kind = "integers" if integers else "numbers"
        raise ValueError(f"{kind} [n, {str(list(shape))[1:-1]}] expected; received {raw.dtype} {list(raw.shape)}")
    return _standardised(spec, raw) if "mean" in spec else raw.astype(spec["dtype"])


def _numbered(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int32]:
    ready: NDArray[np.int32] = _array(spec | {"dtype": "int32"}, raw)
    if ready.size and not 0 <= ready.min() <= ready.max() < spec["vocabulary"]:
        raise ValueError(
            f"numbers from 0 to {spec['vocabulary'] - 1} expected; received {ready.min()} to {ready.max()}"
        )
    return ready


def _standardised(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.float32]:
    ready = raw.astype(np.float32)
    ready -= np.asarray(spec["mean"], np.float32)
    ready /= np.asarray(spec["scale"], np.float32)
    return ready


def _text(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int32]:
    if raw.dtype.kind not in "UO" or raw.ndim != 1 or not all(isinstance(text, str) for text in raw):
        raise ValueError(f"texts of str [n] expected; received {raw.dtype} {list(raw.shape)}")
    number = {token: index for index, token in enumerate(spec["vocabulary"])}
    ready = np.full((len(raw), spec["length"]), PADDING, np.int32)
    for row, text in zip(ready, raw, strict=True):
        found = [number.get(token, UNKNOWN) for token in tokens(str(text))[: spec["length"]]]
        row[: len(found)] = found
    return ready
