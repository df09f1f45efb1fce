"""Who liked what, from prepared examples of users with items to choose from."""

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, Examples
from tasks.examples.dataset import LABEL

INPUTS = {"user", "items"}


def pairs(train: Examples, taker: str) -> tuple[Array, Array]:
    """The users and the items that each liked, by their numbers: int64 [n] both.

    Args:
        train: the examples that are learnt from.
        taker: asks for them, for the message.

    Raises:
        DataError: they are none of users and items.
    """
    examples = train.arrays()
    if examples.inputs.keys() != INPUTS:
        raise DataError(
            f"{taker}: users and items of the source ratings expected; received {', '.join(examples.inputs)}"
        )
    users = examples.inputs["user"][:, 0]
    items = np.take_along_axis(examples.inputs["items"], examples.targets[LABEL][:, None], axis=1)[:, 0]
    return users.astype(np.int64), items.astype(np.int64)
