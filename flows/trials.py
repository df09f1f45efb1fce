"""The flow of a search: what it starts from is brought up to date, then trials run side by side until all are made."""

from contextlib import nullcontext
from queue import SimpleQueue
from typing import Any

from filelock import FileLock, Timeout
from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from flows.lanes import LANES
from flows.pipeline import Graph, told
from flows.stale import look
from flows.start.dvc_bridge import Project
from flows.views.prefect import heed_signals, run_name
from flows.views.search import View
from tasks.bench import devices
from tasks.errors import TercetError
from tasks.params import Params
from tasks.search.records import Trial
from tasks.search.space import Plan
from tasks.search.state import State
from tasks.search.stopping import Judge
from tasks.search.trial import Workshop, carry_out
from tasks.stages import sources

MOST = 64  # trials under way, whatever params.yaml says: each holds a thread
runner: Any = ThreadPoolTaskRunner(max_workers=MOST)  # Any: its type parameter is not the one `flow` asks for


@flow(name="tercet-search", flow_run_name=run_name, task_runner=runner)
def search(settings: Params) -> None:
    """Make the trials of the section `search`, those of hand-written variants first; go on where an earlier one ended.

    Raises:
        TercetError: what the search starts from cannot be made, or another process searches the same.
    """
    heed_signals()
    assert settings.search is not None  # the command has looked
    start_from(settings)
    lanes = {name: LANES.get(name, nullcontext()) for name in ("compress", "quantize", "evaluate", "benchmark")}
    named = devices.estimates_first(settings.search.devices)
    state = State(settings, settings.search, named, lanes.__getitem__)
    try:
        with FileLock(state.folder / "lock", timeout=0):
            state.open()
            with View(state) as view:
                make_trials(state, view)
            view.conclude(state.conclude())
    except Timeout:
        raise TercetError(
            f"{state.folder}: another `tercet search` works on the same; wait for it, or end it"
        ) from None


def start_from(settings: Params) -> None:
    """Bring the data, the baseline and the reference up to date, as `tercet run` does."""
    with Project() as project:
        reference = settings.benchmark.reference
        needed = [
            ("code",),
            *(("sources", kind) for kind in sources.KINDS),
            ("prepare",),
            ("train",),
            ("quantize", reference),
        ]
        graph = Graph(project, look(settings) & {project.names[words] for words in needed})
        given = {kind: graph.submit("sources", kind, label=f"sources {kind}") for kind in sources.KINDS}
        code = graph.submit("code", label="code")
        prepared = graph.submit("prepare", label="prepare", after=[code, given["data"]])
        trained = graph.submit("train", label="train", after=[prepared, given["model"]])
        graph.submit("quantize", reference, label=f"quantize {reference}", after=[trained])
        if failures := graph.failures():
            raise TercetError(told(failures, len(graph.futures)))


def make_trials(state: State, view: View) -> None:
    """Ask, make and tell, so many trials at once as params.yaml says."""
    ended: SimpleQueue[int] = SimpleQueue()
    futures: dict[int, Any] = {}
    while True:
        while len(futures) < min(state.search.parallel, MOST) and (asked := state.ask()):
            number, plan, judge = asked
            futures[number] = attempt(state.workshop, number, plan, judge).submit()
            futures[number].add_done_callback(lambda _, number=number: ended.put(number))
        if not futures:
            return
        trial = futures.pop(ended.get()).result()
        state.tell(trial)
        view.tell(trial)


def attempt(workshop: Workshop, number: int, plan: Plan, judge: Judge | None) -> Task[[], Trial]:
    """The Prefect task that makes one trial."""

    @task(name="trial", task_run_name=f"trial {number}", cache_policy=NO_CACHE, persist_result=False)
    def run() -> Trial:
        return carry_out(workshop, number, plan, judge)

    return run
