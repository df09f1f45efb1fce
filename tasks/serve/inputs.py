"""From what a client sends to the raw arrays that a bundle's preprocessing takes. It needs numpy alone.

Examples in JSON are `{"instances": [...]}`: nested numbers (images: whole numbers from 0 to 255, [h][w] or [h][w][c]),
or a text each; of a model with several inputs `{"name": value}`, of one that reads tables `{"column": cell}`.

Errors are ValueErrors of one line, because nothing of the project need be there.
"""

from itertools import chain
from typing import Any

import numpy as np

BRIGHTEST = 255
MOST = 256  # examples in one request


def instances(body: Any) -> list[Any]:
    """The examples of a body of JSON: 1 to `MOST`."""
    if not isinstance(body, dict) or list(body) != ["instances"] or not isinstance(body["instances"], list):
        received = f"the keys {', '.join(map(str, body))}" if isinstance(body, dict) else type(body).__name__
        raise ValueError(f'{{"instances": [example, …]}} expected; received {received[:200]}')
    if not 1 <= len(body["instances"]) <= MOST:
        raise ValueError(f"1 to {MOST} examples in a request expected; received {len(body['instances'])}")
    return body["instances"]


def arrays(examples: list[Any], inputs: dict[str, Any], preprocess: Any) -> dict[str, Any]:
    """The raw arrays `[n, ...]` of examples, by the names of the model's inputs.

    Args:
        examples: as JSON has them.
        inputs: the entries of preprocess.json.
        preprocess: the bundle's module of that name.
    """
    if any("columns" in spec for spec in inputs.values()):
        table = _table(examples, [name for spec in inputs.values() for name in spec["columns"]], preprocess)
        return {name: preprocess.pick(spec, table) for name, spec in inputs.items()}
    if len(inputs) == 1 and not any(isinstance(example, dict) for example in examples):
        ((name, spec),) = inputs.items()
        return {name: _array(name, spec, examples)}
    _named(examples, list(inputs))
    return {name: _array(name, spec, [example[name] for example in examples]) for name, spec in inputs.items()}


def _named(examples: list[Any], names: list[str]) -> None:
    for example in examples:
        if not isinstance(example, dict) or example.keys() != set(names):
            received = f"the names {', '.join(example)}" if isinstance(example, dict) else type(example).__name__
            raise ValueError(f"each example by the names {', '.join(names)} expected; received {received[:200]}")


def _array(name: str, spec: dict[str, Any], values: list[Any]) -> Any:
    if any(isinstance(value, str) for value in values):
        if spec["kind"] not in ("text", "tokens") or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name}: {spec['kind']}s in numbers expected; received a text")
        return np.array(values, object)
    if spec["kind"] == "image" and (pixels := _pixels(values, spec["shape"])) is not None:
        return pixels
    try:
        raw = np.array(values)
    except (ValueError, OverflowError):
        raise ValueError(f"{name}: rows of one length expected; received rows of several") from None
    if spec["kind"] != "image":
        return raw
    if raw.dtype.kind not in "iu" or (raw.size and not 0 <= raw.min() <= raw.max() <= BRIGHTEST):
        raise ValueError(f"{name}: whole numbers from 0 to {BRIGHTEST} expected of an image's pixels")
    return raw.astype(np.uint8)


def _pixels(images: list[Any], shape: list[int]) -> Any | None:
    """Pixels [n, h, w, c], in half the time that numpy takes; None where they are none, for it to say what is wrong.

    Args:
        images: as JSON has them; grey ones may leave the last axis out.
        shape: [h, w, c].
    """
    axes = shape[:-1] if shape[-1] == 1 and not _nested(images, len(shape)) else shape
    parts = images
    for size in axes:
        if set(map(type, parts)) != {list} or set(map(len, parts)) != {size}:
            return None
        parts = list(chain.from_iterable(parts))
    try:
        return np.frombuffer(bytes(parts), np.uint8).reshape(len(images), *shape) if type(parts[0]) is int else None
    except (TypeError, ValueError):
        return None


def _nested(images: list[Any], depth: int) -> bool:
    """Whether the first image's lists are so deep."""
    part: Any = images
    for _ in range(depth):
        part = part[0] if isinstance(part, list) and part else None
    return isinstance(part, list)


def _table(rows: list[Any], columns: list[str], preprocess: Any) -> Any:
    """Cells as a CSV file has them: numbers are written out, and null is an empty cell."""
    if wrong := next((row for row in rows if not isinstance(row, dict)), None):
        raise ValueError(f"each example by its columns {', '.join(columns)} expected; received {str(wrong)[:80]}")
    _named(rows, columns)
    cells = {name: ["" if row[name] is None else str(row[name]).strip() for row in rows] for name in columns}
    return preprocess.Table(cells, list(range(1, len(rows) + 1)))
