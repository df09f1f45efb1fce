"""What a Prefect server shows of a run: its name, and that a signal has ended it."""

from contextvars import copy_context
from datetime import datetime
from threading import Thread

from tasks import params, signals
from tasks.errors import TercetError

TOLD_S = 1.0  # the prompt does not wait longer for a server


def run_name() -> str:
    """The project and the time, such as `digits-cnn 2026-01-31 02:00:00`."""
    try:
        name = params.load().name
    except TercetError:  # of which the flow itself fails, in its own words; without a name it would count as crashed
        name = "tercet"
    return f"{name} {datetime.now():%Y-%m-%d %H:%M:%S}"


def heed_signals() -> None:
    """Have signals end the flow that calls this in Tercet's way; where that is a command, the server is told.

    Prefect's own way with SIGTERM waits for the stages that run.
    """
    signals.insist()
    settings = copy_context()  # with the flow's run and the address of its server, which another thread does not have
    signals.before_end(lambda: _within(TOLD_S, Thread(target=settings.run, args=(_cancel,), daemon=True)))


def _within(limit_s: float, thread: Thread) -> None:
    thread.start()
    thread.join(limit_s)


def _cancel() -> None:
    """Without it the run would stay Running for ever."""
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext
    from prefect.states import Cancelled

    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(context.flow_run.id, Cancelled(message="ended by a signal"), force=True)
