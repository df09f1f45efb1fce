"""From raw inputs to what the model reads. The pipeline uses this file, and bundles ship it: stdlib and numpy only.

A text's own tokenizer needs the package `tokenizers`, for such a text alone.

`preprocess.json` says what to do with each input:

    {"kind": "image", "shape": [28, 28, 1], "mean": [0.0], "scale": [255.0]}     one mean and scale per channel
    {"kind": "text", "length": 64, "vocabulary": ["[padding]", "[unknown]", "the", ...]}
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

Inputs from a table say which of its columns they are of; what is missing there has a value of its own:

    {"kind": "number", "shape": [2], "columns": ["age", "fare"], "missing": [29.7, 32.2], "mean": …, "scale": …}
    {"kind": "date", "shape": [1], "columns": ["day"], "mean": [19800.5], "scale": [41.0]}     five numbers of each date
    {"kind": "category", "shape": [1], "columns": ["port"], "values": [["S", "C", ""]], "vocabulary": 4}

    {"kind": "category", "shape": [9], "shared": true, "values": [["a", "b"]], "vocabulary": 3}     9 of the same values

Errors are ValueErrors, because nothing of the project is there on a device.
"""

import csv
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 1
ARRAYS = ("array", "number", "series")
BYTES = 256
PARTS_OF_A_DATE = 5
YEAR_D, WEEK_D = 365.2425, 7
NUMBERED = ("id", "category", "tokens")
PADDING, UNKNOWN = 0, 1  # token numbers
RESERVED = ("[padding]", "[unknown]")  # no token looks like these: a bracket is a token of its own
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # what stands for a number that is not known, in lower case
DELIMITERS = ",;\t|"
TOKEN = re.compile(r"'?\w+(?:'\w+)*|[^\w\s]")  # don't, 's and single signs


# what a text is parted into before pairs of bytes are merged: lines' ends, words, numbers and signs, each with a space
# before it, and blanks. The whole line of a text so is parted as in the text. Python and Oniguruma read it alike.
PARTS = (
    r"\n+| ?[^\x00-@\[-`{-\x7f]+| ?[0-9]+| ?[!-/:-@\[-`{-~]+"
    r"|[\x00-\x09\x0b-\x20\x7f]+(?![^\x00-\x20\x7f])|[\x00-\x20\x7f]"
)
SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that GPT-2's table shows as they are


class Table(NamedTuple):
    """The cells of a table."""

    columns: dict[str, list[str]]  # by name
    lines: list[int]  # of the file, where each row begins


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
        return _text(spec, raw)
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


def cells(path: Path) -> Table:
    """The cells of a CSV file with a header, without the space around them. Blank lines are no rows.

    Fields are parted by commas, semicolons, tabs or bars, whichever the header has most of. UTF-8.

    Raises:
        ValueError: a row has more or fewer fields than the header, two columns have one name, or there is no row.
    """
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        rows = csv.reader(file, delimiter=max(DELIMITERS, key=first.count), strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            table, lines, line = [], [], rows.line_num + 1
            for row in rows:
                if len(row) > 1 or any(cell.strip() for cell in row):
                    table.append(row)
                    lines.append(line)
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from None
    if not table:
        raise ValueError("a header and at least one row expected")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise ValueError(f"the header has the column {twice[0]!r} twice")
    for line, row in zip(lines, table, strict=True):
        if len(row) != len(header):
            raise ValueError(f"line {line}: {len(header)} fields as in the header expected; received {len(row)}")
    return Table({name: [row[place].strip() for row in table] for place, name in enumerate(header)}, lines)


def numbers(name: str, table: Table) -> NDArray[np.float64]:
    """A column of numbers, NaN where a cell says that there is none: float64 [n].

    Raises:
        ValueError: a cell is no number.
    """
    found = np.empty(len(table.lines))
    for place, cell in enumerate(table.columns[name]):
        if not NUMBER.fullmatch(cell) and cell.lower() not in MISSING:
            raise ValueError(f"line {table.lines[place]}: column {name!r}: a number expected; received {cell!r}")
        found[place] = float(cell) if NUMBER.fullmatch(cell) else np.nan
    return found


def days(cell: str) -> float:
    """The days from 1970 to a date, such as 2026-01-31 or 2026-01-31T12:00, in parts too; NaN where there is none.

    Raises:
        ValueError: it is no date.
    """
    if cell.lower() in MISSING:
        return math.nan
    try:
        moment = datetime.fromisoformat(cell.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"a date such as 2026-01-31 or 2026-01-31T12:00:00 expected; received {cell!r}") from None
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)) / timedelta(days=1)


