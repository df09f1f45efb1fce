"""The one cache: what DVC knows of each stage, asked and kept from inside the flow's process.

`dvc repro` runs a stage as a command. Here DVC runs the same stage (its locks, its cache, its `dvc.lock`), but the
command's function is called in this process, so TensorFlow is imported once and not once a stage. For that, one
function of DVC is replaced, `dvc.stage.run.cmd_run`; its version is pinned, and its signature checked below.
"""

import inspect
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, Self

import dvc.stage.run
from dvc.exceptions import DvcException
from dvc.repo import Repo

from tasks.__main__ import call
from tasks.errors import TercetError

Outcome = Literal["ran", "restored", "up to date"]
COMMAND = ["python", "-m", "tasks"]
LOCK = Path("dvc.lock")
_ran: ContextVar[list[str] | None] = ContextVar("_ran", default=None)
_run_command = dvc.stage.run.cmd_run
logging.getLogger("dvc").setLevel(logging.ERROR)  # it sets itself up when imported, so only now


def _call_in_process(stage: Any, dry: bool = False, run_env: Any = None) -> None:  # noqa: FBT001, FBT002  # DVC's
    argv = shlex.split(stage.cmd) if isinstance(stage.cmd, str) else []
    ran = _ran.get()
    if dry or ran is None or argv[: len(COMMAND)] != COMMAND:
        _run_command(stage, dry=dry, run_env=run_env)
        return
    ran.append(stage.addressing)
    call(*argv[len(COMMAND) :])


if list(inspect.signature(_run_command).parameters) != ["stage", "dry", "run_env"]:
    raise ImportError("dvc.stage.run.cmd_run has changed; install the version that requirements.lock pins")
dvc.stage.run.cmd_run = _call_in_process


class Project:
    """The stages of one run, as params.yaml, dvc.yaml and dvc.lock have them when it begins.

    A context whose end writes dvc.lock, once: DVC takes seconds to parse and write a long one. A kill before it loses
    nothing: the outputs are in DVC's cache, and its run cache restores them.

    Raises:
        TercetError: dvc.yaml cannot be read, in DVC's own words.
    """

    def __init__(self) -> None:
        self._loans: SimpleQueue[dict[str, Any]] = SimpleQueue()  # stages and their Repo are not thread-safe
        self._done: SimpleQueue[Any] = SimpleQueue()  # stages whose entries dvc.lock does not have yet
        try:
            with self._lent() as stages:
                commands = {name: shlex.split(s.cmd) for name, s in stages.items() if isinstance(s.cmd, str)}
        except DvcException as error:
            raise _cause("dvc.yaml", error) from error
        # the name in dvc.yaml by the words that the command ends in: ("benchmark", "int8", "host-cpu")
        self.names = {tuple(words[len(COMMAND) :]): name for name, words in commands.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        stages = []
        with suppress(Empty):
            while True:
                stages.append(self._done.get_nowait())
        if stages:
            stages.sort(key=lambda stage: str(stage.addressing))
            with stages[0].repo.lock:
                stages[0].dvcfile.dump_stages(stages, update_pipeline=False)

    @contextmanager
    def _lent(self) -> Iterator[dict[str, Any]]:
        """Stages by name, for one thread at a time: to read dvc.yaml takes as long as to look at a stage."""
        try:
            stages = self._loans.get_nowait()
        except Empty:
            repo = _repo()
            with repo.lock:
                stages = {stage.addressing: stage for stage in repo.index.stages}
        try:
            yield stages
        finally:
            self._loans.put(stages)

    def reproduce(self, name: str) -> Outcome:
        """Bring one stage of dvc.yaml up to date; its dependencies must be so.

        Raises:
            TercetError: what the stage itself raised, or DVC's own complaint in one line.
        """
        ran: list[str] = []
        token = _ran.set(ran)
        try:
            with self._lent() as stages, stages[name].repo.lock:
                done = stages[name].reproduce()
        except Exception as error:  # the boundary: whatever a stage or DVC raises, the flow gets one line
            raise _cause(name, error) from error
        finally:
            _ran.reset(token)
        if done:
            self._done.put(done)
        if ran:
            return "ran"
        return "restored" if done else "up to date"


def stale() -> set[str]:
    """The names of all stages that a run would have to look at: those changed and all that hang from them."""
    import networkx

    try:
        repo = _repo()
        changed = repo.status() if LOCK.exists() else None
        with repo.lock:
            graph = repo.index.graph  # an edge leads from a stage to what it needs
            stages = {stage.addressing: stage for stage in graph}
            if changed is None:  # nothing has ever run: no need to look at each
                return set(stages)
            found = set(changed)
            for name in changed:
                found |= {stage.addressing for stage in networkx.ancestors(graph, stages[name])}
    except DvcException as error:
        raise _cause("dvc status", error) from error
    return found


def _repo() -> Any:
    return Repo(".", _wait_for_lock=True)


def _cause(name: str, error: BaseException) -> TercetError:
    """The first error in the chain that is ours, else DVC's own words."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, TercetError):
            return link
        link = link.__cause__ or link.__context__
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    words = ": ".join(" ".join(str(link).split()) for link in chain if str(link))
    return TercetError(f"{name}: {words}")
