"""In the place of DVC, for flows whose stages do nothing: all stages of a project, by the words of their commands."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tasks.params import Params
from tasks.stages import sources

Words = tuple[str, ...]


class Bridge:
    """A stage is named by its words, and calling it is all there is to it."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call, self.names, self.settled = call, Names(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass

    def write(self) -> None:
        """Nothing is kept."""

    def settle(self) -> None:
        """Nobody is asked; that it was to be is kept."""
        self.settled = True

    def reproduce(self, name: str, _carry: object = None, *, force: bool) -> str:
        """Call it, whether it has to or not."""
        self.call(*name.split())
        return "ran"


class Names(dict[Words, str]):
    """Every stage's name is its words."""

    def __missing__(self, words: Words) -> str:
        return " ".join(words)


def order(settings: Params) -> list[Words]:
    """The words of every stage, each behind what it needs."""
    devices = settings.benchmark.devices
    return [
        ("code",),
        *(("sources", kind) for kind in sources.KINDS),
        ("prepare",),
        ("train",),
        *(("compress", name) for name in settings.model_order()),
        *((stage, variant) for stage in ("quantize", "evaluate") for variant in settings.quantize),
        *(("yardstick", name) for name in settings.yardstick),
        *(("fingerprint", device) for device in devices),
        *(("benchmark", variant, device) for device in devices for variant in settings.quantize),
        ("report",),
        *(("bundle", device) for device in devices),
    ]
