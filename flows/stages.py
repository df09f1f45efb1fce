"""The only place where a stage becomes a Prefect task."""

import itertools
import logging
import time
from collections.abc import Collection
from threading import Lock
from typing import Any
from urllib.error import URLError

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.start.dvc_bridge import Carry, Project
from flows.timeline import Span
from flows.views.bars import Bars
from tasks.errors import TransientError, chain
from tasks.records.failures import kept, words

log = logging.getLogger(__name__)
PASSING = (TransientError, ConnectionError, TimeoutError, URLError)
RETRIES: dict[str, dict[str, Any]] = {
    # a device may be away for a moment, and a download may break off; everything else fails twice alike
    "benchmark": {"retries": 1, "retry_delay_seconds": 2},
    "prepare": {"retries": 2, "retry_delay_seconds": 5},
}


def _is_worth_a_retry(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Whether what is at the bottom of the error may pass: ours are raised from what a connection said."""
    error: BaseException | None = state.result(raise_on_failure=False)
    return any(isinstance(link, PASSING) for link in chain(error))


class Progress:
    """How many of the stages to look at have ended; threads may share it.

    Args:
        stale: their names in dvc.yaml.
        again: of these, what runs although nothing has changed.

    Attributes:
        bars: that tell it beneath the lines, once entered.
    """

    def __init__(self, stale: Collection[str], again: Collection[str] = ()) -> None:
        self.stale, self.again = frozenset(stale), frozenset(again)
        self.spans: list[Span] = []
        self.bars = Bars(stale)
        self._ended = itertools.count(1)
        self._telling = Lock()  # between a number and its line no other thread may have its own

    def tell(self, level: int, said: str, *words: object) -> None:
        """Log that one more has ended, behind its number: `[12/47]`; the lines stand in that order."""
        with self._telling:
            log.log(level, f"[%d/%d] {said}", next(self._ended), len(self.stale), *words)  # noqa: G004  # a format


def stage(name: str, *keys: str, label: str, progress: Progress, carry: Carry | None = None) -> Task[..., State[Any]]:
    """The Prefect task that brings one stage up to date, and tells in that moment how it ended.

    Args:
        name: of the stage: a key of `tasks.stages.STAGES`.
        keys: what it is fanned out over.
        label: names the task run.
        progress: of the flow.
        carry: does its command elsewhere; null: here.
    """

    def run(project: Project) -> State[Any]:
        address = project.names[(name, *keys)]
        if address not in progress.stale:
            return Completed(name="UpToDate", message=f"{label}: up to date")
        start, began_ns = time.monotonic(), time.time_ns()
        # DVC's own work may fail as well: a full disk, a damaged cache
        with progress.bars.during(address) as bar, kept(name, *keys):
            outcome = bar.outcome = project.reproduce(address, carry, force=address in progress.again)
        progress.spans.append(Span(label, outcome, began_ns, time.time_ns()))
        progress.tell(logging.INFO, "%s: %s in %.1f s", label, outcome, time.monotonic() - start)
        return Completed(name=outcome.title().replace(" ", ""), message=f"{label}: {outcome}", data=outcome)

    def tell(_task: Any, _run: Any, state: State[Any]) -> None:  # once there is no other try
        progress.tell(logging.ERROR, "%s: failed: %s", label, words(state.result(raise_on_failure=False)))

    decorate = task(
        name=name,
        task_run_name=label,
        cache_policy=NO_CACHE,  # the one cache is DVC's
        persist_result=False,  # and no tags of its own: for each set of them Prefect starts a thread and a client
        on_failure=[tell],
        retry_condition_fn=_is_worth_a_retry,
        **RETRIES.get(name, {}),
    )
    return decorate(run)
