"""The commands that start the services of a team on this machine, end them, and keep what they hold."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from typer import Argument

File = Annotated[Path, Argument(metavar="FILE", help="an archive of tar")]


def up() -> int:
    """`tercet up`."""
    from flows import services

    return _told(services.up())


def down() -> int:
    """`tercet down`."""
    from flows import services

    return _told(services.down())


def backup(file: File) -> int:
    """`tercet backup FILE`."""
    from flows import services

    return _told([services.backup(file)])


def restore(file: File) -> int:
    """`tercet restore FILE`."""
    from flows import services

    return _told([services.restore(file)])


def _told(lines: Iterable[str]) -> int:
    for line in lines:
        print(line, flush=True)
    return 0
