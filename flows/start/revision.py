"""What a project had at a revision of git: outputs as its dvc.lock names them, out of DVC's cache or a remote."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.brancher import switch
from dvc.scm import RevError, resolve_rev
from scmrepo.exceptions import SCMError

from flows.start.dvc_words import told
from tasks.errors import DataError
from tasks.records.failures import words


@dataclass(frozen=True)
class Revision:
    """The project as it was."""

    name: str  # as it was asked for
    commit: str
    _repo: Any  # as it was
    _digests: dict[Path, str]  # of its outputs
    _today: dict[Path, str]

    def holds(self, place: Path) -> bool:
        """Whether it had such an output, or one that this lies in."""
        return any(each in self._digests for each in (place, *place.parents))

    def same(self, place: Path) -> bool:
        """Whether an output was what it is now, by what the two dvc.lock say."""
        return place in self._digests and self._digests[place] == self._today.get(place)

    def fetch(self, place: Path, to: Path) -> Path:
        """Copy a file or a folder.

        Raises:
            DataError: it is neither in the cache nor in a remote, or the remote cannot be reached.
        """
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._repo.dvcfs.get(place.as_posix(), str(to), recursive=True)
        except Exception as error:  # the boundary: DVC lets through what its storages raise
            raise DataError(
                f"{place} as it was at {self.name} is neither in DVC's cache nor in the remote: `dvc push` where it "
                f"was made sends it there ({words(error)})"
            ) from None
        return to


@contextmanager
def at(name: str) -> Iterator[Revision | None]:
    """A revision of the project's own repository, for as long as the block runs; None where git knows no such one.

    Raises:
        DataError: the project was not there at that revision, DVC cannot read it as it was, or git does not know it.
    """
    try:
        with closing(Repo(".")) as now, closing(Repo(".", config=_remote(now))) as repo:
            if (commit := _commit(repo.scm, name)) is None:
                yield None
                return
            today = _digests(now)
            with switch(repo, commit):
                yield Revision(name, commit, repo, _digests(repo), today)
    except DvcException as error:
        raise DataError(f"{name}: {told(error)}") from None


def _commit(scm: Any, name: str) -> str | None:
    """The commit of a name; None where git knows none: also in a repository without one yet, or of a tree or a file."""
    try:
        found = resolve_rev(scm, name)
        scm.resolve_commit(found)
    except (RevError, SCMError, AttributeError):  # the last is scmrepo's, of what is no commit
        return None
    return str(found)


def _remote(repo: Any) -> dict[str, Any]:
    """Today's remotes: what an old .dvc/config names may be long gone."""
    core = {"remote": name} if (name := repo.config["core"].get("remote")) else {}
    return {"core": core, "remote": repo.config["remote"]}


def _digests(repo: Any) -> dict[Path, str]:
    """What the contents of all outputs go by that have been made."""
    return {Path(out.def_path): out.hash_info.value for out in repo.index.outs if out.hash_info}
