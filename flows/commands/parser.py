"""The commands as typer reads them: one, or all of them for a shell that completes words."""

from collections.abc import Sequence
from importlib import import_module

import typer
from typer.core import TyperCommand

from flows.commands import COMMANDS


def of(name: str) -> TyperCommand:
    """What reads the words of one command: `make_context` reads them, `invoke` runs it."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    _add(app, name)
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)  # a group is what has several
    return command


def complete(words: Sequence[str]) -> int:
    """Tell a shell what it asks, or install what makes it ask."""
    app = typer.Typer(rich_markup_mode=None)
    for name in COMMANDS:
        _add(app, name)
    return int(app(list(words), prog_name="tercet") or 0)


def _add(app: typer.Typer, name: str) -> None:
    about = COMMANDS[name]
    module, _, function = about.place.partition(":")
    text = f"{about.text}\n\nFor example: tercet {name} {about.example}" if about.example else about.text
    app.command(name, help=text, short_help=about.text)(getattr(import_module(module), function))
