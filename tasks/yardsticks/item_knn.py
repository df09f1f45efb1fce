"""Items like those that a user has liked.

M. Deshpande and G. Karypis, "Item-based top-N recommendation algorithms" (2004).
"""

import numpy as np

from tasks.examples import Array, Examples, likes
from tasks.members import YardstickMethod
from tasks.params.yardstick import ItemKnn


def predict(train: Examples, judged: Examples, seed: int, *, neighbours: int) -> Array:  # noqa: ARG001 - likewise
    """Of each candidate how near those are that the user liked: the sum of cosines, float64 [n, candidates].

    Args:
        train: who liked what.
        judged: users with candidates.
        seed: not used.
        neighbours: of each item those that are the nearest to it count, so many.

    Raises:
        DataError: the data are no users with items to choose from.
    """
    from scipy import sparse

    users, items = likes.pairs(train, "item-knn")
    inputs = judged.arrays().inputs
    shape = (max(users.max(), inputs["user"].max()) + 1, max(items.max(), inputs["items"].max()) + 1)
    liked = sparse.csr_matrix((np.ones(len(users)), (users, items)), shape)
    lengths = np.sqrt(np.maximum(np.asarray(liked.sum(axis=0)).ravel(), 1))
    near = (liked.T @ liked).toarray() / np.outer(lengths, lengths)
    np.fill_diagonal(near, 0)
    if neighbours < len(near):
        least = np.partition(near, -neighbours, axis=1)[:, -neighbours]
        near[near < least[:, None]] = 0
    asked = np.asarray(liked[inputs["user"][:, 0]] @ near.T)
    found: Array = np.take_along_axis(asked, inputs["items"], axis=1)
    return found


YARDSTICK = YardstickMethod(schema=ItemKnn, predict=predict, tasks=("classification",))
