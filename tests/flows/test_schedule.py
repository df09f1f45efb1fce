"""The deployment of prefect.yaml on loopback: a server, a process worker, and a schedule of a few seconds."""

import json
import socket
import time
from contextlib import ExitStack
from urllib.request import Request, urlopen

import pytest
import yaml

INTERVAL_S = 10
SOME = {"train", "prune pruned50", "benchmark int8 @ host-cpu", "publish"}  # of the task runs' names
UP_S = 180.0
DONE_S = 300.0
OFFLINE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def ask(api, path, body=None):
    request = Request(f"{api}{path}", None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait_for(condition, limit_s, log):
    """Poll until the condition holds; a server that does not answer yet is like one that says no."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"not within {limit_s:g} s:\n{log.read_text()}")


def shorten_schedule(clone):
    path = clone.root / "prefect.yaml"
    value = yaml.safe_load(path.read_text())
    assert [schedule["cron"] for schedule in value["deployments"][0]["schedules"]] == ["0 2 * * *"]
    value["deployments"][0]["schedules"] = [{"interval": INTERVAL_S}]
    path.write_text(yaml.safe_dump(value, sort_keys=False))


def test_a_scheduled_run_completes(make_clone):
    clone = make_clone()
    clone.run("tercet", "run")
    lock = clone.lock()
    shorten_schedule(clone)
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = {"PREFECT_API_URL": api, "TERCET_HOME": str(clone.root), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with ExitStack() as ended:
        start = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        _, server = ended.enter_context(clone.started(*start, env=env))
        wait_for(lambda: ask(api, "/health"), UP_S, server)
        clone.run("prefect", "work-pool", "create", "local", "--type", "process", env=env)
        clone.run("prefect", "--no-prompt", "deploy", "--all", env=env)
        _, worker = ended.enter_context(clone.started("prefect", "worker", "start", "--pool", "local", env=env))

        def ended_runs():
            runs = ask(api, "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"})
            return [run for run in runs if run["auto_scheduled"] and run["state_type"] in ("COMPLETED", "FAILED")]

        runs = wait_for(ended_runs, DONE_S, worker)

        def recorded_tasks():
            """The run's tasks; the server writes them down a moment after they have ended."""
            found = ask(api, "/task_runs/filter", {"flow_runs": {"id": {"any_": [runs[-1]["id"]]}}})
            whole = {task["name"] for task in found} >= SOME and all(
                task["state_type"] == "COMPLETED" for task in found
            )
            return found if whole else None

        tasks = wait_for(recorded_tasks, UP_S, worker)
        artifacts = ask(api, "/artifacts/filter", {})
    assert [run["state_type"] for run in runs] == ["COMPLETED"] * len(runs), worker.read_text()
    assert {task["state_name"] for task in tasks if task["name"] != "publish"} == {"UpToDate"}
    assert {(artifact["key"], artifact["type"]) for artifact in artifacts} == {("comparison", "markdown")}
    assert "ethos-u55-128" in artifacts[0]["data"]
    assert clone.lock() == lock


def test_a_run_needs_no_server_and_no_network(make_clone, outcomes):
    """A fresh PREFECT_HOME, and a proxy that refuses whatever is not on this machine."""
    clone = make_clone()
    clone.change(lambda params: params["benchmark"].update(devices=["ethos-u55-128"]))
    said = clone.run("tercet", "run", env=OFFLINE)
    assert {"train", "benchmark int8 @ ethos-u55-128", "bundle ethos-u55-128"} <= outcomes(said)["ran"]
    assert (clone.root.parent / "tmp" / "prefect").is_dir()
