"""Whether a service answers, and whether it is the one that knows the password."""

from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tasks.services.http import answers, said

USER = "tercet:ü-secret"


class Asking(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == f"Basic {b64encode(USER.encode()).decode()}"
        self.send_response(200 if known or self.path == "/open" else 401)
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Asking) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_that_wants_a_password_answers_those_who_have_it(address, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert said(f"{address}/open") == b"page"
    assert said(f"{address}/closed", USER) == b"page"
    assert not answers(f"{address}/closed")
    assert not answers(f"{address}/closed", f"{USER}x")


def test_nothing_there_is_no_answer():
    assert not answers("http://127.0.0.1:9")
    assert not answers("no address", USER)
