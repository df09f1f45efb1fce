"""The commands that begin a project and keep it: `init`, `update` and `use`."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option

from flows.commands import arguments, complete

PRESET = "digits-cnn"  # of a new project


def init(
    folder: Annotated[
        Path, Argument(metavar="DIR", parser=arguments.folder, help="the folder; without it, this one")
    ] = Path(),
    preset: Annotated[
        str,
        Option("--from", metavar="PRESET", help="what to run: see `tercet use`", autocompletion=complete.presets),
    ] = "",
    data: Annotated[
        str, Option(metavar="PATH", help="your own: a folder of images or texts by class, a .csv or .jsonl file")
    ] = "",
    target: Annotated[str, Option(metavar="COLUMN", help="of a table, or of texts: what is to be told")] = "",
    text: Annotated[str, Option(metavar="COLUMN", help="of a table: where the text is")] = "",
    device: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="where it shall run; without it, two", autocompletion=complete.devices),
    ] = None,
    model: Annotated[str, Option(metavar="FILE", help="a network that is trained already")] = "",
    *,
    ci: Annotated[bool, Option("--ci", help="a workflow for GitHub and a Dockerfile, too")] = False,
) -> int:
    """`tercet init [DIR]`."""
    from flows.init import init, refuse
    from flows.own import Own

    if data and preset:
        raise BadParameter("--data and --from: one of them alone")
    if not data and (target or text or device or model):
        raise BadParameter("--target, --text, --device and --model go with --data")
    refuse(folder)
    own = Own(Path(data), target or None, text or None, device or (), Path(model) if model else None) if data else None
    if not data and not preset and sys.stdin.isatty() and sys.stdout.isatty():
        from flows.commands.asking import ask

        preset, own, ci = ask(PRESET, ci=ci)
    print(init(folder, preset or PRESET, own, ci=ci))
    return 0


def update(*, ci: Annotated[bool, Option("--ci", help="add a workflow for GitHub and a Dockerfile")] = False) -> int:
    """`tercet update`."""
    from flows.update import update

    return update(ci=ci)


def use(
    preset: Annotated[
        str | None,
        Argument(help="its name, such as digits-cnn; without it all are listed", autocompletion=complete.presets),
    ] = None,
    *,
    force: Annotated[bool, Option("--force", help="replace a params.yaml that is no preset's")] = False,
) -> int:
    """`tercet use PRESET`."""
    from flows import presets

    print(presets.about() if preset is None else presets.use(preset, force=force))
    return 0
