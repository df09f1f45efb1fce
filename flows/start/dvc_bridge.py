"""The one cache: what DVC knows of each stage, asked and kept from inside the flow's process.

`dvc repro` runs a stage as a command. Here DVC runs the same stage (its locks, its cache, its `dvc.lock`), but the
command's function is called in this process, so TensorFlow is imported once and not once a stage. For that, one
function of DVC is replaced, `dvc.stage.run.cmd_run`; its version is pinned, and its signature checked below. Where it
has another one, or `TERCET_IN_PROCESS=0` says so, commands run as commands: slower, and otherwise the same. Another
one is answered from memory: `read_param_file`, which parses all of params.yaml for each stage (`dvc_params.py`).
"""

import inspect
import logging
import os
import shlex
import sysconfig
from collections.abc import Callable, Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self

import dvc.stage.run
from dvc.dvcfile import load_file
from dvc.exceptions import DvcException
from dvc.parsing import EntryDefinition, MatrixDefinition, split_group_name
from dvc.parsing.interpolate import to_str
from dvc.repo import Repo
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import load_yaml

from flows import repair, seen
from flows.graph import GRAPH, is_ours
from flows.start import dvc_params, dvc_yaml
from flows.start.dvc_words import told
from tasks import dvc_lock, paths, signals
from tasks.dvc_lock import LOCK
from tasks.errors import TercetError, chain
from tasks.files import replaced
from tasks.stages import call

Outcome = Literal["ran", "restored", "up to date"]
Carry = Callable[[Any, list[str]], None]  # a stage of DVC, and the words of its command
LET_GO_S = 1.0
PLACES = (GRAPH, paths.SEEDS / GRAPH)  # files of stages that a run has
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
dvc_params.remember()
DVC = Lock()  # it is not made for threads, and those that wait for its own lock look for it twice a second


class Project:
    """The stages of one run, as params.yaml, dvc.yaml and dvc.lock have them when it begins.

    Each becomes an object of DVC's when its turn comes: it takes a millisecond, and there may be tens of thousands.

    A context whose end writes dvc.lock, once: DVC takes seconds to parse and write a long one. A kill before it loses
    nothing: the outputs are in DVC's cache, and its run cache restores them. A kill while it is written leaves the old
    one. One that a signal announces leaves no lock of paths behind.

    Raises:
        TercetError: dvc.yaml cannot be read, in DVC's own words.
    """

    def __init__(self) -> None:
        self._done: dict[str, dict[str, Any]] = {}  # entries that dvc.lock does not have yet, by dvc.yaml
        try:
            self._repo = _repo()
            with self._repo.lock:
                self._stages = _defined(self._repo)
                self.names = _names(self._stages)
        except DvcException as error:
            raise _cause("dvc.yaml", error) from error

    def __enter__(self) -> Self:
        signals.before_end(self._let_go)
        return self

    def __exit__(self, *_error: object) -> None:
        self.write()

    def write(self) -> None:
        """Write what dvc.lock does not have yet."""
        with DVC:
            entries, self._done = self._done, {}
            if entries:
                with self._repo.lock:
                    for path, own in entries.items():
                        _write(self._repo, Path(os.path.relpath(path)).with_name(LOCK.name), own)

    def settle(self) -> None:
        """Ask DVC once more, when all has run: later runs need not, until something is other than now (`seen`)."""
        stale()

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
        turn, failed = _Turn(carry), None
        token = _turn.set(turn)
        try:
            with DVC, self._repo.lock:
                stages, own = self._stages[name]
                # anew for each try: this one will have noted what there is now, and another would find nothing changed
                stage = stages[own]
                done = stage.reproduce(force=force)
                if done:
                    self._done.setdefault(str(done.path), {}).update(to_lockfile(done))
        except Exception as error:  # the boundary: whatever a stage or DVC raises, the flow gets one line
            failed = error
        finally:
            _turn.reset(token)
        if failed is not None:  # not within `except`, where what it was raised from would be said to be raised from it
            raise _cause(name, failed)
        if turn.ran:
            return "ran"
        return "restored" if done else "up to date"


