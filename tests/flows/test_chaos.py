"""What is killed under a team's runs: nothing is lost, the next run completes, and a person sees what happened."""

import os
import shutil
import socket
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import psutil
import pytest

from tasks.services import place, python
from tasks.services.processes import start, stop
from tests import services
from tests.disks import disk, resize

DONE_S = 900.0
SEEN_S = 120.0  # within which a run whose process has died is told as dead
OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
DEVICE = "ethos-u55-128"  # estimated: no other test's measurement is waited for
MANY = 200
AWAY_S = 20  # in which a run has something to tell, and nobody to tell it to
ROOM_KIB = 8 * 2**20  # of which memory is taken for what is written alone
pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(3000)]
SEEDS = count(int(time.time()))


@pytest.fixture(scope="module")
def team(make_clone):
    with services.team(make_clone) as found:
        begin(found)
        yield found


def begin(team):
    team.clone.change(lambda params: params["benchmark"].update(devices=[DEVICE]))
    services.schedule(team.clone.root, "nightly", interval=360_000)
    team.up()


@pytest.fixture
def stale(team):
    """A seed that has never been one: a whole run has to be made anew."""
    team.up()
    team.clone.change(lambda params: params["train"].update(seed=next(SEEDS)))


def over(team, run):
    """How a run has ended."""
    return team.wait(lambda: team.state(run) in OVER and team.state(run), DONE_S)


def message(team, run):
    """What the run's page says of its end."""
    return team.ask(f"/flow_runs/{run}")["state"]["message"]


def running(team, run):
    """Return in the middle of a run: when a first stage has ended, and the model is not trained yet."""
    prepared = team.clone.root / "out" / "data"
    before = prepared.stat().st_mtime if prepared.exists() else 0
    team.wait(lambda: team.state(run) == "RUNNING" and team.ask("/task_runs/filter", of(run)), DONE_S)
    assert not prepared.exists() or prepared.stat().st_mtime >= before


def of(run):
    return {"flow_runs": {"id": {"any_": [run]}}}


def kill(team, service):
    """With all that hangs from it, and no chance to clean up."""
    process = psutil.Process(team.pid(service))
    for each in [process, *process.children(recursive=True)]:
        each.kill()


def assert_next_completes(team):
    """A person has `tercet up` start what is away; then all is made that is asked for, and DVC finds it whole."""
    team.up()
    run = team.start("nightly")
    assert over(team, run) == "COMPLETED", team.logs()
    pairs = [team.clone.root / "out" / "benchmarks" / f"{name}@{DEVICE}.json" for name in ("fp32", "int8")]
    assert all(path.is_file() for path in pairs)
    assert "up to date" in team.clone.run("dvc", "status")
    assert "in sync" in team.clone.run("dvc", "status", "--cloud")


def test_a_server_that_is_killed_in_a_run_loses_nothing(team, stale):
    run = team.start("nightly")
    running(team, run)
    kill(team, "prefect")
    time.sleep(AWAY_S)
    team.up()
    assert over(team, run) == "COMPLETED", team.logs()
    assert_next_completes(team)


def test_records_wait_for_a_tracking_server_that_is_away_for_a_whole_run(team, stale):
    kill(team, "mlflow")
    run = team.start("nightly")
    assert over(team, run) == "COMPLETED", team.logs()
    team.wait(lambda: "nothing is lost" in logged(team, run), AWAY_S)  # its last lines come behind its end
    team.up()
    assert "0 records sent" not in team.clone.run("tercet", "publish")
    assert "0 records sent" in team.clone.run("tercet", "publish")


def logged(team, run):
    """What the run's page shows of its log."""
    query = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
    return "\n".join(line["message"] for line in team.ask("/logs/filter", query))


def test_a_database_that_is_killed_in_a_run_loses_nothing(team, stale):
    before = ended(team)
    run = team.start("nightly")
    running(team, run)
    kill(team, "postgres")
    time.sleep(AWAY_S)
    team.up()
    assert over(team, run) == "COMPLETED", team.logs()
    assert_next_completes(team)
    assert before | {run} <= ended(team)


def ended(team):
    return {run["id"] for run in team.runs() if run["state_type"] in OVER}


def test_a_worker_that_is_killed_leaves_no_run_running_and_ends_none_that_completed(team, stale):
    brief = completed(team)
    run = team.start("nightly")
    running(team, run)
    heartbeats = [heartbeat(each) for each in brief[::2]]
    team.ask("/events", heartbeats)  # which arrive late, after the end of their runs: now these are waited for
    kill(team, "worker")
    killed = time.monotonic()
    taken = team.start("on-demand")  # which a worker says that it begins, and dies
    team.ask(f"/flow_runs/{taken}/set_state", {"state": {"type": "PENDING"}})
    team.wait(lambda: states(team, [run, taken]) == {"CRASHED"}, SEEN_S + 30)
    assert time.monotonic() - killed <= SEEN_S
    assert "no heartbeat" in message(team, run)
    team.wait(lambda: refusals(team) >= len(heartbeats), SEEN_S)
    assert states(team, brief) == {"COMPLETED"}
    assert_next_completes(team)


