"""`tercet init DIR`: a project of the user's own, beside Tercet and not in it."""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows import made, presets
from flows.own import Own, written
from tasks import files, params, paths, signals
from tasks.errors import TercetError
from tasks.process import told

GIT_S = 30.0


def refuse(folder: Path) -> None:
    """See that a folder can become a project.

    Raises:
        TercetError: there is a project or a pipeline already, or a file instead of a folder.
    """
    present = [name for name in ("params.yaml", "dvc.yaml", "prefect.yaml", ".dvc") if (folder / name).exists()]
    if present:
        there = f"{present[0]} is" if len(present) == 1 else f"{', '.join(present)} are"
        raise TercetError(f"{folder.absolute()}: {there} there already; `tercet init` wants a folder without")
    if folder.exists() and not folder.is_dir():
        raise TercetError(f"{folder}: a folder, or a name that is free, expected; received a file")


def init(folder: Path, preset: str, own: Own | None = None, *, ci: bool = False) -> str:
    """Make a folder a project, and say what to do next. Afterwards it is the working directory.

    It gets params.yaml of the preset, or one for data of one's own, dvc.yaml, prefect.yaml and DVC's settings; a git
    repository where it is in none; if asked, a workflow for GitHub and a Dockerfile. Its own .gitignore gets what it
    lacks. Other files are left alone. Where that fails or is interrupted, nothing of it is left.

    Raises:
        WordsError: there is no such preset, column or device.
        DataError: the data are none that is known.
        ModelError: the network is not there.
        TercetError: as `refuse`, or git is missing.
        OSError: the folder cannot be made or written to.
    """
    refuse(folder)
    text, what = _params(folder, preset, own)
    before = Path.cwd()
    record = made.now(ci=ci)
    with _whole(folder.absolute(), record):
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        _need_git()
        made.ignore(record.files[made.IGNORED].splitlines())
        used = presets.put(text, what)
        made.write(record)
        for name, content in record.files.items():
            if not Path(name).exists():
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                files.write_text(Path(name), content)
    named = f"./{folder}" if str(folder).startswith("-") else str(folder)  # `cd -` goes elsewhere
    first = "" if Path.cwd() == before else f"cd {shlex.quote(named)}: "
    return f"{Path.cwd()} is a Tercet project now\n{first}{used}"


def _params(folder: Path, preset: str, own: Own | None) -> tuple[str, str]:
    """The text of params.yaml, and what that is."""
    if own is not None:
        return written(folder.absolute().name, own, folder), f"for {own.data.name}"
    source = presets.find(preset).absolute()  # of the project that this is said in, too
    params.load(source)  # an error names its file, and nothing is made
    return source.read_text(encoding="utf-8"), f"the preset {source.stem}"


@contextmanager
def _whole(folder: Path, record: made.Record) -> Iterator[None]:
    """Where making a project there fails or is interrupted, take away what was not there before."""
    names = (".git", ".dvc", str(paths.PARAMS), str(made.RECORD), *record.files)
    new = {path for name in names if (path := _first_new(folder / name))}
    done = False

    def undo() -> None:
        for path in () if done else new:
            with suppress(NotADirectoryError):  # in a place that cannot be: nothing was made there
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    signals.before_end(undo)
    try:
        yield
        done = True
    finally:
        undo()


def _first_new(path: Path) -> Path | None:
    """The topmost of a file and the folders that it lies in that is not there; None: all are."""
    return next((each for each in (*reversed(path.parents), path) if not each.exists()), None)


def _need_git() -> None:
    """DVC keeps versions by git."""
    if told(["git", "rev-parse", "--is-inside-work-tree"], timeout_s=GIT_S, what="git", error=TercetError).code:
        done = told(["git", "init", "--quiet"], timeout_s=GIT_S, what="git init", error=TercetError)
        if done.code:
            raise TercetError(f"git init: {done.last_words}")
