"""Principal components: the few directions in which numbers differ most, learnt from the training split.

K. Pearson, "On lines and planes of closest fit to systems of points in space" (1901).
"""

from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Examples, batches, preprocess

AT_ONCE = 4096  # examples that are made ready together
MOST = 4096  # numbers of an example: the products of each with each are in memory
DIGITS = 7  # behind the point that are kept: the last ones hang from the processor


def of(train: Examples, inputs: dict[str, Any], count: int) -> dict[str, Any]:
    """The entries of preprocess.json with their components: of each input that is numbers, images among them.

    Args:
        train: the training split, raw.
        inputs: the entries, by the input's name.
        count: of components.

    Raises:
        DataError: no input is of numbers, or it has fewer than so many, or more than can be looked at.
    """
    chosen = {
        name: entry
        for name, entry in inputs.items()
        if entry["kind"] in ("image", *preprocess.ARRAYS) and entry.get("dtype") != "int32"
    }
    if not chosen:
        raise DataError("prepare.components: an input of numbers expected, which may be images; received none")
    return {name: entry | _learnt(name, entry, train, count) for name, entry in chosen.items()}


def _learnt(name: str, entry: dict[str, Any], train: Examples, count: int) -> dict[str, Any]:
    width = int(np.prod(preprocess.ready_shape(entry)))
    if not count <= min(width, len(train)) or width > MOST:
        raise DataError(
            f"prepare.components: received {count}; {name} has {width} numbers in {len(train)} training examples: "
            f"at most as many as either, of {MOST} numbers at most"
        )
    total, products = np.zeros(width), np.zeros((width, width))
    for batch in batches(train, AT_ONCE):
        rows = preprocess.apply(entry, batch.inputs[name]).reshape(len(batch), -1).astype(np.float64)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    centre = total / len(train)
    directions = _largest(products / len(train) - np.outer(centre, centre), count)
    return {"centre": centre.round(DIGITS).tolist(), "components": directions.round(DIGITS).tolist()}


def _largest(covariance: Array, count: int) -> Array:
    """The directions of the largest variances, largest first, each with its largest number positive: [count, width]."""
    _, vectors = np.linalg.eigh(covariance)
    found = vectors.T[::-1][:count]
    largest = np.abs(found).argmax(axis=1)
    signed: Array = found * np.sign(found[np.arange(count), largest])[:, None]
    return signed
