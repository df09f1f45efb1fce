"""The runtime `portable`. It runs where the device is, beside the modules of Tercet's runner and nothing else of it."""

from typing import Any

from .litert import MODULE, PACKAGE, REFUSALS
from .litert import Model as Tuned

__all__ = ["MODULE", "PACKAGE", "REFUSALS", "Model"]


class Model(Tuned):
    """An artifact in LiteRT, as the runner asks it; `options`: `threads`."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        super().__init__(path, {**options, "kernels": "reference"})

    def facts(self) -> dict[str, Any]:
        """What stands in the record beside the figures."""
        return {"kernels": "plain C++"}
