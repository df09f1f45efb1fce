"""Training curves, streamed to a model's run while it trains. What cannot be sent so is sent from the model's card."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tasks.errors import TrackingError
from tasks.params import Params
from tasks.track import contents, server
from tasks.track.client import import_mlflow
from tasks.track.patience import within
from tasks.track.store import Store

SETTLE_S = 60.0
PATIENCE_S = 30.0  # for one epoch
THREAD = "curves of "
_End = Literal["FINISHED", "FAILED"]
OnEpoch = Callable[[int, dict[str, float | None]], None]
log = logging.getLogger(__name__)


@contextmanager
def curves(model: str, params: Params, texts: Path | None = None) -> Iterator[OnEpoch]:
    """Stream a model's training curves to its run, from a thread of its own: training neither waits nor fails for it.

    So are the texts of a folder, where there are any: what a language model writes after each epoch.

    Yields a function of the epoch (from 0) and its metrics. What cannot be sent is sent by `publish`, from the model's
    card. The training of a killed run goes on in the same run. The thread ends by itself soon after the training: it is
    no daemon, because a process that dies in the middle of an import may crash.
    """
    feed: queue.SimpleQueue[_Epoch | _End] = queue.SimpleQueue()
    worker = threading.Thread(target=_stream, args=(feed, model, params.name, texts), name=f"{THREAD}{model}")
    worker.start()
    end: _End = "FAILED"
    try:
        yield lambda epoch, metrics: feed.put(_Epoch(epoch, dict(metrics), time.time_ns() // 1_000_000))
        end = "FINISHED"
    finally:
        feed.put(end)


def settle() -> None:
    """Wait until this process has sent the curves of the trainings that have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD):
            thread.join(SETTLE_S)


@dataclass(frozen=True)
class _Epoch:
    epoch: int
    metrics: dict[str, float | None]
    timestamp_ms: int


def _stream(feed: "queue.SimpleQueue[_Epoch | _End]", model: str, experiment: str, texts: Path | None) -> None:
    """Send epochs as they come, until the end comes.

    MLflow is imported beside the training but after its first epoch, when nothing else is being imported any more.
    """
    first = feed.get()
    if not isinstance(first, _Epoch):  # nothing was trained
        return
    uri = server.uri()
    try:
        with server.told(uri):
            import_mlflow()
            store = within(PATIENCE_S, partial(Store, uri, experiment))
            run_id = within(PATIENCE_S, partial(store.live_run, model, first.epoch))
            item: _Epoch | _End = first
            while isinstance(item, _Epoch):
                points = contents.curve_points(item.epoch, item.metrics)
                within(PATIENCE_S, partial(store.log, run_id, points, item.timestamp_ms))
                if texts and texts.is_dir():
                    within(PATIENCE_S, partial(store.log_texts, run_id, texts))
                item = feed.get()
            within(PATIENCE_S, partial(store.client.set_terminated, run_id, item))
    except TrackingError as error:
        log.warning("curves of %s: %s", model, error)
