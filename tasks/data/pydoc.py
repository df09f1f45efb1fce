"""The reference of the Python language that every Python carries for `help()`: half a million characters of English."""

import ast
from importlib.util import find_spec
from pathlib import Path

from tasks.data import text
from tasks.errors import DataError
from tasks.examples.dataset import Source
from tasks.members import DataSource
from tasks.params import Prepare

MODULE = "pydoc_data.topics"


def check(params: Prepare) -> None:  # noqa: ARG001 - the signature of all sources
    """Look whether the text is there.

    Raises:
        DataError: it is not.
    """
    _path()


def _path() -> Path:
    try:
        found = find_spec(MODULE)
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise DataError(f"{MODULE}: this Python lacks it; name a text of yours by source: text and path")
    return Path(found.origin)


def load(params: Prepare) -> Source:
    """The topics one behind the other, in the order of their names.

    The file is read and not run. Another version of Python has another text, and `origin` tells it.

    Raises:
        DataError: this Python does not carry the text.
    """
    path = _path()
    tree = ast.parse(path.read_bytes())
    topics = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    return text.windows_of("\n".join(topics[name] for name in sorted(topics)).encode(), path.name, params)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
