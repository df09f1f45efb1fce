"""Which stages of a run work beside each other, and which wait."""

import os
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from flows import lanes

SOON_S, WAIT_S = 30.0, 0.2  # what comes through may be slow to; what waits is looked at for a moment


@pytest.fixture
def boards(project):
    """Two more machines that are reached by ssh, beside the catalog's devices."""
    (project / "devices").mkdir()
    for name in ("board-a", "board-b"):
        text = yaml.safe_dump({"kind": "ssh", "description": name, "threads": 1, "watts_per_core": [0.5, 1.5, 3.0]})
        (project / "devices" / f"{name}.yaml").write_text(text)
    return project


def passes(lane, within_s=SOON_S):
    """Whether a thread comes through the lane."""
    through = threading.Event()

    def go():
        with lane:
            through.set()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    found = through.wait(within_s)
    return found, thread


def test_a_pair_elsewhere_needs_no_processor_here_and_waits_for_its_device_alone(boards):
    with ExitStack() as busy:
        for _ in range(os.cpu_count() or 1):
            busy.enter_context(lanes.of("evaluate", "int8"))
        assert not passes(lanes.of("benchmark", "int8", "ethos-u55-128"), WAIT_S)[0]  # an estimate computes here
        assert passes(lanes.of("benchmark", "int8", "board-a"))[0]
        with lanes.of("benchmark", "int8", "board-a"):
            assert passes(lanes.of("benchmark", "int8", "board-b"))[0]
            waits, thread = passes(lanes.of("benchmark", "fp32", "board-a"), WAIT_S)
            assert not waits
        thread.join(10)
        assert not thread.is_alive()


def test_pairs_of_this_machine_are_measured_one_by_one(boards):
    with lanes.of("benchmark", "int8", "host-cpu"):
        waits, thread = passes(lanes.of("benchmark", "int8", "host-cpu-2t"), WAIT_S)
        assert not waits
        assert passes(lanes.of("benchmark", "int8", "board-a"))[0]
    thread.join(10)
    assert not thread.is_alive()


def test_training_is_one_at_a_time_and_reports_wait_for_nothing(boards):
    with lanes.of("train"):
        waits, thread = passes(lanes.of("quantize", "int8"), WAIT_S)
        assert not waits
        assert passes(lanes.of("report"))[0]
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def runner(monkeypatch):
    """Prefect's engine in threads, which tells no server."""
    monkeypatch.setattr(EventsWorker, "_client_override", (NullEventsClient, ()), raising=False)
    monkeypatch.setattr(SyncPrefectClient, "raise_for_api_version_mismatch_once", lambda _client: None)
    nowhere = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(nowhere), ThreadPoolTaskRunner(max_workers=4) as found:
        yield found


def submitted(runner, work, needs=(), lane=None, began=None):
    """A task of Prefect, and in `began` that it runs."""
    hooks = [lambda _task, run, _state: began.append(run.start_time)] if began is not None else []
    made = task(work, cache_policy=NO_CACHE, persist_result=False, on_running=hooks)
    turn = lanes.Turn(lane, needs[-1]) if lane else None
    future = runner.submit(made, {}, wait_for=[*needs, *([turn] if turn else [])])
    if turn:
        turn.end_with(future)
    return future


def test_prefect_has_a_stage_for_pending_until_its_lane_is_free(runner):
    lane, works, free, began, ended = threading.Lock(), threading.Event(), threading.Event(), [], []

    def work():
        works.set()
        free.wait(SOON_S)

    need = submitted(runner, lambda: None)
    first = submitted(runner, work, [need], lane)
    assert works.wait(SOON_S)
    assert lane.locked()
    second = submitted(runner, lambda: None, [need], lane, began)
    second.wait(WAIT_S)
    assert not began
    first.add_done_callback(lambda _: ended.append(datetime.now(UTC)))
    free.set()
    second.wait(SOON_S)
    assert second.state.is_completed()
    assert began[0] >= ended[0] - timedelta(seconds=WAIT_S)
    assert not lane.locked()


def test_a_stage_whose_needs_failed_takes_no_lane(runner):
    def fail():
        raise ValueError

    lane, began = threading.Lock(), []
    need = submitted(runner, fail)
    with lane:  # another one has it, and keeps it
        stage = submitted(runner, lambda: None, [need], lane, began)
        stage.wait(SOON_S)
        assert (stage.state.name, began) == ("NotReady", [])
        assert lane.locked()
    assert not lane.locked()
