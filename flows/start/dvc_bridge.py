"""The one cache: what DVC knows of each stage, asked and kept from inside the flow's process.

`dvc repro` runs a stage as a command. Here DVC runs the same stage (its locks, its cache, its `dvc.lock`), but the
command's function is called in this process, so TensorFlow is imported once and not once a stage. For that, one
function of DVC is replaced, `dvc.stage.run.cmd_run`; its version is pinned, and its signature checked below. Where it
has another one, or `TERCET_IN_PROCESS=0` says so, commands run as commands: slower, and otherwise the same.
"""

import inspect
import itertools
import logging
import os
import shlex
import shutil
import sysconfig
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self

import dvc.stage.run
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError

from flows import repair
from tasks import dvc_lock, signals
from tasks.dvc_lock import LOCK
from tasks.errors import TercetError
from tasks.files import replaced
from tasks.records.failures import words
from tasks.stages import call

Outcome = Literal["ran", "restored", "up to date"]
Carry = Callable[[Any, list[str]], None]  # a stage of DVC, and the words of its command
LET_GO_S = 1.0
COMMAND = ["tercet", "stage"]
TAKES = ["stage", "dry", "run_env"]  # what `cmd_run` is called with, so far
_turn: ContextVar["_Turn | None"] = ContextVar("_turn", default=None)
_run_command = dvc.stage.run.cmd_run
logging.getLogger("dvc").setLevel(logging.ERROR)  # it sets itself up when imported, so only now
logging.getLogger("dvc.progress").setLevel(logging.CRITICAL)  # no bars of its own between the lines of the stages


@dataclass
class _Turn:
    """One stage's turn with DVC, which others get while its command runs."""

    carry: "Carry | None"  # does the command elsewhere
    ran: list[str] = field(default_factory=list)  # the stages whose commands have run


def in_process() -> bool:
    """Whether this process calls the stages' functions, and does not start their commands."""
    return os.environ.get("TERCET_IN_PROCESS", "1") != "0" and _takes() == TAKES


def _takes() -> list[str]:
    return list(inspect.signature(_run_command).parameters)


def _call_in_process(stage: Any, *others: Any, **options: Any) -> None:
    turn = _turn.get()
    if turn is None:
        _run_command(stage, *others, **options)
        return
    turn.ran.append(stage.addressing)
    argv = shlex.split(stage.cmd) if isinstance(stage.cmd, str) else []
    DVC.release()
    try:
        ours = argv[: len(COMMAND)] == COMMAND
        if turn.carry and ours:
            turn.carry(stage, argv[len(COMMAND) :])
        elif in_process() and ours:
            call(*argv[len(COMMAND) :])
        else:
            if "run_env" in _takes():
                options["run_env"] = {**(options.get("run_env") or {}), "PATH": _with_ours()}
            _run_command(stage, *others, **options)
    finally:
        DVC.acquire()


