"""The door: by this name the command and a Prefect worker come in, whatever modules lie in the user's folder.

`tasks` and `flows` are names that a user may have given to files of his own, and a Prefect worker looks into the
project's folder first. So Tercet's own are imported here from beside this file, before anything else asks for them.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
try:
    importlib.import_module("flows")
    importlib.import_module("tasks")
finally:
    del sys.path[0]


def console() -> None:
    """The command `tercet`."""
    from flows import cli

    cli.console()


def __getattr__(name: str) -> Any:
    """`tercet.pipeline`, the flow: imported only when it is asked for, with Prefect."""
    if name != "pipeline":
        raise AttributeError(f"module 'tercet' has no attribute {name!r}")
    from flows.pipeline import pipeline

    return pipeline
