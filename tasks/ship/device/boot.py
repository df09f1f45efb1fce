"""Starts what was sent: its modules come by standard input and are imported from memory.

`python -I -c THIS`. The first line of input is the length of the JSON that follows: `sources` (texts of modules by
their names), `site` (folders of packages), `run` (a module with `main`), `words` (that it is called with). What comes
after is the program's own input.
"""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Sent(MetaPathFinder, Loader):
    """Imports modules from their texts."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module that was sent comes from; None for all others."""
        package = any(name.startswith(f"{fullname}.") for name in self.sources)
        if fullname not in self.sources and not package:
            return None
        return ModuleSpec(fullname, self, origin=fullname, is_package=package)

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's text; a package may have none."""
        name = module.__name__
        exec(compile(self.sources.get(name, ""), f"<{name}>", "exec"), module.__dict__)  # noqa: S102 - what was sent


def start() -> None:
    """Run what was sent, and end with its code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever the device has
        sys.exit(f"Python {sys.version.split()[0]} there; 3.11 or later is needed")
    sent = json.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))
    sys.path[:0] = sent["site"]
    sys.meta_path.insert(0, Sent(sent["sources"]))
    sys.exit(import_module(sent["run"]).main(sent["words"]))


if __name__ == "__main__":
    start()
