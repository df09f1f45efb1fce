"""What preprocess.json says of each input: all that is learnt from data is learnt from the training split."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError, suggest
from tasks.examples import Array, Arrays, Examples, batches, components, dataset, first, preprocess, tables, texts
from tasks.examples.dataset import BEGIN, BY, LABEL, TEXT_BYTES, Source
from tasks.examples.tokens import Tokens
from tasks.params import Feature, Prepare

MAY_BE = {"array": (*preprocess.ARRAYS, *preprocess.NUMBERED)}  # what an input may be told to be, by what it is
ROUNDING = 4  # last digits that equal numbers may be apart once they were computed with
LOG = 100.0  # of a change of logarithms, which is told in hundredths: the size that it is rounded at
CHUNK = 2**26  # bytes of images that are looked at together, so that statistics need little memory
COUNTED = 2**20  # pixels of them that are counted at a time: counting takes eight bytes for each
LEVELS = 256  # of a pixel


def preprocessing(source: Source, train: Examples, params: Prepare) -> dict[str, Any]:
    """What preprocess.json says; everything that is learnt from data is learnt from the training split.

    Raises:
        DataError: params.yaml tells of an input that is not there, or of a kind that it has not.
    """
    strange = set() if source.columns or params.source == "series" else params.features.keys() - source.kinds.keys()
    if strange:
        raise DataError(f"prepare.features.{min(strange)}: no such input; {suggest(min(strange), source.kinds)}")
    inputs = {}
    for name, kind in source.kinds.items():
        if isinstance(train, Tokens):
            inputs[name] = tokens(train.length, source, params)
            continue
        if name in source.columns:
            inputs[name] = table(kind, source.columns[name], train.arrays().inputs[name], params)
            continue
        if params.source == "ratings":
            inputs[name] = shared(train.arrays().inputs[name])
            continue
        if params.source == "series":
            inputs[name] = series(train.arrays().inputs[name], params)
            continue
        found = [_highest(part, name) for part in (source.train, source.test) if part is not None]
        inputs[name] = describe(name, kind, train, params, max(found) if min(found) >= 0 else -1)
    if params.components is not None:
        inputs |= components.of(train, inputs, params.components)
    told = source.train.targets
    targets = {name: _describe_target(told[name]) for name in told if name not in (BEGIN, BY, LABEL, TEXT_BYTES)}
    if TEXT_BYTES in told:
        targets[TEXT_BYTES] = {"kind": "bytes"}
    if params.task == "regression":
        targets[LABEL] = _describe_target(told[LABEL]) | values(train.targets[LABEL])
    else:
        judged = next(kind for kind, task in dataset.TASKS.items() if task == params.task)
        targets[LABEL] = {"kind": judged, "classes": list(source.classes)}
    return {"schema_version": preprocess.SCHEMA_VERSION, "inputs": inputs, "targets": targets}


def _highest(examples: Examples, name: str) -> int:
    """The highest number of an input of integers from 0; -1 of any other."""
    array = examples.inputs[name] if isinstance(examples, Arrays) else np.zeros(0)
    return int(array.max()) if array.dtype.kind in "iu" and array.min() >= 0 else -1


def _describe_target(values: NDArray[Any]) -> dict[str, Any]:
    if values.dtype.kind == "f":
        return {"kind": "value", "shape": list(values.shape[1:])}
    return {"kind": "class", "classes": [str(number) for number in range(int(values.max()) + 1)]}


def tokens(length: int, source: Source, params: Prepare) -> dict[str, Any]:
    """The entry of windows of a text, whose classes are its tokens; of characters one more is for all others."""
    entry = {"kind": "tokens", "shape": [length], "vocabulary": len(source.classes)}
    if params.tokens == "bytes":
        return entry | {"bytes": True}
    if params.tokens == "bpe":
        return entry | {"merges": source.merges}
    if source.tokenizer:
        return entry | {"tokenizer": source.tokenizer}
    return entry | {"vocabulary": len(source.classes) + 1, "characters": "".join(source.classes)}


def table(kind: str, columns: tuple[str, ...], raw: Array, params: Prepare) -> dict[str, Any]:
    """The entry of an input that is columns of a table.

    What is missing among numbers becomes the mean of what is there; a category that is missing is one of its own.
    A value that the training split has not is the column's first number, which no value in it has.

    Args:
        kind: number, category or date.
        columns: their names.
        raw: of the training split: float64 [n, columns] with NaN for what is missing, or str objects [n, columns].
        params: what is told of the columns.
    """
    entry = {"kind": kind, "shape": [len(columns)], "columns": list(columns)}
    if kind == "category":
        sizes = [params.feature(name).vocabulary for name in columns]
        values = [_values(column, size) for column, size in zip(raw.T, sizes, strict=True)]
        return entry | {"values": values, "vocabulary": sum(len(each) + 1 for each in values)}
    if kind == "date":
        moments = np.array([[tables.days(cell) for cell in row] for row in raw], np.float64)
        known = [column[~np.isnan(column)] for column in moments.T]
        means = [float(each.mean()) if each.size else 0.0 for each in known]
        scale = [float(_scale(each)) if each.size else 1.0 for each in known]
        return entry | {"mean": means, "scale": scale, "zoned": [tables.zoned(column) for column in raw.T]}
    rows = [_number(column, params.feature(name).normalize) for name, column in zip(columns, raw.T, strict=True)]
    missing, mean, scale = (list(values) for values in zip(*rows, strict=True))
    return entry | {"missing": missing, "mean": mean, "scale": scale}


def series(raw: Array, params: Prepare) -> dict[str, Any]:
    """The entry of windows of a series, float32 [n, length, columns]: what their changes are brought to."""
    entry = {"kind": "series", "shape": list(raw.shape[1:]), "change": params.change, "horizon": params.horizon}
    if params.normalize != "standard":
        return entry | {"dtype": "float32"}
    changes = preprocess.changes(params.change, raw)
    size = np.abs(raw).max(axis=(0, 1)) if params.change != "log" else np.full(raw.shape[-1], LOG)
    return entry | _standard(changes, ROUNDING * np.finfo(raw.dtype).eps * size)


def shared(raw: Array) -> dict[str, Any]:
    """The entry of things that are all of one kind, str objects [n, count]; 0 is for what training has none of."""
    known = sorted(set(raw.ravel().tolist()))
    entry = {"kind": "category", "shape": list(raw.shape[1:]), "shared": True}
    return entry | {"values": [known], "vocabulary": len(known) + 1}


def values(told: Array) -> dict[str, list[float]]:
    """The mean and the deviation of what a regression tells, float32 [n] or [n, values]."""
    rows = told.reshape(len(told), -1).astype(np.float64)
    return {"mean": rows.mean(axis=0).tolist(), "scale": _scale(rows).tolist()}


def _scale(values: Array, noise: Any = None, by: Any = np.std) -> Any:
    """What numbers [..., columns] are divided by: their deviation by column, and 1 where rounding alone differs.

    So what never changes becomes 0 and, where it changes once in use, no number without end: the deviation of
    equal numbers is seldom quite 0.

    Args:
        values: the numbers.
        noise: how far apart equal ones may be, [columns]; None: as far as their own last digits.
        by: what is taken for how much they differ.
    """
    axes, values = tuple(range(max(1, values.ndim - 1))), values.astype(np.float64)
    if noise is None:
        noise = ROUNDING * np.finfo(np.float64).eps * np.abs(values).max(axis=axes)
    return np.where(np.ptp(values, axis=axes) <= noise, 1.0, by(values, axis=axes))


def _values(column: Array, size: int | None) -> list[str]:
    """The values of a column, the most frequent first, and of equally frequent ones by the alphabet."""
    counts = Counter(column.tolist())
    return sorted(counts, key=lambda value: (-counts[value], value))[:size]


def _number(column: Array, normalize: str | None) -> tuple[float, float, float]:
    """What stands for a missing number, and how all are made ready: what is subtracted, and divided by."""
    known = column[~np.isnan(column)] if not np.isnan(column).all() else np.zeros(1)
    middle = float(known.mean())
    if normalize == "none":
        return middle, 0.0, 1.0
    if normalize == "unit":
        return middle, float(known.min()), float(_scale(known, by=np.ptp))
    return middle, middle, float(_scale(known))


def describe(name: str, found: str, train: Examples, params: Prepare, highest: int) -> dict[str, Any]:
    """The entry of one input.

    Args:
        name: of the input.
        found: what its source takes it for.
        train: the training split, raw.
        params: what is told of it instead, and how it is to be made ready.
        highest: of an input of integers from 0, in whatever split; -1 of any other.

    Raises:
        DataError: it is told to be what it cannot be.
    """
    told, one = params.feature(name), first(train, 1).inputs[name]
    kind = told.kind or found
    allowed = MAY_BE.get(found, (found,))
    if kind not in allowed:
        raise DataError(f"prepare.features.{name}.kind: received {kind!r}; this input may be {', '.join(allowed)}")
    if kind == "image":
        together = batches(train, max(1, CHUNK // one.nbytes))
        return _image(one.shape[1:], (batch.inputs[name] for batch in together), told)
    raw = train.arrays().inputs[name]
    if kind == "text":
        return {
            "kind": "text",
            "length": told.length,
            "vocabulary": vocabulary(raw, told.vocabulary or params.vocabulary, pairs=params.bigrams),
        } | ({"bigrams": True} if params.bigrams else {})
    if kind in preprocess.NUMBERED:
        return _numbered(name, kind, raw, told.vocabulary, highest)
    return _array(kind, raw, told, highest)


def vocabulary(raw: NDArray[np.str_], size: int, *, pairs: bool = False) -> list[str]:
    """The reserved entries, then the most frequent tokens; equally frequent ones alphabetically.

    Args:
        raw: texts, [n].
        size: at most so many entries, the reserved ones among them.
        pairs: bigrams count as tokens too.
    """
    counts: Counter[str] = Counter()
    for text in raw:
        words = texts.tokens(str(text))
        counts.update(words + texts.bigrams(words) if pairs else words)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return [*texts.RESERVED, *ranked][:size]


def channel_statistics(parts: Iterable[NDArray[np.uint8]]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of images [..., channels], summed in whole numbers."""
    counts: Array = np.zeros((1, LEVELS), np.int64)  # how often each level is there, by channel
    for part in parts:
        pixels = part.reshape(-1, part.shape[-1])
        for start in range(0, len(pixels), COUNTED):
            counts = counts + [np.bincount(each, minlength=LEVELS) for each in pixels[start : start + COUNTED].T]
    levels = np.arange(LEVELS)
    mean, square = (counts @ levels**power / counts[0].sum() for power in (1, 2))
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return mean.tolist(), deviation.tolist()


