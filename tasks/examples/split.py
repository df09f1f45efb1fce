"""Which examples judge: drawn by chance, each class in its due share, or the latest ones, or whole groups."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw(labels: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a share of the examples at random, each class within one of its exact share.

    The whole is `round(share * n)`; what rounding down leaves over goes to the classes with the largest remainders.

    Args:
        labels: the class of each example, [n].
        share: from 0 to 1.
        rng: decides which examples of a class are drawn.

    Returns:
        The indices drawn, ascending.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quotas = np.floor(counts * share).astype(np.int64)
    left = round(len(labels) * share) - int(quotas.sum())
    quotas[np.argsort(quotas - counts * share, kind="stable")[:left]] += 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == each))[:quota] for each, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def latest(times: NDArray[Any], share: float) -> NDArray[np.int64]:
    """The latest examples, about a share of them: all others are earlier, so those of one moment stay together.

    Args:
        times: of each example, [n].
        share: from 0 to 1; at least so many are taken.

    Returns:
        Their indices, ascending.
    """
    count = round(len(times) * share)
    if not count:
        return np.zeros(0, np.int64)
    return np.flatnonzero(times >= np.sort(times)[len(times) - count])


def whole_groups(groups: NDArray[Any], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw groups until their examples are about a share of all: each that brings the number nearer to it.

    Args:
        groups: the group of each example, [n].
        share: from 0 to 1.
        rng: decides the order in which groups are looked at.

    Returns:
        The indices of their examples, ascending.
    """
    names, counts = np.unique(groups, return_counts=True)
    wanted, taken, chosen = len(groups) * share, 0, []
    for place in rng.permutation(len(names)):
        if abs(taken + counts[place] - wanted) < abs(taken - wanted):
            taken += int(counts[place])
            chosen.append(names[place])
    return np.flatnonzero(np.isin(groups, chosen))
