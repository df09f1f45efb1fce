"""The temporary server, in surroundings that are none of its business, and what is told of a server that is none."""

import json
import os
import socket
import sqlite3
import threading
import time
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows import prefect_server
from flows.prefect_server import Server, check
from tasks.errors import TercetError

SECRET = "S3cr3t-pa55"
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
    from prefect.settings import PREFECT_API_URL, temporary_settings

    start = time.monotonic()
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(TercetError) as caught:
        check(url)
    assert time.monotonic() - start < 30
    said = str(caught.value)
    assert said.startswith(f"PREFECT_API_URL: no Prefect server answers at http://127.0.0.1:{port}/api (")
    assert "\n" not in said
    assert SECRET not in said
    return said


def test_a_server_that_is_silent_or_none_at_all_is_one_line(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(prefect_server, "ANSWER_S", 3.0)
        assert "no answer within 3 s" in told(silent.getsockname()[1])
    told(9)


def test_a_web_server_that_is_not_prefects_is_one_line():
    with HTTPServer(("127.0.0.1", 0), Pages) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        assert "it is none: JSONDecodeError" in told(pages.server_port)
        pages.shutdown()
