"""The door: by this name the command and a Prefect worker come in, whatever modules lie in the user's folder.

`tasks` and `flows` are names that a user may have given to files of his own, and a Prefect worker looks into the
project's folder first. So Tercet's own are imported here from beside this file, before anything else asks for them.
"""

import importlib
import os
import signal
import sys

FLOWS = ("pipeline", "remeasure", "searched", "measured")  # that deployments name
# what is imported here is small: until `console` is called, Ctrl-C is answered in Python's own many lines
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120  # pathlib is not small
try:
    importlib.import_module("flows")
    importlib.import_module("tasks")
finally:
    del sys.path[0]


def console() -> None:
    """The command `tercet`, which Ctrl-C ends without a word until `tasks.signals` listens, and then with a line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell's `&` has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from flows import cli

    cli.console()


def __getattr__(name: str) -> object:
    """A flow by its name, such as `tercet.pipeline`: imported only when it is asked for, with Prefect."""
    if name not in FLOWS:
        raise AttributeError(f"module 'tercet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"flows.{name}"), name)


if __name__ == "__main__":  # `python -m tercet`
    console()
