"""When the store counts as ready: its buckets are listed some seconds before it can read an object."""

import json
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

from tasks.services import place, s3


@contextmanager
def master(volumes):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"Topology": {"Max": volumes}}).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("volumes", "ready"), [(0, False), (7, True)])
def test_it_is_ready_once_it_has_volumes(volumes, ready, project, monkeypatch):
    monkeypatch.setattr(s3, "_client", lambda _place: SimpleNamespace(list_buckets=lambda: {"Buckets": []}))
    made = place.made()
    with master(volumes) as port:
        assert s3._answers(replace(made, ports={**made.ports, "master": port})) is ready
    assert not s3._answers(replace(made, ports={**made.ports, "master": port})), "nothing listens any more"