def _image(shape: tuple[int, ...], parts: Iterator[Array], told: Feature) -> dict[str, Any]:
    channels = shape[-1]
    mean, scale = [0.0] * channels, [1.0 if told.normalize == "none" else 255.0] * channels
    if told.normalize == "standard":
        mean, deviation = channel_statistics(parts)
        scale = [value or 1.0 for value in deviation]  # a channel that never changes becomes 0, not 0 / 0
    return {"kind": "image", "shape": list(shape), "mean": mean, "scale": scale}


def _numbered(name: str, kind: str, raw: Array, size: int | None, highest: int) -> dict[str, Any]:
    if raw.dtype.kind not in "iu" or highest < 0:
        raise DataError(f"prepare.features.{name}: integers from 0 expected of kind {kind}; received others")
    if size is not None and highest >= size:
        raise DataError(f"prepare.features.{name}.vocabulary: {size} is too few; the data has the number {highest}")
    return {"kind": kind, "shape": list(raw.shape[1:]), "vocabulary": size or highest + 1}


def _array(kind: str, raw: Array, told: Feature, highest: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": kind, "shape": list(raw.shape[1:])}
    if told.normalize != "standard" and kind == "array" and raw.dtype.kind in "iu":
        return entry | {"dtype": "int32"} | ({} if highest < 0 else {"vocabulary": highest + 1})
    if told.normalize != "standard":
        return entry | {"dtype": "float32"}
    return entry | _standard(raw)


def _standard(raw: Array, noise: Array | None = None) -> dict[str, Any]:
    """The mean and the deviation along the last axis."""
    mean = raw.mean(axis=tuple(range(raw.ndim - 1)), dtype=np.float64)
    return {"dtype": "float32", "mean": mean.tolist(), "scale": _scale(raw, noise).tolist()}
