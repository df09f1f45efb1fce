"""The commands that begin a project: `init` and `use`."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from flows.commands import arguments, complete

PRESET = "digits-cnn"  # of a new project


def init(
    folder: Annotated[
        Path, Argument(metavar="DIR", parser=arguments.folder, help="the folder; without it, this one")
    ] = Path(),
    preset: Annotated[
        str,
        Option("--from", metavar="PRESET", help="what to run: see `tercet use`", autocompletion=complete.presets),
    ] = PRESET,
) -> int:
    """`tercet init [DIR]`."""
    from flows.init import init

    print(init(folder, preset))
    return 0


def use(
    preset: Annotated[str, Argument(help="its name, such as digits-cnn", autocompletion=complete.presets)],
    *,
    force: Annotated[bool, Option("--force", help="replace a params.yaml that is no preset's")] = False,
) -> int:
    """`tercet use PRESET`."""
    from flows.presets import use

    print(use(preset, force=force))
    return 0