def pick(spec: dict[str, Any], table: Table) -> NDArray[Any]:
    """An input's raw form from the cells of a table: floats or str objects [n, columns].

    Raises:
        ValueError: a column is not there, or is not of numbers.
    """
    if absent := [name for name in spec["columns"] if name not in table.columns]:
        raise ValueError(f"the column {', '.join(absent)} is not there; received {', '.join(table.columns)}")
    if spec["kind"] == "number":
        return np.stack([numbers(name, table) for name in spec["columns"]], axis=1)
    for name in spec["columns"] if spec["kind"] == "date" else ():
        for line, cell in zip(table.lines, table.columns[name], strict=True):
            try:
                days(cell)
            except ValueError as error:
                raise ValueError(f"line {line}: column {name!r}: {error}") from None
    return np.array([table.columns[name] for name in spec["columns"]], object).T


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
    integers = spec.get("dtype") == "int32"
    if raw.dtype.kind not in ("iu" if integers else "iuf") or raw.shape[1:] != shape or raw.ndim != len(shape) + 1:
        kind = "integers" if integers else "numbers"
        raise ValueError(f"{kind} [n, {str(list(shape))[1:-1]}] expected; received {raw.dtype} {list(raw.shape)}")
    if "change" in spec:
        raw = changes(spec["change"], raw)
    if "missing" in spec:
        known = np.where(np.isnan(raw), spec["missing"], raw)  # in doubles, which hold a date or a number of euros
        ready: NDArray[Any] = ((known - spec["mean"]) / spec["scale"]).astype(np.float32)
        return ready
    return _standardised(spec, raw) if "mean" in spec else raw.astype(spec["dtype"])


def _numbered(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int32]:
    if "values" in spec:
        return _categories(spec, raw)
    if spec["kind"] == "tokens" and raw.dtype.kind in "UO":
        raw = _last(spec, raw)
    ready: NDArray[np.int32] = _array(spec | {"dtype": "int32"}, raw)
    if ready.size and not 0 <= ready.min() <= ready.max() < spec["vocabulary"]:
        raise ValueError(
            f"numbers from 0 to {spec['vocabulary'] - 1} expected; received {ready.min()} to {ready.max()}"
        )
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
    found = np.array([[days(str(cell)) for cell in row] for row in raw], np.float64).reshape(raw.shape)
    turns = [2 * np.pi * found / circle for circle in (YEAR_D, WEEK_D)]
    parts = [(found - spec["mean"]) / spec["scale"], *(wave(turn) for turn in turns for wave in (np.sin, np.cos))]
    ready: NDArray[np.float32] = np.nan_to_num(np.concatenate(parts, axis=1)).astype(np.float32)
    return ready


def code_points(text: str) -> NDArray[np.uint32]:
    """The numbers of a text's characters."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def signs() -> list[str]:
    """The printable character that stands for each byte in a byte-level BPE: Radford et al., 2019 (GPT-2)."""
    hidden = [byte for byte in range(BYTES) if byte not in SHOWN]
    return [chr(byte if byte in SHOWN else BYTES + hidden.index(byte)) for byte in range(BYTES)]


def words(merges: list[list[str]]) -> list[str]:
    """The tokens of a byte-level BPE in the order of their numbers: single bytes, then what each merge makes."""
    return list(dict.fromkeys([*sorted(signs()), *map("".join, merges)]))


def pairs(text: str, merges: list[list[str]]) -> list[int]:
    """The tokens of a text by byte-level BPE: of two neighbours those first that were merged first.

    Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016).
    """
    sign, rank = signs(), {tuple(pair): place for place, pair in enumerate(merges)}
    number = {word: place for place, word in enumerate(words(merges))}
    found: list[int] = []
    for part in re.findall(PARTS, text):
        row = [sign[byte] for byte in part.encode()]
        while len(row) > 1:
            best = min(pairwise(row), key=lambda pair: rank.get(pair, len(rank)))
            if best not in rank:
                break
            place = 0
            while place < len(row) - 1:
                if (row[place], row[place + 1]) == best:
                    row[place : place + 2] = ["".join(best)]
                place += 1
        found += [number[word] for word in row]
    return found


def _last(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int64]:
    """The last tokens of each text; in front of a short one stand spaces."""
    (length,) = spec["shape"]
    if empty := [place for place, text in enumerate(raw) if not str(text)]:
        raise ValueError(f"text {empty[0] + 1} of {len(raw)} is empty; what follows is told of one token at least")
    if "tokenizer" in spec:
        return _by_tokenizer(spec["tokenizer"], raw, length)
    if "merges" in spec:
        (space,) = pairs(" ", spec["merges"])
        rows = [pairs(str(text), spec["merges"])[-length:] for text in raw]
        return np.array([[space] * (length - len(row)) + row for row in rows], np.int64).reshape(-1, length)
    texts = [str(text).rjust(length)[-length:] for text in raw]
    if "characters" not in spec:
        return np.array([list(text.encode()[-length:]) for text in texts], np.int64).reshape(-1, length)
    known = code_points(spec["characters"])
    points = np.array([code_points(text) for text in texts]).reshape(-1, length)
    place = np.minimum(np.searchsorted(known, points), len(known) - 1)
    return np.where(known[place] == points, place, len(known))


def _by_tokenizer(tokenizer: dict[str, Any], raw: NDArray[Any], length: int) -> NDArray[np.int64]:
    from tokenizers import Tokenizer

    maker = Tokenizer.from_str(json.dumps(tokenizer))
    space = maker.encode(" ", add_special_tokens=False).ids[:1]
    found = [maker.encode(str(text), add_special_tokens=False).ids[-length:] for text in raw]
    return np.array([space * (length - len(ids)) + ids for ids in found], np.int64).reshape(-1, length)


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
