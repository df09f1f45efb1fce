"""`tercet use PRESET`: a ready-made params.yaml."""

from pathlib import Path

from flows import given
from tasks import files, params, paths
from tasks.errors import ParamsError, TercetError, suggest


def use(name: str, *, force: bool) -> str:
    """Write the preset to params.yaml and say so.

    A params.yaml that is no preset's, word for word, is somebody's work: it is replaced only by `force`.

    Raises:
        ParamsError: no such preset, or a params.yaml that would be lost.
    """
    preset = find(name)
    if paths.PARAMS.exists() and not force:
        present = paths.PARAMS.read_bytes()  # of whatever encoding
        if present not in {path.read_bytes() for path in paths.listed(paths.PRESETS).values()}:
            raise ParamsError(f"{paths.PARAMS} has changes of yours; keep a copy and say `tercet use {name} --force`")
    return put(preset)


def put(preset: Path) -> str:
    """Write a preset's file to params.yaml, whatever is there, and say so.

    Raises:
        ParamsError: it is wrong.
    """
    settings = params.load(preset)
    files.write_text(paths.PARAMS, preset.read_text(encoding="utf-8"))
    return f"{paths.PARAMS} is now the preset {preset.stem}; `tercet run` runs it{_lacking(settings)}"


def find(name: str) -> Path:
    """A preset's file: the project's own, or one that comes with Tercet.

    Raises:
        ParamsError: there is none, with a near match and all that there are.
    """
    presets = paths.listed(paths.PRESETS)
    if name not in presets:
        raise ParamsError(f"no preset is named {name!r}; {suggest(name, sorted(presets))}")
    return presets[name]


def _lacking(settings: params.Params) -> str:
    """What has to be there before."""
    try:
        given.check(settings)
    except TercetError as error:
        return f", once its data are there\n{error}"
    return ""
