"""`tercet init DIR`: a project of the user's own, beside Tercet and not in it."""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import presets
from flows.own import Own, written
from tasks import files, params, paths, signals
from tasks.errors import TercetError
from tasks.process import told

GIT_S = 30.0
GIVEN = (
    ".dvcignore",
    ".dvc/.gitignore",
    ".dvc/config",
    "prefect.yaml",
    "dvc.yaml",
)  # as Tercet's own repository has them
MADE = (".git", ".dvc", ".dvcignore", "params.yaml", "dvc.yaml", "prefect.yaml", ".gitignore")
IGNORED = Path(".gitignore")


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


def init(folder: Path, preset: str, own: Own | None = None) -> str:
    """Make a folder a project, and say what to do next. Afterwards it is the working directory.

    It gets params.yaml of the preset, or one for data of one's own, dvc.yaml, prefect.yaml and DVC's settings; a git
    repository where it is in none. Its own .gitignore gets what it lacks. Other files are left alone. Where that fails
    or is interrupted, nothing of it is left.

    Raises:
        ParamsError: there is no such preset, column or device.
        DataError: the data are none that is known.
        ModelError: the network is not there.
        TercetError: as `refuse`, or git is missing.
        OSError: the folder cannot be made or written to.
    """
    refuse(folder)
    text, what = _params(folder, preset, own)
    before = Path.cwd()
    with _whole(folder.absolute()):
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        _need_git()
        _ignore(paths.packaged(IGNORED).read_text(encoding="utf-8").splitlines())
        used = presets.put(text, what)
        for name in GIVEN:  # the last of them is what makes it a project
            Path(name).parent.mkdir(exist_ok=True)
            files.write_text(Path(name), paths.packaged(Path(name)).read_text(encoding="utf-8"))
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
def _whole(folder: Path) -> Iterator[None]:
    """Where making a project there fails or is interrupted, take away what was not there before."""
    made = [folder / name for name in MADE if not (folder / name).exists()] if folder.exists() else [folder]
    done = False

    def undo() -> None:
        for path in () if done else made:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    signals.before_end(undo)
    try:
        yield
        done = True
    finally:
        undo()


def _need_git() -> None:
    """DVC keeps versions by git."""
    if told(["git", "rev-parse", "--is-inside-work-tree"], timeout_s=GIT_S, what="git", error=TercetError).code:
        done = told(["git", "init", "--quiet"], timeout_s=GIT_S, what="git init", error=TercetError)
        if done.code:
            raise TercetError(f"git init: {done.last_words}")


def _ignore(lines: list[str]) -> None:
    present = IGNORED.read_bytes() if IGNORED.exists() else b""  # of whatever encoding
    if missing := [line for line in lines if line.encode() not in present.splitlines()]:
        gap = b"" if present.endswith(b"\n") or not present else b"\n"
        with files.replaced(IGNORED) as temporary:
            temporary.write_bytes(present + gap + "\n".join([*missing, ""]).encode())