def _with_ours() -> str:
    """Where a command finds the environment that runs here, activated or not."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


dvc.stage.run.cmd_run = _call_in_process
DVC = Lock()  # it is not made for threads, and those that wait for its own lock look for it twice a second


class Project:
    """The stages of one run, as params.yaml, dvc.yaml and dvc.lock have them when it begins.

    A context whose end writes dvc.lock, once: DVC takes seconds to parse and write a long one. A kill before it loses
    nothing: the outputs are in DVC's cache, and its run cache restores them. A kill while it is written leaves the old
    one. One that a signal announces leaves no lock of paths behind.

    Raises:
        TercetError: dvc.yaml cannot be read, in DVC's own words.
    """

    def __init__(self) -> None:
        self._done: list[Any] = []  # stages whose entries dvc.lock does not have yet
        try:
            self._repo = _repo()
            with self._repo.lock:
                self._stages = {stage.addressing: stage for stage in self._repo.index.stages}
        except DvcException as error:
            raise _cause("dvc.yaml", error) from error
        commands = {name: shlex.split(s.cmd) for name, s in self._stages.items() if isinstance(s.cmd, str)}
        # the name in dvc.yaml by the words that the command ends in: ("benchmark", "int8", "host-cpu")
        self.names = {tuple(words[len(COMMAND) :]): name for name, words in commands.items()}

    def __enter__(self) -> Self:
        signals.before_end(self._let_go)
        return self

    def __exit__(self, *_error: object) -> None:
        self.write()

    def write(self) -> None:
        """Write what dvc.lock does not have yet."""
        with DVC:
            stages, self._done = sorted(self._done, key=lambda stage: str(stage.addressing)), []
            if stages:
                with self._repo.lock:
                    for path, own in itertools.groupby(stages, key=lambda stage: str(stage.path)):
                        _write(self._repo, Path(os.path.relpath(path)).with_name(LOCK.name), list(own))

    def _let_go(self) -> None:
        if DVC.acquire(timeout=LET_GO_S):  # for good: nothing is begun any more
            repair.release(self._repo, os.getpid())

    def reproduce(self, name: str, carry: Carry | None = None, *, force: bool = False) -> Outcome:
        """Bring one stage of dvc.yaml up to date; its dependencies must be so.

        Threads may call it: only the commands run beside each other.

        Args:
            name: of the stage.
            carry: does its command, if it has to be done; null: it is called here.
            force: whether it runs although nothing has changed.

        Raises:
            TercetError: what the stage itself raised, or DVC's own complaint in one line.
        """
        turn = _Turn(carry)
        token = _turn.set(turn)
        before: list[tuple[Any, Any]] = []
        try:
            stage = self._stages[name]
            before += [(dep, dep.hash_info) for dep in stage.deps]
            with DVC, stage.repo.lock:
                done = stage.reproduce(force=force)
                if done:
                    self._done.append(done)
        except Exception as error:  # the boundary: whatever a stage or DVC raises, the flow gets one line
            for dep, info in before:  # DVC has noted what they are now: another try would find nothing changed, and
                dep.hash_info = info  # take the old outputs for what the new dependencies give
            raise _cause(name, error) from error
        finally:
            _turn.reset(token)
        if turn.ran:
            return "ran"
        return "restored" if done else "up to date"


def _write(repo: Any, lock: Path, stages: list[Any]) -> None:
    """Write the stages' entries into the dvc.lock of their file, which is the old one until the new one is whole."""
    with replaced(lock) as temporary:
        if lock.exists():
            shutil.copyfile(lock, temporary)
        Lockfile(repo, str(temporary)).dump_stages(stages)
    repo.scm_context.track_file(str(lock))
    dvc_lock.keep()


def stale(known: Collection[str] = ()) -> set[str]:
    """The names of all stages that a run would have to look at: those changed and all that hang from them.

    What a kill has left broken is put right before.

    Args:
        known: stages whose outputs are what they will be: of those that hang from them, DVC's answer for each is right.
    """
    import networkx

    try:
        repo = _repo()
        repair.mend(repo)
        changed = repo.status() if LOCK.exists() else None
        with repo.lock:
            graph = repo.index.graph  # an edge leads from a stage to what it needs
            stages = {stage.addressing: stage for stage in graph}
            if changed is None:  # nothing has ever run: no need to look at each
                return set(stages)
            found = set(changed)
            for name in (name for name in changed if name.partition("@")[0] not in known):
                found |= {stage.addressing for stage in networkx.ancestors(graph, stages[name])}
    except DvcException as error:
        raise _cause("dvc status", error) from error
    return found


def _repo() -> Any:
    return Repo(".", _wait_for_lock=True)


def _cause(name: str, error: BaseException) -> TercetError:
    """The first error in the chain that is ours, else DVC's own words, or the type and the words of any other."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, TercetError):
            return link
        link = link.__cause__ or link.__context__
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    said = [" ".join(str(link).split()) if isinstance(link, DvcException) else words(link) for link in chain]
    mend = "; DVC keeps versions by git: `git init` here" if isinstance(error, SCMError) else ""
    return TercetError(f"{name}: {': '.join(filter(None, said))}{mend}")
