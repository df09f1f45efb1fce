"""Stratified drawing: each class in its due share."""

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
