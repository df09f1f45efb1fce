"""A model of one's own in the tree, for comparing: nothing is compressed, and its parent is not even read."""

from pathlib import Path

from tasks.compress.preserves import preserved
from tasks.foreign.adopt import keep
from tasks.members import CompressionMethod
from tasks.params.compress import External


def write(folder: Path, name: str, params: External) -> None:
    """Write the model `name` to `folder` from the file in `params.source`.

    Raises:
        ModelError: the file cannot be read safely, or its model does not fit the data.
    """
    keep(folder, name, params, parent=params.parent, method=params.method, preserved=preserved)


METHOD = CompressionMethod(schema=External, write=write)
