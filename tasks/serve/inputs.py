"""From what a client sends to the raw arrays that a bundle's preprocessing takes. It needs numpy alone.

Examples in JSON are `{"instances": [...]}`: nested numbers (images: whole numbers from 0 to 255, [h][w] or [h][w][c]),
or a text each; of a model with several inputs `{"name": value}`, of one that reads tables `{"column": cell}`.

Errors are ValueErrors of one line, because nothing of the project need be there.
"""

from itertools import chain
from numbers import Number
from typing import Any

import numpy as np

BRIGHTEST = 255
MOST = 256  # examples in one request
# cells of a file that tables in memory keep as nothing: what pandas reads so (`none` is a word to it)
MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
AS_IN_A_FILE = "a text, as a CSV file has it, expected"


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
        table = _table(examples, inputs, preprocess)
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


def _table(rows: list[Any], inputs: dict[str, Any], preprocess: Any) -> Any:
    """Cells as a CSV file has them: what the column's own words say, of null and NaN too."""
    words: dict[str, list[str]] = {}  # of each column; none where it has numbers or dates
    for spec in inputs.values():
        count = len(spec["columns"])
        known = spec.get("values", [[]] * count)
        for name, some in zip(spec["columns"], known * count if spec.get("shared") else known, strict=False):
            words[name] = some or words.get(name, [])
    columns = list(words)
    if wrong := next((row for row in rows if not isinstance(row, dict)), None):
        raise ValueError(f"each example by its columns {', '.join(columns)} expected; received {str(wrong)[:80]}")
    _named(rows, columns)
    cells = {name: [_cell(name, known, row[name]) for row in rows] for name, known in words.items()}
    return preprocess.Table(cells, list(range(1, len(rows) + 1)))


def _cell(name: str, words: list[str], value: Any) -> str:
    """What a CSV file has in the place of a value.

    A file has one way of writing a number or a truth, which JSON and tables in memory do not keep: 2, 2.0 and "02" are
    one number to them, and `NA` is null. So it is looked for among the words of the column, and stays as it is, or null
    an empty cell, where it is none of them.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) or hasattr(value, "isoformat"):  # or a date of pandas
        return str(value).strip()
    if value is None or (isinstance(value, float) and value != value):
        return _only(name, "null", [word for word in words if word in MISSING]) or ""
    truth = isinstance(value, bool)
    if not isinstance(value, Number):
        raise ValueError(f"{name}: a text, a number or null expected; received {str(value)[:80]}")  # noqa: TRY004 - data, no bug
    written = str(value)
    if written in words:
        return written
    alike = _alike(words, value)
    if truth and not alike:
        raise ValueError(f"{name}: {AS_IN_A_FILE}; received {written}, which is none of its words")
    return _only(name, written, alike) or written  # a number that no example had


def _only(name: str, received: str, alike: list[str]) -> str | None:
    """The one word that a value may be; None: it is none."""
    if len(alike) > 1:
        meant = " or ".join(word or "an empty text" for word in alike)
        raise ValueError(f"{name}: {AS_IN_A_FILE}; received {received}, which may be {meant[:80]}")
    return alike[0] if alike else None


def _alike(words: list[str], value: Any) -> list[str]:
    """The words that say the same truth or number."""
    if isinstance(value, bool):
        return [word for word in words if word.casefold() == str(value).casefold()]
    return [word for word in words if _number(word) == value]


def _number(word: str) -> float | None:
    """What a word says as a number; None where it says none."""
    try:
        return float(word)
    except ValueError:
        return None