BRIEF = """
import asyncio
from prefect import flow

@flow
async def brief():
    pass

async def many():
    for _ in range({many} // 10):
        await asyncio.gather(*(brief() for _ in range(10)))

asyncio.run(many())
"""


def completed(team):
    """The numbers of many runs that have completed, each of which has sent a heartbeat."""
    script = team.clone.root.parent / "brief.py"
    script.write_text(BRIEF.format(many=MANY))
    team.clone.run("python", str(script), env={"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"})
    found = team.runs(flows={"name": {"any_": ["brief"]}})
    assert len(found) == MANY
    return [run["id"] for run in found]


def heartbeat(run):
    now = datetime.now(UTC).isoformat()
    resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
    return {"occurred": now, "event": "prefect.flow-run.heartbeat", "resource": resource, "id": str(uuid4())}


def refusals(team):
    """How often the server did not have crash what an automation wanted to crash, each time for the same reason."""
    wanted = {"event": {"name": ["prefect.automation.action.failed"]}}
    found = team.ask("/events/filter", {"filter": wanted, "limit": 50})
    assert all("already in terminal state COMPLETED" in event["payload"]["reason"] for event in found["events"])
    return found["total"]


def states(team, runs):
    return {team.state(run) for run in runs}


def test_a_store_that_is_killed_in_a_push_holds_no_half_object(team, stale):
    big = team.clone.root / "big"
    big.mkdir()
    for number in range(40):
        (big / f"{number}.bin").write_bytes(os.urandom(2**20))
    team.clone.run("dvc", "add", "big")
    before = stored(team)
    with team.clone.started("dvc", "push", "big.dvc") as (process, log):
        while process.poll() is None and stored(team) < before + 5 * 2**20:
            time.sleep(0.02)
        kill(team, "s3")
        process.wait(DONE_S)
        assert process.returncode != 0, log.read_text()
    assert "ERROR" in log.read_text()
    team.up()
    assert "big" in team.clone.run("dvc", "status", "--cloud", "big.dvc"), "the store has all: it was killed too late"
    team.clone.run("dvc", "push", "big.dvc")
    kept = team.clone.hashes("big")
    for path in (team.clone.root / ".dvc" / "cache", big):
        shutil.rmtree(path)
    team.clone.run("dvc", "pull")
    assert team.clone.hashes("big") == kept
    assert_next_completes(team)


def stored(team):
    """The bytes of the store's volumes."""
    return sum(path.stat().st_size for path in (team.home / "s3" / "data").glob("*.dat"))


def test_two_that_collide_do_not_meet(team, stale):
    runs = [team.start("nightly"), team.start("nightly"), team.start("weekly")]
    ended = [over(team, run) for run in runs]
    assert sorted(ended[:2]) in (["CANCELLED", "COMPLETED"], ["COMPLETED", "COMPLETED"]), team.logs()
    assert ended[2] == "COMPLETED"
    assert_next_completes(team)


def test_a_second_worker_in_a_project_lets_no_two_runs_meet(team, stale, monkeypatch):
    monkeypatch.chdir(team.clone.root)
    with second_worker(place.known()):
        run = team.start("nightly")
        running(team, run)
        other = team.start("weekly")
        assert over(team, other) == "FAILED", team.logs()
        assert "is at work in" in message(team, other)
        assert "nothing was changed" in message(team, other)
        assert over(team, run) == "COMPLETED", team.logs()
    assert_next_completes(team)


@contextmanager
def second_worker(made):
    """Another worker of the same pool, in the same project."""
    with socket.socket() as probe:
        probe.bind((place.HOST, 0))
        ports = {**made.ports, "worker": probe.getsockname()[1]}
    service = python.worker(replace(made, home=made.home / "second", ports=ports))
    start(service)
    try:
        yield
    finally:
        stop(service)


def test_a_disk_that_is_full_in_a_run_loses_nothing(make_clone):
    with team_on_disk(make_clone) as (team, change):
        begin(team)
        run = team.start("nightly")
        running(team, run)
        used = shutil.disk_usage(team.clone.root).used
        change(used // 1024 + 512)
        time.sleep(60)
        change(ROOM_KIB)
        team.up()
        assert over(team, run) == "COMPLETED" or message(team, run)
        assert_next_completes(team)
        assert not list((team.clone.root / "out").rglob("*.tmp"))


@contextmanager
def team_on_disk(make_clone):
    """A team whose project, databases and store lie on a disk of their own, and what changes its size."""
    with services.folder() as folder:
        clone, mounted = make_clone(folder), folder / "disk"
        mounted.mkdir()
        with disk(mounted, ROOM_KIB) as (enter, seen):
            shutil.copytree(clone.root, seen, symlinks=True, dirs_exist_ok=True)
            clone.env["PYTHONPATH"] = str(mounted)
            with services.working(replace(clone, root=seen, enter=tuple(enter))) as team:
                yield team, lambda kib: resize(enter, mounted, kib)
