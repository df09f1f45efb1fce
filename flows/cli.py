"""`tercet`: the command. It imports nothing heavy before it knows what to do."""

import codecs
import io
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from flows.commands import COMMANDS
from flows.views import marks

MARK = "tercet stage"  # what a project's dvc.yaml says
# by what they make, not by what they tell
WORKING = ("run", "search", "stage", "sensitivity", "speculate", "save", "gate", "publish", "sign")
BYTECODE_BYTES = 2**28  # what all libraries, compiled, may come to
USAGE = 2  # the exit code of words that mean nothing
COMPLETES = "_TERCET_COMPLETE"  # set by a shell that asks what a word may become
HEAD = "Train, compress and measure: accuracy, latency and energy on every device."
OPTIONS = {
    "-C DIR": "before the command: work as if started in DIR",
    "--version": "print the version",
    "--install-completion": "have this shell complete words",
    "--show-completion": "print what makes it do so",
    "--help": "print this; behind a command, what it takes",
}


def console() -> None:
    """The console script: `main`, and an end that leaves out the interpreter's teardown."""
    _spare_bytecode()
    from flows.start import leave, unread
    from tasks import signals

    unread.stand_in()
    words = sys.argv[3:] if sys.argv[1:2] == ["-C"] else sys.argv[1:]
    first = words[0] if words else ""
    who = " ".join(words) if first == "stage" else "tercet"
    if first != "serve":  # which answers what it has been asked before it ends
        signals.listen(who, f"`tercet {first}` goes on from here" if first in ("run", "search") else "")
    if first in WORKING:
        sys.stdout = unread.heedless(sys.stdout.fileno(), sys.stdout)
    code = [1]
    leave.at_once(code)
    try:
        code[0] = main()
    except SystemExit as left:  # typer's: a shell was told what it asked
        code[0] = int(left.code or 0)


def _spare_bytecode() -> None:
    """Have no code compiled to a disk that is nearly full.

    Python 3.11 leaves a part of a module there, and every later run would end with "marshal data too short".
    """
    disk = os.statvfs(Path(__file__).parent)
    if disk.f_bavail * disk.f_frsize < BYTECODE_BYTES:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def main() -> int:
    """Run one command; an error of the user's is one line and exit code 1, or 2 where the words mean nothing."""
    codecs.register_error("tercet", marks.plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no reason to fail
            stream.reconfigure(errors="tercet")
    from tasks.errors import TercetError, WordsError

    try:
        code = _answer(sys.argv[1:])
        print(end="", flush=True)  # what is told has to arrive, too
    except TercetError as error:
        print(f"tercet: {error}", file=sys.stderr)
        return USAGE if isinstance(error, WordsError) else 1
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, a folder that may only be read: the user's to mend as well
        where = f"{error.filename}: " if error.filename else ""
        print(f"tercet: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    return code


def _answer(words: Sequence[str]) -> int:
    """Do what the words say; without words the help is printed, and a wrong command has a near match."""
    if words[:1] == ["-C"]:
        if len(words) == 1:
            print("tercet: -C: a folder, and a command behind it, expected; received none", file=sys.stderr)
            return USAGE
        os.chdir(words[1])
        words = words[2:]
    first = words[0] if words else "--help"
    if COMPLETES in os.environ or first.endswith("-completion"):
        _enter_project(needed=False)
        from flows.commands import parser

        return parser.complete(words)
    if first in ("--help", "-h", "--version"):
        print(_version() if first == "--version" else _help())
        return 0
    if first not in COMMANDS:
        from tasks.errors import suggest

        allowed = [option.split()[0] for option in OPTIONS] if first.startswith("-") else COMMANDS
        what = "option" if first.startswith("-") else "command"
        print(f"tercet: no {what} is named {first!r}; {suggest(first, allowed)}", file=sys.stderr)
        return USAGE
    return _run(first, words[1:])


def _run(name: str, words: Sequence[str]) -> int:
    """One command; what is wrong with its words is a line."""
    import typer

    from flows.commands import parser

    command = parser.of(name)
    try:
        context = command.make_context(f"tercet {name}", list(words))
        if (needed := COMMANDS[name].in_project) is not None:
            start = Path.cwd()
            _enter_project(needed=needed)
            if Path.cwd() != start:  # a file or a folder is named from where the command was given
                named = {key: value for key, value in context.params.items() if isinstance(value, Path)}
                context.params.update({key: start / path for key, path in named.items()})
        return int(command.invoke(context))
    except typer.Exit as done:  # --help was said
        return done.exit_code
    except typer.Abort:  # Ctrl-D, where something was asked
        print(f"\ntercet {name}: the end, where an answer is expected; nothing is done", file=sys.stderr)
        return USAGE
    except typer.TyperException as error:
        said = error.format_message().removesuffix(".")
        print(f"tercet {name}: {said}; `tercet {name} --help` says what it takes", file=sys.stderr)
        return USAGE


def _help() -> str:
    rows = {**{name: about.text for name, about in COMMANDS.items()}, "": "", **OPTIONS}
    width = max(map(len, rows)) + 4
    room = max(shutil.get_terminal_size().columns, 2 * width)
    lines = ["usage: tercet COMMAND ...", "", HEAD, ""]
    for name, text in rows.items():
        first = f"  {name}".ljust(width)
        lines.append(textwrap.fill(text, room, initial_indent=first, subsequent_indent=" " * width))
    return "\n".join(lines)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"tercet {version('tercet')}"
    except PackageNotFoundError:
        return "tercet, from a checkout that is not installed"


def _enter_project(*, needed: bool) -> None:
    from tasks.errors import ParamsError

    here = Path.cwd()
    stray: Path | None = None
    for folder in (here, *here.parents):
        if MARK in _text(folder / "dvc.yaml"):
            if needed and stray:
                raise ParamsError(
                    f"{stray}: belongs to no project, as no dvc.yaml beside it says `{MARK}`; {folder}, above it, is "
                    f"one: `tercet -C {folder}` means that, and `tercet init` makes one of a folder without params.yaml"
                )
            os.chdir(folder)
            return
        if stray is None and (folder / "params.yaml").exists():
            stray = folder / "params.yaml"
    if needed:
        raise ParamsError(
            f"{here}: no Tercet project here or above (a folder whose dvc.yaml says `{MARK}`); "
            "`tercet init DIR` makes one"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not there, a folder, or somebody else's
        return ""
