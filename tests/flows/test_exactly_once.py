"""Two API servers, two service processes and two workers share one database: what Redis is for, counted."""

import logging
import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tasks.services import place, postgres, python, redis
from tasks.services.processes import start, stop
from tests import services

EVERY_S = 5
OFTEN, CONTROL = 60, 12  # times: for five minutes, and for one
SOON_S = 30  # for the deployment to be known
AHEAD_S = 330  # of what begins within 300 s of being scheduled Prefect tells too late for a test (infra/docs/team.md)
LIMIT = 3  # runs at once of each worker
MARGIN_S = 900.0  # for what has fired to end, too
HEARD_S = 180  # for what is said of the last ones
ROUND = re.compile(r"Scheduled \d+ runs\.")  # what a pass of the scheduler says
BEAT = """
from pathlib import Path
from prefect import flow, runtime

@flow
def beat():
    with (Path(__file__).parent / "record").open("a") as record:
        record.write(f"{runtime.flow_run.id} {runtime.flow_run.scheduled_start_time.isoformat()}\\n")
"""
DEPLOY = """
import sys
from prefect import flow
from prefect.automations import Automation, EventTrigger, ResourceSpecification
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook

name, folder, rule, address = sys.argv[1:]
beat = flow.from_source(source=folder, entrypoint="beat.py:beat")
beat.deploy(name=name, work_pool_name="local", rrule=rule)
runs = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})
ended = EventTrigger(expect={"prefect.flow-run.Completed"}, match=runs, for_each={"prefect.resource.id"})
hook = Webhook(url=address).save(name)
tell = CallWebhook(block_document_id=hook, payload="{{ flow_run.id }}")
Automation(name=name, trigger=ended, actions=[tell]).create()
"""
log = logging.getLogger(__name__)
pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture
def pairs(make_clone, monkeypatch):
    """What runs everything twice for a block, with Redis or without; databases and Redis stay."""
    with services.folder() as folder, ExitStack() as ended:
        clone = make_clone(folder)
        clone.root.chmod(0o711)
        monkeypatch.chdir(clone.root)
        made = place.made()
        postgres.prepare(made)
        redis.prepare(made)
        for store in (postgres.service(made), redis.service(made)):
            ended.callback(stop, store)
            start(store)
        postgres.settle(made)
        yield SimpleNamespace(clone=clone, place=made)


def twice(made, name, *, shared):
    """The processes: of the second pair, folder and ports are others."""
    ports = made.ports | {"prefect": made.ports["mlflow"], "worker": made.ports["filer"]}
    for each in (replace(made, home=made.home / name), replace(made, home=made.home / name / "second", ports=ports)):
        yield told(python.server(each), shared)
        yield told(python.background(each), shared)
        worker = python.worker(each)
        yield told(replace(worker, argv=(*worker.argv[:-1], str(LIMIT))), shared)


def told(service, shared):
    """The same process, which says what it does; without Redis it keeps to itself what it would tell the others."""
    kept = {key: value for key, value in service.environment.items() if shared or not alone(key)}
    return replace(service, environment=kept | {"PREFECT_SERVER_LOGGING_LEVEL": "INFO"})


def alone(key):
    return key.startswith(("PREFECT_MESSAGING", "PREFECT_REDIS", "PREFECT_SERVER_DOCKET")) or key in (
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING", "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
    )  # fmt: skip


def phase(pairs, name, often, soon_s, *, shared):
    """What has happened when a schedule of so many times has fired, and all that it started has ended."""
    beat = pairs.clone.root.parent / name
    beat.mkdir(mode=0o755)
    (beat / "beat.py").write_text(BEAT)
    (beat / "deploy.py").write_text(DEPLOY)
    pairs.clone.env.update(python.clients(pairs.place))
    team = services.Team(pairs.clone)
    with ExitStack() as ended, services.hook() as (address, heard):
        for service in twice(pairs.place, name, shared=shared):
            ended.callback(stop, service)
            start(service)
        team.wait(lambda: team.ask("/work_pools/local"), MARGIN_S)
        first = datetime.now(UTC) + timedelta(seconds=soon_s)
        rule = f"DTSTART:{first:%Y%m%dT%H%M%SZ}\nRRULE:FREQ=SECONDLY;INTERVAL={EVERY_S};COUNT={often}"
        pairs.clone.run("python", str(beat / "deploy.py"), name, str(beat), rule, address)
        before, began = rounds(team, name), time.monotonic()
        runs = team.wait(lambda: over(team, name, often), soon_s + often * EVERY_S + MARGIN_S)
        passes = (rounds(team, name) - before) / (time.monotonic() - began)
        end = time.monotonic() + HEARD_S
        while len({text for _, text in heard}) < often and time.monotonic() < end:
            time.sleep(1)
    due = [first.replace(microsecond=0) + timedelta(seconds=EVERY_S * number) for number in range(often)]
    assert sorted(datetime.fromisoformat(run["expected_start_time"]) for run in runs) == due
    records = Counter(line.split()[0] for line in (beat / "record").read_text().splitlines())
    return SimpleNamespace(runs=runs, records=records, heard=Counter(text for _, text in heard), passes=passes)


def rounds(team, name):
    """How often the service processes have gone through the schedules."""
    return sum(len(ROUND.findall(path.read_text())) for path in team.home.glob(f"{name}/**/background/log"))


def over(team, name, often):
    """The deployment's runs, once that many have ended and no other is left."""
    found = team.runs(deployments={"name": {"any_": [name]}})
    ended = [run for run in found if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
    return len(ended) >= often and len(ended) == len(found) and found


def traces(pairs, runs):
    """What the processes have said of these runs."""
    lines = [line for path in pairs.place.home.glob("**/log") for line in path.read_text().splitlines()]
    return "\n".join(line for line in lines if any(run in line for run in runs))


def test_every_firing_runs_once_and_redis_divides_the_work(pairs):
    with_redis = phase(pairs, "shared", OFTEN, AHEAD_S, shared=True)
    without = phase(pairs, "control", CONTROL, SOON_S, shared=False)
    for name, each in (("with Redis", with_redis), ("without", without)):
        figures = len(each.runs), len(each.records), sum(each.heard.values()), each.passes
        log.info("%s: %d runs, %d ran, %d told, %.2f passes a second", name, *figures)
    for each in (with_redis, without):  # the database lets no time fire twice
        assert {run["state_type"] for run in each.runs} == {"COMPLETED"}
        assert each.records == dict.fromkeys((run["id"] for run in each.runs), 1)
    unheard = set(with_redis.records) - set(with_redis.heard)
    assert not unheard, traces(pairs, unheard)
    assert set(with_redis.heard) == set(with_redis.records)
    assert not without.heard  # what one process of the server says the others do not hear
    assert without.passes > 1.6 * with_redis.passes  # and each does all work by itself
