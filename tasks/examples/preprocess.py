"""From raw inputs to what the model reads. The pipeline uses this file, and bundles ship it: stdlib and numpy only.

`tables` and `texts`, which travel with it, read tables and make numbers of texts.

`preprocess.json` says what to do with each input:

    {"kind": "image", "shape": [28, 28, 1], "mean": [0.0], "scale": [255.0]}     one mean and scale per channel
    {"kind": "text", "length": 64, "vocabulary": ["[padding]", "[unknown]", "the", ...]}     "bigrams": true: pairs too
    {"kind": "array", "shape": [49, 10], "dtype": "int32"}     as they are, int32 or float32, or standardised:
    {"kind": "array", "shape": [2], "dtype": "float32", "mean": [0.1, 7.0], "scale": [1.0, 2.5]}     along the last axis
    {"kind": "number" or "series", ...}     an array of float32
    {"kind": "series", "shape": [30, 1], "change": "log", ...}     the 29 changes from row to row
    {"kind": "id", "category" or "tokens", "shape": [1], "vocabulary": 50}     integers under 50, as they are: int32
    {"kind": "tokens", "shape": [64], "vocabulary": 4, "characters": "abc"}     of texts; 3 is every other character
    {"kind": "tokens", "shape": [64], "vocabulary": 256, "bytes": true}     of texts in UTF-8
    {"kind": "tokens", "shape": [64], "vocabulary": 49152, "tokenizer": {…}}     of texts, by a tokenizer.json
    {"kind": "tokens", "shape": [64], "vocabulary": 257, "merges": [["t", "h"]]}     likewise, by byte-level BPE

Any of numbers may be brought down to principal components, (ready - centre) @ components.T of each example, flat:

    {"kind": "image", ..., "centre": [0.1, …], "components": [[0.2, …], …]}

Inputs from a table say which of its columns they are of; what is missing there has a value of its own. A date becomes
five numbers, and has an offset from UTC where those that were learnt from had one, and none where they had none:

    {"kind": "number", "shape": [2], "columns": ["age", "fare"], "missing": [29.7, 32.2], "mean": …, "scale": …}
    {"kind": "date", "shape": [1], "columns": ["day"], "mean": [19800.5], "scale": [41.0], "zoned": [false]}
    {"kind": "category", "shape": [1], "columns": ["port"], "values": [["S", "C", ""]], "vocabulary": 4}

    {"kind": "category", "shape": [9], "shared": true, "values": [["a", "b"]], "vocabulary": 3}     9 of the same values

Errors are ValueErrors, because nothing of the project is there on a device.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import texts
from .tables import Table, cells, days, pick, zoned

__all__ = [  # what a bundle's `classify.py` and its server take of tables is found here
    "Table", "apply", "cells", "changes", "days", "pick", "read", "ready_shape", "step",
]  # fmt: skip
SCHEMA_VERSION = 1
ARRAYS = ("array", "number", "series")
PARTS_OF_A_DATE = 5
YEAR_D, WEEK_D = 365.2425, 7
NUMBERED = ("id", "category", "tokens")


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
            [n] for text, numbers [n, ...] for arrays; of a table's columns floats or str [n, columns], see `pick`.

    Returns:
        (raw - mean) / scale as float32 [n, height, width, channels], token numbers as int32 [n, length], or the
        numbers in the array's own type [n, ...]; where there are principal components, those, float32 [n, components].

    Raises:
        ValueError: `raw` is not what `spec` describes.
    """
    ready = _ready(spec, raw)
    return _projected(spec, ready) if "components" in spec else ready


def _projected(spec: dict[str, Any], ready: NDArray[Any]) -> NDArray[np.float32]:
    flat = ready.reshape(len(ready), -1) - np.asarray(spec["centre"])
    found: NDArray[np.float32] = (flat @ np.asarray(spec["components"]).T).astype(np.float32)
    return found


