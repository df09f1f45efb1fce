"""`tercet update`: what Tercet wrote into a project becomes what this version writes, and the user's edits stay."""

import re
from pathlib import Path

from flows import made
from tasks import files, paths
from tasks.errors import ParamsError, TercetError
from tasks.process import told
from tasks.scratch import scratch

MERGE_S = 30.0
CONFLICT = re.compile(rb"^<<<<<<< ", re.MULTILINE)
MOST = 127  # conflicts that the exit code can tell


def update(*, ci: bool) -> int:
    """Bring each file to this version and say what became of it; params.yaml and what Tercet did not write are left.

    Where both the user and the new version changed the same lines, the file holds both, as after a merge of git.

    Args:
        ci: add a workflow for GitHub and a Dockerfile.

    Returns:
        The exit code: 1 where there is a conflict to settle.

    Raises:
        ParamsError: a conflict of an earlier update is not settled, or the record is broken.
        TercetError: this is Tercet's own repository, or git cannot merge.
        OSError: a file cannot be read or written.
    """
    if Path("dvc.yaml").samefile(paths.packaged(Path("dvc.yaml"))):
        raise TercetError("this is Tercet's own repository, which git brings up to date")
    before = made.read()
    after = made.now(ci=ci or any(name in before.files for name in made.CI))
    names = [name for name in after.files if name != made.IGNORED]
    for name in names:
        if Path(name).exists() and CONFLICT.search(Path(name).read_bytes()):
            raise ParamsError(f"{name}: a conflict is not settled (from <<<<<<< to >>>>>>>); choose, and say it again")
    found = {name: _bring(name, before.files.get(name), after.files[name]) for name in names}
    known = before.files.get(made.IGNORED, "").splitlines()
    if made.ignore([line for line in after.files[made.IGNORED].splitlines() if line not in known]):
        found[made.IGNORED] = "has lines more"
    made.write(after)
    for name, what in found.items():
        if what:
            print(f"{name}: {what}")
    print(f"this project is of Tercet {after.version} now; it was of {before.version}")
    return 1 if any(what.startswith("CONFLICT") for what in found.values()) else 0


def _bring(name: str, before: str | None, after: str) -> str:
    """One file, from what Tercet wrote to what it writes; what became of it, nothing where it stays as it is."""
    path = Path(name)
    if not path.exists():
        if before is not None:  # the user has deleted it
            return ""
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, after)
        return "added"
    mine = path.read_bytes()
    if mine == after.encode() or before == after:
        return ""
    if before is None:
        return "yours, left as it is"
    if mine == before.encode():
        files.write_text(path, after)
        return "updated"
    conflicts = _merge(path, mine, before, after)
    return (
        f"CONFLICT, in {conflicts} places: choose, from <<<<<<< to >>>>>>>" if conflicts else "updated, with your edits"
    )


def _merge(path: Path, mine: bytes, before: str, after: str) -> int:
    """Put both changes into a file, by git; how many of them are of the same lines.

    Raises:
        TercetError: git cannot, as where the file is none of text.
    """
    with scratch("update") as folder:
        three = {"yours": mine, "as it was written": before.encode(), "this Tercet": after.encode()}
        for name, content in three.items():
            (folder / name).write_bytes(content)
        labels = [word for name in three for word in ("-L", name)]
        places = [str(folder / name) for name in three]
        done = told(
            ["git", "merge-file", *labels, *places], timeout_s=MERGE_S, what="git merge-file", error=TercetError
        )
        if not 0 <= done.code <= MOST:
            raise TercetError(f"{path}: git merge-file: {done.last_words}")
        with files.replaced(path) as temporary:
            temporary.write_bytes((folder / "yours").read_bytes())
    return done.code
