"""What of a run works beside what: a stage passes through its lane, which lets one, or so many, through at a time."""

import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import BoundedSemaphore, Lock
from typing import Any

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, PrefectTaskRunFuture

from tasks.bench import devices
from tasks.bench.kinds import KINDS

Lane = AbstractContextManager[Any]
_tensorflow = Lock()  # its seeds and its graph are the process's: one such stage at a time
_quiet = Lock()  # between two measurements DVC has work to do, which must not fall into a third
_processors = BoundedSemaphore(os.cpu_count() or 1)  # for stages that compute in a process of their own
_elsewhere: defaultdict[str, Lane] = defaultdict(Lock)  # by device: its pairs wait for it and for nothing here
LANES: dict[str, Lane] = {
    "train": _tensorflow,
    "compress": _tensorflow,
    "quantize": _tensorflow,
    "evaluate": _processors,
    "yardstick": _processors,
    "benchmark": _processors,
}


def of(name: str, *keys: str) -> Lane:
    """The lane of a stage.

    A pair on this machine is measured alone. One on another machine waits for that machine: it takes no processor
    here, and a device that is slow or away holds up its own pairs only. An estimate is a computation like any other.

    Args:
        name: of the stage.
        keys: what it is fanned out over; of a benchmark the variant and the device.
    """
    if name != "benchmark":
        return LANES.get(name, nullcontext())
    _, device = keys
    kind = KINDS.load(devices.load(device).kind)
    if kind.here:
        return _quiet
    return _elsewhere[device] if kind.measures else _processors


class Turn(PrefectTaskRunFuture[None]):
    """A stage's turn in its lane, to be waited for behind all that the stage needs.

    So Prefect takes the stage for pending until it has the lane, and as running only from then on.

    Args:
        lane: of the stage.
        need: one of what it needs, which stands for this in Prefect's graph.
    """

    def __init__(self, lane: Lane, need: PrefectFuture[Any]) -> None:
        super().__init__(need.task_run_id)
        self._lane, self._need, self._has = lane, need, False

    @property
    def state(self) -> State[Any]:
        """That of the need, which has succeeded when somebody asks."""
        return self._need.state

    def wait(self, timeout: float | None = None) -> None:  # noqa: ARG002  # Prefect's signature
        """Return with the lane."""
        self._lane.__enter__()
        self._has = True

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> None:  # noqa: FBT001, FBT002  # likewise
        """Nothing comes of it."""

    def add_done_callback(self, fn: Callable[[PrefectFuture[None]], None]) -> None:
        """Call at once: nobody is told of a lane."""
        fn(self)

    def end_with(self, stage: PrefectFuture[Any]) -> None:
        """Let the next one through when the stage has ended, with all its tries."""
        stage.add_done_callback(lambda _: self._leave())

    def _leave(self) -> None:
        if self._has:  # what it needs may have failed before its turn
            self._lane.__exit__(None, None, None)
