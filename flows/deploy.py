"""What a Prefect server is told of the project: its deployments, and what it does about runs that end badly."""

import os
import sys
import sysconfig
import time
from collections.abc import Iterator

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.automations import tell_of_failures, watch_heartbeats
from tasks.errors import TercetError
from tasks.process import told
from tasks.services.python import POOL

NOTIFY = "TERCET_NOTIFY_URL"
DEPLOY_S, POOL_S = 600.0, 120.0


def deploy() -> Iterator[str]:
    """Tell the server that PREFECT_API_URL names; the names of what it was told.

    Raises:
        TercetError: prefect.yaml is wrong, or the server does not take it.
    """
    _await_pool()
    program = [sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all"]
    path = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}"
    environment = os.environ | {"PATH": path, "TERCET_HOME": os.environ.get("TERCET_HOME") or os.getcwd()}  # noqa: PTH109
    said = told(program, timeout_s=DEPLOY_S, what="prefect deploy", error=TercetError, environment=environment)
    if said.code:
        raise TercetError(f"prefect deploy: {said.last_words}")
    yield "deployments"
    watch_heartbeats()
    yield "the end of runs whose process has died"
    if url := os.environ.get(NOTIFY):  # without it, what an earlier `tercet up` was told stays
        tell_of_failures(url)
        yield f"messages about failed runs to the address in {NOTIFY}"


def _await_pool() -> None:
    """Wait for the pool that the worker makes as it begins."""
    end = time.monotonic() + POOL_S
    with get_client(sync_client=True) as client:
        while time.monotonic() < end:
            try:
                client.read_work_pool(POOL)
            except ObjectNotFound:
                time.sleep(0.5)
            else:
                return
    raise TercetError(f"the worker has made no pool {POOL!r} within {POOL_S:g} s")
