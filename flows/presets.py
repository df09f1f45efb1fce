"""`tercet use PRESET`: a ready-made params.yaml."""

import re
from itertools import takewhile
from pathlib import Path

from flows import given
from tasks import files, params, paths
from tasks.errors import ParamsError, TercetError, WordsError, suggest


def use(name: str, *, force: bool) -> str:
    """Write the preset to params.yaml and say so.

    A params.yaml that is no preset's, word for word, is somebody's work: it is replaced only by `force`.

    Raises:
        WordsError: no such preset.
        ParamsError: a params.yaml that would be lost.
    """
    preset = find(name)
    if paths.PARAMS.exists() and not force:
        present = paths.PARAMS.read_bytes()  # of whatever encoding
        if present not in {path.read_bytes() for path in paths.listed(paths.PRESETS).values()}:
            raise ParamsError(f"{paths.PARAMS} has changes of yours; keep a copy and say `tercet use {name} --force`")
    params.load(preset)  # an error names its file
    return put(preset.read_text(encoding="utf-8"), f"the preset {preset.stem}")


def put(text: str, what: str) -> str:
    """Write params.yaml, whatever is there, and say what it is now.

    Raises:
        ParamsError: it is wrong.
    """
    files.write_text(paths.PARAMS, text)
    return f"{paths.PARAMS} is now {what}; `tercet run` runs it{_lacking(params.load())}"


def about() -> str:
    """A line for each preset: its name, and the first sentence of its file."""
    found = {name: _first(path.read_text(encoding="utf-8")) for name, path in paths.listed(paths.PRESETS).items()}
    width = max(map(len, found), default=0)
    return "\n".join(f"{name:<{width}}  {said}".rstrip() for name, said in sorted(found.items()))


def _first(text: str) -> str:
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return re.split(r"(?<=[.?])\s", " ".join(line.lstrip("# ") for line in lines))[0]


def names() -> list[str]:
    """The project's own, and those that come with Tercet."""
    return sorted(paths.listed(paths.PRESETS))


def named(name: str) -> str:
    """The name, if there is such a preset.

    Raises:
        WordsError: there is none, with a near match and all that there are.
    """
    find(name)
    return name


def find(name: str) -> Path:
    """A preset's file: the project's own, or one that comes with Tercet.

    Raises:
        WordsError: there is none, with a near match and all that there are.
    """
    presets = paths.listed(paths.PRESETS)
    if name not in presets:
        raise WordsError(f"no preset is named {name!r}; {suggest(name, sorted(presets))}")
    return presets[name]


def _lacking(settings: params.Params) -> str:
    """What has to be there before."""
    try:
        given.check(settings)
    except TercetError as error:
        return f", once its data are there\n{error}"
    return ""