def _ready(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[Any]:
    if spec["kind"] == "image":
        return _image(spec, raw)
    if spec["kind"] == "text":
        return texts.by_words(spec, raw)
    if spec["kind"] in ARRAYS:
        return _array(spec, raw)
    if spec["kind"] in NUMBERED:
        return _numbered(spec, raw)
    if spec["kind"] == "date":
        return _dates(spec, raw)
    kinds = ("image", "text", "date", *ARRAYS, *NUMBERED)
    raise ValueError(f"an input of kind {', '.join(kinds[:-1])} or {kinds[-1]} expected; received {spec['kind']!r}")


def ready_shape(spec: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one example when it is made ready: of the raw one, of changes, one fewer, or of components."""
    if "components" in spec:
        return (len(spec["components"]),)
    first, *rest = spec["shape"]
    if spec["kind"] == "date":
        return (PARTS_OF_A_DATE * first,)
    return (first - 1, *rest) if "change" in spec else (first, *rest)


def step(change: str, before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    """The change from one value to another: the difference, or `log`, 100 times that of the logarithms."""
    early, late = before.astype(np.float64), after.astype(np.float64)
    found: NDArray[np.float64] = 100 * np.log(late / early) if change == "log" else late - early
    return found


def changes(change: str, raw: NDArray[Any]) -> NDArray[np.float64]:
    """The changes from row to row of windows [n, rows, columns]: float64 [n, rows - 1, columns].

    Raises:
        ValueError: a logarithm is asked for of what has none.
    """
    if change == "log" and not (raw > 0).all():
        raise ValueError("numbers above 0 expected, as a window is told by the changes of their logarithms")
    return step(change, raw[:, :-1], raw[:, 1:])


def _image(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.float32]:
    shape = tuple(spec["shape"])
    if shape[-1] == 1 and raw.ndim == len(shape):  # as programs for images give grey ones
        raw = raw[..., np.newaxis]
    if raw.dtype != np.uint8 or raw.shape[1:] != shape or raw.ndim != len(shape) + 1:
        raise ValueError(f"images of uint8 [n, {str(shape)[1:-1]}] expected; received {raw.dtype} {list(raw.shape)}")
    return _standardised(spec, raw)


def _array(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[Any]:
    shape = tuple(spec["shape"])
    integers = spec.get("dtype") == "int32"
    if raw.dtype.kind not in ("iu" if integers else "iuf") or raw.shape[1:] != shape or raw.ndim != len(shape) + 1:
        kind = "integers" if integers else "numbers"
        raise ValueError(f"{kind} [n, {str(list(shape))[1:-1]}] expected; received {raw.dtype} {list(raw.shape)}")
    if "change" in spec:
        with np.errstate(over="ignore"):  # it is told
            raw = changes(spec["change"], _finite(raw.astype(np.float32)))  # as in training; JSON's are doubles
    if integers:
        return _within(raw, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
    with np.errstate(over="ignore"):  # it is told below
        if "missing" in spec:
            known = np.where(np.isnan(raw), spec["missing"], raw)  # in doubles, which hold a date or a number of euros
            ready: NDArray[np.float32] = ((known - spec["mean"]) / spec["scale"]).astype(np.float32)
        else:
            ready = _standardised(spec, raw) if "mean" in spec else raw.astype(np.float32)
    return _finite(ready)


def _finite(ready: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same numbers, if all are: an integer program would take what is no number for one."""
    if not np.isfinite(ready).all():
        raise ValueError("finite numbers within float32 expected; received others")
    return ready


def _within(raw: NDArray[Any], least: int, most: int) -> NDArray[Any]:
    """The same integers, if all are: a type that is too narrow would make others of them."""
    if raw.size and not least <= raw.min() <= raw.max() <= most:
        raise ValueError(f"numbers from {least} to {most} expected; received {raw.min()} to {raw.max()}")
    return raw


def _numbered(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int32]:
    if "values" in spec:
        return _categories(spec, raw)
    if spec["kind"] == "tokens" and raw.dtype.kind in "UO":
        raw = texts.last(spec, raw)
    if raw.dtype.kind in "iu":
        _within(raw, 0, spec["vocabulary"] - 1)
    ready: NDArray[np.int32] = _array(spec | {"dtype": "int32"}, raw)
    return ready


def _categories(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int32]:
    """The columns' values are numbered one column after the other; the first number of each is for all other values."""
    (count,) = spec["shape"]
    if raw.dtype.kind not in "UO" or raw.ndim != 2 or raw.shape[1] != count:
        raise ValueError(f"str [n, {count}] expected; received {raw.dtype} {list(raw.shape)}")
    ready, start = np.empty(raw.shape, np.int32), 0
    if spec.get("shared"):
        known = {value: 1 + index for index, value in enumerate(spec["values"][0])}
        return np.array([known.get(value, 0) for value in raw.ravel()], np.int32).reshape(raw.shape)
    for place, values in enumerate(spec["values"]):
        number = {value: start + 1 + index for index, value in enumerate(values)}
        ready[:, place] = [number.get(value, start) for value in raw[:, place]]
        start += 1 + len(values)
    return ready


def _dates(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.float32]:
    """Of each date how late it is, standardised, and where in the year and in the week; all 0 of one that is missing.

    A place in a circle is a sine and a cosine, so that the last day of a year is near to the first one of the next.
    """
    if raw.dtype.kind not in "UO" or raw.ndim != 2 or raw.shape[1:] != tuple(spec["shape"]):
        raise ValueError(f"str [n, {spec['shape'][0]}] expected; received {raw.dtype} {list(raw.shape)}")
    for name, told, column in zip(spec.get("columns", ()), spec.get("zoned", ()), raw.T, strict=False):
        _check_offset(name, column, zone=told)
    found = np.array([[days(str(cell)) for cell in row] for row in raw], np.float64).reshape(raw.shape)
    turns = [2 * np.pi * found / circle for circle in (YEAR_D, WEEK_D)]
    parts = [(found - spec["mean"]) / spec["scale"], *(wave(turn) for turn in turns for wave in (np.sin, np.cos))]
    ready: NDArray[np.float32] = np.nan_to_num(np.concatenate(parts, axis=1)).astype(np.float32)
    return ready


def _check_offset(name: str, column: NDArray[Any], *, zone: bool | None) -> None:
    """The same date is hours apart with an offset from UTC and without: it is as those that were learnt from."""
    for cell in map(str, column):
        if None not in (zone, found := zoned([cell])) and found != zone:
            told = "with its offset from UTC, such as 2026-01-31T12:00+01:00," if zone else "without an offset from UTC"
            raise ValueError(f"column {name!r}: a date {told} expected, as all in training are; received {cell}")


def _standardised(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.float32]:
    ready = raw.astype(np.float32)
    ready -= np.asarray(spec["mean"], np.float32)
    ready /= np.asarray(spec["scale"], np.float32)
    return ready
