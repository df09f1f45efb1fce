"""Devices that a worker next to them measures: those that have a pool of Prefect's named `device-NAME`.

The pool is there once a worker was started in it. A run asks its Prefect server for the pools of its devices, and sends
each pair to the device's: it waits while a worker is there, be it busy, and gives up when none was for `AWAY_S`.
"""

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import State, WorkerStatus
from prefect.states import Cancelled

from flows.elsewhere import exchange
from flows.start.dvc_bridge import Carry
from tasks.bench import devices
from tasks.bench.kinds import KINDS
from tasks.errors import DeviceError

PREFIX = "device-"
AWAY_S = 300.0
POLL_S = 2.0
SETTINGS = {"PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


def found(names: Sequence[str]) -> dict[str, Carry]:
    """What has the pairs of a device measured next to it, by those of some devices that have a pool.

    A device that is this machine, or only estimated, has none.
    """
    pools = [f"{PREFIX}{name}" for name in names if KINDS.load(devices.load(name).kind).board]
    if not pools:
        return {}
    with get_client(sync_client=True) as client:
        known = client.read_work_pools(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=pools)))
        return {(name := pool.name.removeprefix(PREFIX)): Pool(name, _deployed(client, name)).carry for pool in known}


def _deployed(client: SyncPrefectClient, device: str) -> UUID:
    """The deployment of `flows.measured` in a device's pool, made or renewed."""
    place = {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $TERCET_HOME }}"}}  # the worker's
    return client.create_deployment(
        client.create_flow_from_name("tercet-measured"),
        device,
        work_pool_name=f"{PREFIX}{device}",
        entrypoint="tercet.measured",
        pull_steps=[place],
        tags=["tercet", "measured"],
        job_variables={"env": SETTINGS},
    )


class Pool:
    """The workers of one device, for one run.

    Args:
        device: its name.
        deployment: of `flows.measured` in its pool.
    """

    def __init__(self, device: str, deployment: UUID) -> None:
        self._device, self._deployment = device, deployment
        self._gone: str | None = None

    def carry(self, stage: Any, words: Sequence[str]) -> None:
        """Have a worker there run a stage's command.

        Raises:
            DeviceError: it failed there; or no worker is there, and then all later pairs fail at once.
        """
        if self._gone:
            raise DeviceError(self._gone)
        parcel = exchange.pack(stage, words, send=True).model_dump(mode="json")
        with get_client(sync_client=True) as client:
            asked = client.create_flow_run_from_deployment(
                self._deployment, parameters={"parcel": parcel}, name=" @ ".join(words[1:])
            )
            state = self._awaited(client, asked.id)
        if not state.is_completed():
            raise DeviceError(f"{self._device}: {state.message or state.name}")
        exchange.unpack(stage, json.loads(state.message or "{}"))

    def _awaited(self, client: SyncPrefectClient, run: UUID) -> State[Any]:
        """The state that a run ends with."""
        seen = time.monotonic()
        while True:
            state = client.read_flow_run(run).state
            if state and state.is_final():
                return state
            if self._is_there(client):
                seen = time.monotonic()
            elif time.monotonic() - seen > AWAY_S:
                self._gone = f"{self._device}: no worker of the pool {PREFIX}{self._device} was there for {AWAY_S:g} s"
                client.set_flow_run_state(run, Cancelled(message=self._gone), force=True)
                raise DeviceError(self._gone)
            time.sleep(POLL_S)

    def _is_there(self, client: SyncPrefectClient) -> bool:
        workers = client.read_workers_for_work_pool(f"{PREFIX}{self._device}")
        return any(worker.status == WorkerStatus.ONLINE for worker in workers)
