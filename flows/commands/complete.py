"""What the shell offers for a word that is not finished: names of this project; none where there is no project."""

from collections.abc import Callable, Collection
from contextlib import suppress


def variants(incomplete: str) -> list[str]:
    """Those of the section `quantize`."""
    return _begin(incomplete, lambda: _section("quantize"))


def models(incomplete: str) -> list[str]:
    """The baseline, and those of the section `compress`."""
    return _begin(incomplete, lambda: ["baseline", *_section("compress")])


def devices(incomplete: str) -> list[str]:
    """Those of the catalog."""

    def names() -> Collection[str]:
        from tasks.bench import devices

        return devices.names()

    return _begin(incomplete, names)


def pairs(incomplete: str) -> list[str]:
    """What can be measured again: pairs of the project, and the marks of those that should be."""

    def names() -> Collection[str]:
        from flows import anew
        from tasks import paths
        from tasks.params import read_yaml

        devices = read_yaml(paths.PARAMS)["benchmark"]["devices"]
        return [*anew.MARKS, *(f"{variant}@{device}" for device in devices for variant in _section("quantize"))]

    return _begin(incomplete, names)


def presets(incomplete: str) -> list[str]:
    """The project's own, and those that come with Tercet."""

    def names() -> Collection[str]:
        from flows import presets

        return presets.names()

    return _begin(incomplete, names)


def figures(incomplete: str) -> list[str]:
    """What variants are told apart by."""

    def names() -> Collection[str]:
        from tasks.records.figures import FIGURES

        return list(FIGURES)

    return _begin(incomplete, names)


def _section(name: str) -> list[str]:
    from tasks import paths
    from tasks.params import read_yaml

    found = read_yaml(paths.PARAMS).get(name)
    return list(map(str, found)) if isinstance(found, dict) else []


def _begin(incomplete: str, names: Callable[[], Collection[str]]) -> list[str]:
    """Those that begin so; a shell that asks is no place for an error."""
    with suppress(Exception):
        return [name for name in names() if name.startswith(incomplete)]
    return []
