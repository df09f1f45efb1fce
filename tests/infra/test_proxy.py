"""The proxy before Prefect and MLflow, a real nginx: it speaks TLS alone, to those who ask for its names."""

import ssl
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests import proxies
from tests.proxies import MLFLOW, NAMES, PREFECT

MIB = 2**20


class Echo(BaseHTTPRequestHandler):
    """Says what came to it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = "\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as behind:
        thread = Thread(target=behind.serve_forever)
        thread.start()
        try:
            with proxies.started(tmp_path_factory.mktemp("proxy"), *[behind.server_port] * 2) as found:
                yield found
        finally:
            behind.shutdown()
            thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_a_service_answers_by_tls_to_a_client_that_checks_the_certificate(proxy, name):
    status, said, headers = proxy.ask(name, Authorization="Basic dTpw")
    assert status == 200
    assert "authorization: Basic dTpw" in said
    assert "x-forwarded-proto: https" in said
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "nginx/" not in str(headers)  # of which version, who looks for holes would like to know


def test_without_tls_one_is_led_to_it(proxy):
    with closing(HTTPConnection("127.0.0.1", proxy.plain, timeout=proxies.LIMIT_S)) as connection:
        connection.request("GET", "/runs?x=1", headers={"Host": PREFECT})
        answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{PREFECT}/runs?x=1")


def test_another_name_gets_no_certificate(proxy):
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized[_ ]name"):
        proxy.ask("elsewhere.example.org")


def test_web_sockets_pass(proxy):
    said = proxy.ask(PREFECT, Upgrade="websocket", Connection="Upgrade")[1]
    assert "upgrade: websocket" in said
    assert "connection: upgrade" in said


def test_pages_elsewhere_send_nothing_to_mlflow(proxy):
    assert proxy.ask(MLFLOW, method="POST", body="{}", Origin="https://elsewhere.example.org")[0] == 403
    status, said, _ = proxy.ask(MLFLOW, method="POST", body="{}", Origin=f"https://{MLFLOW}")
    assert status == 200
    assert "origin" not in said


def test_models_pass_whatever_their_size(proxy):
    assert proxy.ask(MLFLOW, method="POST", body=bytes(40 * MIB))[0] == 200
    assert proxy.ask(PREFECT, method="POST", body=bytes(33 * MIB))[0] == 413