def _write(repo: Any, lock: Path, entries: dict[str, Any]) -> None:
    """Write the stages' entries into the dvc.lock of their file, which is the old one until the new one is whole."""
    content: dict[str, Any] = load_yaml(str(lock)) if lock.exists() else {"schema": "2.0"}
    content.setdefault("stages", {}).update(sorted(entries.items()))
    with replaced(lock) as temporary, temporary.open("w", encoding="utf-8") as file:
        dvc_yaml.dump(content, file)
    repo.scm_context.track_file(str(lock))
    dvc_lock.keep()


def _defined(repo: Any) -> dict[str, tuple[Any, str]]:
    """What makes each stage when it is asked for, by name: the stages of its file, and its name there."""
    found: dict[str, tuple[Any, str]] = {}
    for place in (place for place in PLACES if place.exists()):
        stages = load_file(repo, str(place.absolute())).stages
        found |= {own if place == GRAPH else f"{place}:{own}": (stages, own) for own in stages}
    return found


def _names(defined: dict[str, tuple[Any, str]]) -> dict[tuple[str, ...], str]:
    """The name in dvc.yaml by the words that a stage's command ends in: ("benchmark", "int8", "host-cpu").

    Behind the first are the names that a stage is fanned out over, as `graph.check` sees to.
    """
    found: dict[tuple[str, ...], str] = {}
    for name, (stages, own) in defined.items():
        group, key = split_group_name(own)
        definition = stages.resolver.definitions[group]
        keys: Iterable[str] = [key] if key else []
        if isinstance(definition, MatrixDefinition):
            keys = map(to_str, definition.normalized_iterable[key].values())
        made = definition.definition if isinstance(definition, EntryDefinition) else definition.template
        if isinstance(command := made.get("cmd"), str):  # a list of them is none of ours
            found[*_before_keys(command), *keys] = name
    return found


@cache
def _before_keys(command: str) -> tuple[str, ...]:
    """The words of ours before those that a stage is fanned out over."""
    return tuple(takewhile(lambda word: "${" not in word, shlex.split(command)[len(COMMAND) :]))


def stale(known: Collection[str] = ()) -> set[str]:
    """The names of all stages that a run would have to look at: those changed and all that hang from them.

    What a kill has left broken is put right before. Where all is as when DVC last found nothing, it is not asked.

    Args:
        known: stages whose outputs are what they will be: of those that hang from them, DVC's answer for each is right.
    """
    try:
        repo = _repo()
        repair.mend(repo)
        now = seen.state(Path(repo.cache.local.path))
        if now and now == seen.known():
            return set()
        found = _ask(repo, known)
    except DvcException as error:
        raise _cause("dvc status", error) from error
    if not found:
        seen.keep(now)
    return found


def _ask(repo: Any, known: Collection[str]) -> set[str]:
    """What `stale` returns, by DVC."""
    if not is_ours():
        with repo.lock:
            repo.index.check_graph()  # what one adds may contradict itself
    if not LOCK.exists():  # nothing has ever run: no need to look at each
        return set(_defined(repo))
    changed = set(repo.status())
    if all(name.partition("@")[0] in known for name in changed):
        return changed
    with repo.lock:
        return _with_all_behind(repo.index.graph, changed, known)


def _with_all_behind(graph: Any, changed: set[str], known: Collection[str]) -> set[str]:
    """The changed stages, and all that hang from those that are not known; each is come by once.

    Args:
        graph: of DVC's stages: an edge leads from one to what it needs.
        changed: by name.
        known: stages, likewise, without what they are fanned out over.
    """
    waiting = [s for s in graph if s.addressing in changed and s.addressing.partition("@")[0] not in known]
    found = set(waiting)
    while waiting:
        behind = set(graph.predecessors(waiting.pop())) - found
        found |= behind
        waiting += behind
    return changed | {stage.addressing for stage in found}


def _repo() -> Any:
    return Repo(".", _wait_for_lock=True)


def _cause(name: str, error: BaseException) -> TercetError:
    """The first error in the chain that is ours, else DVC's own words, or the type and the words of any other."""
    for link in chain(error):
        if isinstance(link, TercetError):
            return link
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    made = TercetError(f"{name}: {': '.join(filter(None, map(told, causes)))}")
    made.__cause__ = error
    return made
