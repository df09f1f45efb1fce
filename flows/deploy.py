"""What a Prefect server is told of the project: its deployments, and what ends a run that has died."""

import os
import sys
import sysconfig
import time
from collections.abc import Iterator
from datetime import timedelta

from prefect.automations import EventTrigger, Posture, ResourceSpecification
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from tasks.errors import TercetError
from tasks.process import told
from tasks.services.python import HEARTBEAT_S, POOL

SILENCE = "end runs whose process has died"
MISSED = 3  # heartbeats
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
    yield "automation"


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


def watch_heartbeats() -> None:
    """Have the server end a run as crashed that has been silent for three heartbeats.

    Prefect's own recipe for servers of one's own, with the heartbeat that it asks for (`HEARTBEAT_S`, which the worker
    sets); any event of the run counts as a sign of life. A run that has ended is left alone: the server refuses to
    have what is ended crash.
    """
    wanted = AutomationCore(
        name=SILENCE,
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=MISSED * HEARTBEAT_S),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="its process has sent no heartbeat any more")],
    )
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(SILENCE)
        if found:
            client.update_automation(found[0].id, wanted)
        else:
            client.create_automation(wanted)
