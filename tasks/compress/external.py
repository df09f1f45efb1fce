"""A model of one's own in the tree, for comparing: nothing is compressed, and its parent is not even read."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.foreign.adopt import keep

if TYPE_CHECKING:
    from tasks.params import External


def write(folder: Path, name: str, params: "External") -> None:
    """Write the model `name` to `folder` from the file in `params.source`.

    Raises:
        ModelError: the file cannot be read safely, or its model does not fit the data.
    """
    keep(folder, name, params, parent=params.parent, method=params.method)
