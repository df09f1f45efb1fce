"""The temporary server, in surroundings that are none of its business, and what is told of a server that is none."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.start import prefect_server
from flows.start.prefect_server import Server, check
from tasks.errors import TercetError

SECRET = "S3cr3t-pa55"
PROMPT_S = 5.0
ROOT = Path(__file__).resolve().parents[2]
# a run of one stage that says a word and does not end, as `tercet run` sets its surroundings up
RUN = """
import logging, os, sys, time
from flows import run
from flows.commands import runs
from tasks import signals

signals.listen("tercet")
os.environ |= runs.PREFECT
run.log_to_terminal()
logging.getLogger("flows.given").warning("a warning before the flow")

def start():
    from prefect import flow, task
    from flows.views.prefect import heed_signals, run_name

    @task(task_run_name="train")
    def train():
        logging.getLogger("tasks.stages.train").warning("a warning in a stage")
        logging.getLogger("tasks.stages.train").info("epoch 1 of 5")
        time.sleep(100)

    @flow(name="tercet", flow_run_name=run_name)
    def pipeline():
        heed_signals()
        logging.getLogger("flows.pipeline").warning("a warning in the flow")
        train.submit().wait()

    pipeline()

run.under_prefect(start, tensorflow=False)
"""
# all that the terminal shows of it: each word once, and of Prefect's own none
SAID = """\
a warning before the flow
a warning in the flow
a warning in a stage
epoch 1 of 5
tercet: ended by SIGTERM
"""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def surroundings(project, monkeypatch):
    """A proxy that answers nobody, and a home that nobody can write to."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.org")
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nobody")
    return project


@pytest.mark.slow
def test_one_that_came_up_behind_a_proxy_is_asked_past_it(surroundings, server):
    prefect_server.past_proxies()
    with urllib.request.urlopen(f"{server.address}/admin/version", timeout=60) as answer:
        assert isinstance(json.load(answer), str)
    assert os.environ["NO_PROXY"].split(",")[0] == "example.org"


def test_what_a_kill_left_of_a_database_is_forgotten(project, monkeypatch):
    """By a server that ends where there is a database, and answers where there is none."""
    kept = prefect_server.HOME / "prefect.db"

    def start(server):
        ends = kept.exists()
        command = [sys.executable, "-c", "raise SystemExit(1)"] if ends else ["sleep", "100"]
        server._process, server.address = subprocess.Popen(command), f"http://127.0.0.1:{9 if ends else port}/api"

    monkeypatch.setattr(Server, "_start", start)
    kept.parent.mkdir(parents=True)
    kept.write_text("half")
    with HTTPServer(("127.0.0.1", 0), Pages) as pages:
        port = pages.server_port
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        server = Server()
        try:
            server.wait()
        finally:
            server.stop()
            pages.shutdown()
    assert not kept.exists()


@pytest.mark.slow  # two starts; above is the same in parts
def test_it_starts_behind_a_proxy_without_a_home_and_after_a_kill(surroundings):
    prefect_server.HOME.mkdir(parents=True)
    with closing(sqlite3.connect(prefect_server.HOME / "prefect.db")) as database:  # as a half made one has it
        database.execute("CREATE TABLE flow (id INTEGER)")
        database.commit()
    server = Server()
    try:
        server.wait()
        with urllib.request.urlopen(f"{server.address}/admin/version", timeout=60) as answer:  # past the proxy
            assert isinstance(json.load(answer), str)
    finally:
        server.stop()
    assert os.environ["NO_PROXY"].split(",")[0] == "example.org"
    assert (prefect_server.HOME / "prefect.db").stat().st_size > 2**16


def test_the_words_of_one_that_does_not_start_are_told(surroundings, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", "/proc/nobody")
    server = Server()
    with pytest.raises(TercetError) as caught:
        server.wait()
    assert "\n" not in str(caught.value)
    assert "; its last words: " in str(caught.value)
    assert "it said nothing" not in str(caught.value)


def test_everything_goes_past_proxies_where_the_user_has_said_so(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    prefect_server.past_proxies()
    assert os.environ["NO_PROXY"] == "*"


class Pages(BaseHTTPRequestHandler):
    """A web server of somebody else's, where a proxy or a portal answers everything with a page."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *_):
        pass


def told(port):
    url = f"http://user:{SECRET}@127.0.0.1:{port}/api"
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    start = time.monotonic()
    settings = {PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}  # or its thread would draw numbers beside others
    with temporary_settings(settings), pytest.raises(TercetError) as caught:
        check(url)
    assert time.monotonic() - start < 30
    said = str(caught.value)
    assert said.startswith(f"PREFECT_API_URL: no Prefect server answers at http://127.0.0.1:{port}/api (")
    assert "\n" not in said
    assert SECRET not in said
    return said


def test_a_server_that_is_silent_or_none_at_all_is_one_line(monkeypatch):
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(prefect_server, "ANSWER_S", 3.0)
        assert "no answer within 3 s" in told(silent.getsockname()[1])
    told(9)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_web_server_that_is_not_prefects_is_one_line():
    with HTTPServer(("127.0.0.1", 0), Pages) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        assert "it is none: JSONDecodeError" in told(pages.server_port)
        pages.shutdown()


def ask(server, path, **about):
    body = json.dumps(about).encode()
    request = urllib.request.Request(f"{server.address}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def words(server, since):
    """What was said to it from a moment on: it tells the first two hundred, and other tests have spoken to it too."""
    return [log["message"] for log in ask(server, "/logs/filter", logs={"timestamp": {"after_": since}})]


@contextmanager
def run_on(server, project):
    """A run that is in its one stage, whose first word the server has."""
    (project / "params.yaml").write_text((ROOT / "infra/presets/smoke.yaml").read_text())
    env = os.environ | {"PREFECT_API_URL": server.address, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN]
    since = datetime.now(UTC).isoformat()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            end = time.monotonic() + 120
            while "epoch 1 of 5" not in words(server, since):  # it is sent every two seconds
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.2)
            yield process, since
        finally:
            process.kill()


def test_a_users_server_shows_name_and_log_of_a_run_and_that_it_was_cancelled(server, project):
    before = [run["id"] for run in ask(server, "/flow_runs/filter")]
    with run_on(server, project) as (process, since):
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert {"a warning in the flow", "a warning in a stage", "epoch 1 of 5"} <= set(words(server, since))
    assert said == SAID
    (run,) = (run for run in ask(server, "/flow_runs/filter") if run["id"] not in before)
    assert run["state_type"] == "CANCELLED"
    assert re.fullmatch(r"smoke \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", run["name"])


@pytest.mark.slow
def test_a_users_server_that_hangs_while_it_is_told_holds_nobody_up(server, project):
    with run_on(server, project) as (process, _):
        os.kill(server._process.pid, signal.SIGSTOP)  # it takes connections, and answers none
        try:
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
            took = time.monotonic() - start
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
    assert (process.returncode, said) == (143, SAID)
    assert took < PROMPT_S
