"""Devices that their own workers measure: whose pairs go there, how long a run waits, and what goes on meanwhile."""

import json
from contextlib import nullcontext
from types import SimpleNamespace
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.objects import WorkerStatus
from prefect.states import Cancelled, Completed, Failed, Pending, Running

from flows.elsewhere import carriers, exchange, pools
from flows.elsewhere.asked import Asked
from tasks.errors import DeviceError, ModelError

WORDS = ["benchmark", "int8", "board"]


class Server:
    """In the place of Prefect's client: pools, whose workers come and go, and runs with the states they go through."""

    def __init__(self):
        self.pools, self.workers, self.states, self.asked, self.cancelled = [], iter(()), [], [], []

    def read_work_pools(self, work_pool_filter):
        return [SimpleNamespace(name=name) for name in self.pools if name in work_pool_filter.name.any_]

    def create_flow_from_name(self, name):
        return name

    def create_deployment(self, flow, name, **about):
        assert (flow, about["entrypoint"], about["work_pool_name"]) == (
            "tercet-measured",
            "tercet.measured",
            f"device-{name}",
        )
        return name

    def create_flow_run_from_deployment(self, deployment, parameters, name):
        self.asked.append((deployment, parameters["parcel"], name))
        return SimpleNamespace(id=uuid4())

    def read_flow_run(self, _run):
        return SimpleNamespace(state=self.states.pop(0) if self.states[1:] else self.states[0])

    def read_workers_for_work_pool(self, _pool):
        return [SimpleNamespace(status=WorkerStatus.ONLINE if next(self.workers, False) else WorkerStatus.OFFLINE)]

    def set_flow_run_state(self, _run, state, force):
        self.cancelled.append((state.type, force))


@pytest.fixture
def server(project, monkeypatch):
    """A server, two boards that ssh reaches beside the catalog's devices, and a clock that a wait moves on."""
    (project / "devices").mkdir()
    for name in ("board", "other"):
        text = yaml.safe_dump({"kind": "ssh", "description": name, "threads": 1, "watts_per_core": [0.5, 1.5, 3.0]})
        (project / "devices" / f"{name}.yaml").write_text(text)
    found, clock = Server(), SimpleNamespace(now=0.0)
    monkeypatch.setattr(pools, "get_client", lambda sync_client: nullcontext(found))
    found.unpacked = []
    parcel = SimpleNamespace(model_dump=lambda mode: {"words": WORDS})
    monkeypatch.setattr(exchange, "pack", lambda _stage, _words, send: parcel)
    monkeypatch.setattr(exchange, "unpack", lambda _stage, hashes: found.unpacked.append(hashes))
    later = lambda seconds: setattr(clock, "now", clock.now + seconds)  # noqa: E731
    monkeypatch.setattr(pools, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=later))
    found.clock = clock
    return found


def test_a_device_with_a_pool_is_measured_there_and_this_machine_never(server):
    server.pools = ["device-board", "device-host-cpu", "device-ethos-u55-128", "local"]
    named = ["host-cpu", "ethos-u55-128", "board", "other"]
    assert pools.found(named).keys() == {"board"}
    with carriers.opened(Asked("threads"), named) as found:
        assert found.of("benchmark", "int8", "board")[0] is not None
        assert found.of("benchmark", "int8", "other")[0] is None
        assert found.of("evaluate", "int8")[0] is None


def test_without_such_a_device_no_server_is_asked(project, monkeypatch):
    monkeypatch.setattr(pools, "get_client", None)
    assert pools.found(["host-cpu", "ethos-u55-128"]) == {}


def test_a_busy_device_is_waited_for(server):
    """For hours: its worker is there, and measures for somebody else."""
    server.states = [*[Pending()] * 5000, Running(), Completed(message=json.dumps({"out/a.json": "0a"}))]
    server.workers = iter([True] * 6000)
    pools.Pool("board", uuid4()).carry(None, WORDS)
    assert server.clock.now > 20 * pools.AWAY_S
    assert server.unpacked == [{"out/a.json": "0a"}]
    assert [(parcel, name) for _, parcel, name in server.asked] == [({"words": WORDS}, "int8 @ board")]


def test_a_worker_that_is_back_in_time_is_not_given_up(server):
    away = int(pools.AWAY_S / pools.POLL_S) - 1
    server.states = [*[Pending()] * (2 * away + 5), Completed(message="{}")]
    server.workers = iter([*[False] * away, True, *[False] * away, True, True, True, True])
    pools.Pool("board", uuid4()).carry(None, WORDS)
    assert not server.cancelled


def test_one_that_is_away_is_given_up_once_and_the_others_go_on(server):
    server.states = [Pending()]
    board, other = (pools.Pool(name, uuid4()) for name in ("board", "other"))
    with pytest.raises(DeviceError, match=r"^board: no worker of the pool device-board was there for 300 s$"):
        board.carry(None, WORDS)
    assert pools.AWAY_S <= server.clock.now <= pools.AWAY_S + 2 * pools.POLL_S
    assert server.cancelled == [(Cancelled().type, True)]
    with pytest.raises(DeviceError, match="no worker of the pool device-board"):
        board.carry(None, ["benchmark", "fp32", "board"])
    assert len(server.asked) == 1  # the next pairs do not wait once more
    server.states, server.workers = [Completed(message="{}")], iter([True])
    other.carry(None, ["benchmark", "int8", "other"])
    assert server.unpacked == [{}]


def test_why_it_failed_there_is_told(server):
    server.states, server.workers = [Running(), Failed(message="board: its disk is full")], iter([True, True])
    with pytest.raises(DeviceError, match=r"^board: board: its disk is full$"):
        pools.Pool("board", uuid4()).carry(None, WORDS)
    assert not server.unpacked


@pytest.mark.parametrize("fails", [False, True])
def test_the_workers_flow_says_what_was_made_or_why_not(monkeypatch, fails):
    from flows.measured import measured

    def carry_out(parcel):
        if fails:
            raise ModelError(f"{parcel} cannot be")
        return {"out/a.json": "0a"}

    monkeypatch.setattr(exchange, "carry_out", carry_out)
    monkeypatch.setattr("flows.measured.heed_signals", lambda: None)
    state = measured.fn({"words": WORDS})
    told = (state.is_completed(), state.message)
    assert told == ((False, f"{{'words': {WORDS}}} cannot be") if fails else (True, '{"out/a.json": "0a"}'))
